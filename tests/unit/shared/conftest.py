"""An environment without any setting, so that a test says all there is."""

from pathlib import Path

import pytest

from shared import settings as settings_module
from shared.settings import Settings


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
        monkeypatch.chdir(self.working_directory)
        monkeypatch.setattr(settings_module, "MOUNTED_FILES_DIRECTORY", str(self.mounted))
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(self.credentials))

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

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
