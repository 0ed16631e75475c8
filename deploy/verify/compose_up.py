"""`make verify-compose`, second part: the demo of docker-compose.yml, brought up by docker-compose on podman.

Prometheus is Debian's, in an image with the name of the real one. Grafana's image cannot be stood in for.
The images are built first; the rest happens in a network of its own, which reaches nobody else.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from deploy.verify.checks import CheckFailedError, Checklist, main, need, run, wait_for
from deploy.verify.children import CHECKOUT
from deploy.verify.compose import DEMO_SETTINGS, read_compose
from deploy.verify.engine import PACKAGES, Engine
from deploy.verify.stand_in import BASE_IMAGE, base_image, build_image
from deploy.verify.web import ask, wait_until_served

PROJECT = "verify"
INSIDE = "--inside"
SERVICES = ("ai-task-processor", "prometheus", "task-api", "demo-feeder")
STATUS_PORT, PROMETHEUS_PORT = 8001, 9090
ENOUGH_TASKS = 20.0
PROMETHEUS = f"""\
FROM {BASE_IMAGE}
COPY prometheus /bin/prometheus
COPY busybox /usr/bin/wget
RUN install -d -o 65534 -g 65534 /prometheus
USER 65534:65534
VOLUME /prometheus
ENTRYPOINT ["/bin/prometheus"]
"""


def build_images() -> None:
    need("podman", "runc", "catatonit", "docker-compose", "busybox", "prometheus", package=PACKAGES)
    base_image()
    build_image("local", "localhost/ai-task-processor:local")
    with tempfile.TemporaryDirectory() as folder:
        _stand_in_for_prometheus(Path(folder))


def check_demo(checklist: Checklist) -> None:
    folder = Path(tempfile.mkdtemp(prefix="verify-compose-"))
    try:
        with Engine(folder) as engine:
            try:
                _compose(engine, "up", "--detach", "--no-build", *SERVICES)
                _check_service(checklist, engine)
            finally:
                _compose(engine, "down", "--volumes")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_service(checklist: Checklist, engine: Engine) -> None:
    wait_until_served(STATUS_PORT, "/ready")
    checklist.ok("docker-compose up: the service is ready at port 8001")
    checklist.ok("the feeder waited until the task API was healthy")
    wait_until_served(PROMETHEUS_PORT, "/-/ready")
    wait_for("Prometheus to see tasks succeed", _tasks_seen, 60)
    checklist.ok("tasks flow, and Prometheus at port 9090 sees them")
    answer = ask(PROMETHEUS_PORT, "/api/v1/rules")
    checklist.require(
        answer is not None and "AiTaskProcessorDown" in answer.text, "it has read the alert rules"
    )
    container = _compose(engine, "ps", "--quiet", "ai-task-processor").strip()
    _compose(engine, "stop", "ai-task-processor")
    state = engine.state(container)
    checklist.require(
        (state["Status"], state["ExitCode"]) == ("exited", 0),
        "docker-compose stop: drained, exit code 0",
        state,
    )


def _tasks_seen() -> bool:
    query = f'sum(ai_tasks_processed_total{{status="succeeded"}}) > {ENOUGH_TASKS}'
    answer = ask(PROMETHEUS_PORT, "/api/v1/query", query=query)
    return answer is not None and '"value"' in answer.text


def _compose(engine: Engine, *command: str) -> str:
    return run(
        "docker-compose", "--file", CHECKOUT / "docker-compose.yml", "--env-file", DEMO_SETTINGS,
        "--project-name", PROJECT, *command,
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], "DOCKER_HOST": engine.address},
    )  # fmt: skip


def _stand_in_for_prometheus(context: Path) -> None:
    (context / "Dockerfile").write_text(PROMETHEUS)
    for program in ("prometheus", "busybox"):
        found = shutil.which(program)
        if found is None:
            raise CheckFailedError(f"not installed: {program}")
        shutil.copy(found, context)
    image = f"localhost/{read_compose({})['services']['prometheus']['image']}"
    run("buildah", "build", "--isolation", "chroot", "--format", "docker", "--tag", image, context)


def _go_inside(checklist: Checklist) -> None:
    build_images()
    checklist.ok("the images are built")
    again = [sys.executable, "-m", "deploy.verify.compose_up", INSIDE]
    os.execvp("unshare", ["unshare", "--net", "--mount", *again])  # noqa: S606, S607  ourselves again


if __name__ == "__main__":
    sys.exit(main(check_demo if INSIDE in sys.argv else _go_inside))
