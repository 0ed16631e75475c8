import pickle
from pathlib import Path

import pytest

from shared.provider_accounts import OPENAI
from shared.settings import Settings
from tests.builders import PROCESSORS
from workers.config import WorkerConfig

KEY = "sk-never-to-be-shown"


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> WorkerConfig:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_BASE_URL", "http://api.example")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://provider.example/v1")
    monkeypatch.setenv("OPENAI_TIMEOUT", "12.5")
    return WorkerConfig.from_settings(Settings(), PROCESSORS.specs(), tmp_path)


def test_a_worker_is_told_what_concerns_it(config: WorkerConfig, tmp_path: Path) -> None:
    account = config.accounts[0]
    assert (account.name, config.default_provider, config.kinds) == (OPENAI, OPENAI, (OPENAI,))
    assert account.base_url == "http://provider.example/v1"
    assert account.timeout_seconds == 12.5
    assert config.metrics_directory == tmp_path
    assert [spec.task_type for spec in config.processors] == list(PROCESSORS.task_types)


def test_the_key_crosses_to_the_worker(config: WorkerConfig) -> None:
    crossed = pickle.loads(pickle.dumps(config))
    assert crossed.accounts[0].api_key.get_secret_value() == KEY


def test_the_key_is_not_shown(config: WorkerConfig) -> None:
    assert KEY not in repr(config)
