"""An environment without any setting, so that a test says all there is."""

from pathlib import Path

import pytest

from shared import loading
from shared.settings import Settings

OF_LIBRARIES = [
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"),
]


class Surroundings:
    """Where settings come from: the environment, `.env`, mounted files, systemd's credentials."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.working_directory = root / "work"
        self.mounted = root / "mounted"
        self.credentials = root / "credentials"
        for directory in (self.working_directory, self.mounted, self.credentials):
            directory.mkdir()
        for name in (*Settings.model_fields, "state_directory", "credentials_directory"):
            monkeypatch.delenv(name.upper(), raising=False)
            monkeypatch.delenv(name, raising=False)
        for name in (*OF_LIBRARIES, *map(str.lower, OF_LIBRARIES)):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.chdir(self.working_directory)
        monkeypatch.setattr(loading, "MOUNTED_FILES_DIRECTORY", str(self.mounted))
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(self.credentials))

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def unset(self, name: str) -> None:
        self._monkeypatch.delenv(name)

    def write_env_file(self, content: str | bytes) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        (self.working_directory / ".env").write_bytes(data)

    def mount(self, name: str, content: str | bytes) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        (self.mounted / name).write_bytes(data)

    def credential(self, name: str, content: str) -> None:
        (self.credentials / name).write_text(content)


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    return Surroundings(tmp_path, monkeypatch)


@pytest.fixture
def complete(surroundings: Surroundings) -> Surroundings:
    """Surroundings in which nothing required is missing."""
    surroundings.set(API_BASE_URL="https://api.test", OPENAI_API_KEY="sk-test-key-1")
    return surroundings
