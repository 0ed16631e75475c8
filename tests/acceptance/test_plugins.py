"""Task types of others: installed ones work like built-in ones, and broken ones hurt nobody."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from examples.task_api.task import State
from tests.acceptance.command import run_command
from tests.acceptance.conftest import StartService
from tests.acceptance.service import ServiceProcess
from tests.acceptance.task_api import Peer
from tests.eventually import eventually
from tests.stubs.provider import StubProvider
from tests.stubs.provider_chat import chat_json
from tests.unit.docs.markdown import ROOT

HEAD = """
    import os, sys, time
    from pydantic import BaseModel
    from workers.processors.base import BaseProcessor

    class Given(BaseModel):
        text: str
"""
MODULES = {
    "does_not_import": "import no_such_library",
    "ends_the_process": "import sys; sys.exit(3)",
    "is_no_processor": "class Mine: pass",
    "claims_embeddings": HEAD
    + """
    class Mine(BaseProcessor[Given]):
        task_type = "text-embedding"
        def process(self, task, context): return {}
""",
    "lacks_a_setting": HEAD
    + """
    from workers.processors.base import EnvironmentSettings, SettingsConfigDict
    class Settings(EnvironmentSettings):
        model_config = SettingsConfigDict(env_prefix="MINE_")
        address: str
    class Mine(BaseProcessor[Given]):
        task_type = "lacks-a-setting"
        settings_type = Settings
        def process(self, task, context): return {}
""",
    "does_not_start": HEAD
    + """
    class Mine(BaseProcessor[Given]):
        task_type = "does-not-start"
        def start(self): raise FileNotFoundError("model.bin is missing")
        def process(self, task, context): return {}
""",
    "kills_its_worker": HEAD
    + """
    class Mine(BaseProcessor[Given]):
        task_type = "kills-its-worker"
        def process(self, task, context): os._exit(7)
""",
    "works": HEAD
    + """
    class Mine(BaseProcessor[Given]):
        task_type = "works"
        def process(self, task, context):
            context.log.info("at work", attempt=context.attempt)
            return {"letters": len(task.input.text)}
""",
}
BROKEN_AT_LOAD = {
    "does_not_import": "ModuleNotFoundError",
    "ends_the_process": "SystemExit",
    "is_no_processor": "is no subclass of workers.processors.base.BaseProcessor",
    "claims_embeddings": "is already that of workers.processors.text_embedding",
    "lacks_a_setting": "MINE_ADDRESS: is required but not set",
}
BROKEN_TO_CHECK = ("ends_the_process", "lacks_a_setting")
"""`check` finds what `processors` finds, by the same means."""


@pytest.fixture
def plugins(tmp_path: Path) -> dict[str, str]:
    """The settings with which a service has all of them."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    for name, source in MODULES.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
    return {"PYTHONPATH": str(folder), "PROCESSORS": ",".join(f"{name}:Mine" for name in MODULES)}


def told_by(service: ServiceProcess) -> dict[str, str]:
    """The troubles of processors on `/status`, once that of the one that does not start is there."""
    troubles = {trouble["calls"]: trouble["detail"] for trouble in service.status()["troubles"]}
    return troubles if "does-not-start" in troubles else {}


@pytest.mark.slow
def test_broken_ones_are_named_and_all_others_work(
    plugins: dict[str, str], start_service: StartService, task_api: Peer
) -> None:
    service = start_service(**plugins, EMBEDDING_PROVIDER="local", WORKER_CRASH_LIMIT="2")
    given = {"input_data": {"text": "twelve words"}}
    types = ("works", "text-embedding", "kills-its-worker", "does-not-start", "lacks-a-setting")
    ids = dict(zip(types, task_api.add_bodies(*({"type": name, **given} for name in types)), strict=True))
    settled = ("works", "text-embedding", "kills-its-worker")
    eventually(
        lambda: all(task_api.outcome(ids[name])[0].is_final for name in settled),
        what="all that can have an end",
    )
    assert task_api.outcome(ids["works"]) == (State.SUCCEEDED, {"letters": 12})
    assert task_api.outcome(ids["text-embedding"])[0] is State.SUCCEEDED
    state, why = task_api.outcome(ids["kills-its-worker"])
    assert (state, "died 2 times on this task" in str(why)) == (State.FAILED, True)
    for waits in ("lacks-a-setting", "does-not-start"):
        assert task_api.outcome(ids[waits])[0] is State.PENDING
    told = {
        line["processor"].partition(":")[0]: line["detail"] for line in service.log_lines("processor_broken")
    }
    assert told.keys() == BROKEN_AT_LOAD.keys()
    assert all(words in told[name] for name, words in BROKEN_AT_LOAD.items()), told
    troubles = eventually(lambda: told_by(service), what="the status names what does not start")
    assert "model.bin is missing" in troubles["does-not-start"]
    assert "does_not_import:Mine" in troubles
    assert "model.bin is missing" in service.get("/").body.decode()
    (line,) = service.log_lines("processor_message")
    assert (line["message"], line["attempt"], line["task_type"]) == ("at work", 1, "works")


def test_check_and_processors_say_what_is_broken(
    plugins: dict[str, str], tmp_path: Path, task_api: Peer
) -> None:
    plugins["PROCESSORS"] = ",".join(f"{name}:Mine" for name in (*BROKEN_AT_LOAD, "works"))
    settings = {**plugins, "API_BASE_URL": task_api.url, "EMBEDDING_PROVIDER": "local", "METRICS_PORT": "0"}
    listed = run_command(tmp_path, "processors", **plugins)
    settings["PROCESSORS"] = ",".join(f"{name}:Mine" for name in BROKEN_TO_CHECK)
    checked = run_command(tmp_path, "check", **settings)
    assert (listed.exit_code, checked.exit_code) == (1, 2)
    for name, words in BROKEN_AT_LOAD.items():
        assert any(
            f"BROKEN  {name}:Mine (named in PROCESSORS): " in line and words in line for line in listed.lines
        )
    for name in BROKEN_TO_CHECK:
        assert any(f"{name}:Mine: " in line and BROKEN_AT_LOAD[name] in line for line in checked.lines)
    assert any(line.startswith("works  works:Mine ") for line in listed.lines)


@pytest.mark.slow
def test_an_installed_one_works_on_top_of_a_chat_model(
    tmp_path: Path, start_service: StartService, task_api: Peer, provider: StubProvider
) -> None:
    installed = tmp_path / "installed"
    package = ROOT / "examples/plugins/text-classification"
    package = shutil.copytree(package, tmp_path / "package")  # it is built beside its source
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation"]
    subprocess.run(
        [*pip, "--target", str(installed), str(package)], check=True, timeout=60, env={**os.environ}
    )
    provider.speak = lambda body: chat_json(body, "Complaint.")
    service = start_service(PYTHONPATH=str(installed))
    given = {"text": "I am very happy with it.", "labels": ["praise", "complaint"]}
    (task_id,) = task_api.add_bodies({"type": "text-classification", "input_data": given})
    task_api.wait_until_done()
    assert task_api.outcome(task_id) == (State.SUCCEEDED, {"label": "complaint"})
    (line,) = eventually(lambda: service.log_lines("task_finished"), what="the task's line in the log")
    assert (line["task_type"], line["tokens"] > 0) == ("text-classification", True)
