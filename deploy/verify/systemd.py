"""`make verify-systemd`: boot a machine with a real systemd and the unit, and treat it badly. Needs root."""

import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from deploy.verify.checks import CheckFailedError, Checklist, main, need, run, wait_for
from deploy.verify.children import CHECKOUT, stub_provider, task_api
from deploy.verify.machine import Machine
from deploy.verify.stand_in import PYTHON_PACKAGES, SYSTEMD_PACKAGES, WHEELS_INSIDE, debian_tree, wheels
from deploy.verify.web import (
    ask,
    count_tasks,
    create_tasks,
    free_port,
    wait_until_served,
    wait_until_succeeded,
)

UNIT = "ai-task-processor.service"
UNIT_FILE = CHECKOUT / "deploy" / "systemd" / UNIT
HOME = "opt/ai-task-processor"
CODE = ("run.py", "supervisor", "workers", "shared")
EXPOSURE_LIMIT = 2.0
TASKS = 120
KEY = "sk-only-in-the-credential"
WATCHDOG_SECONDS = 30
PATIENCE_SECONDS = WATCHDOG_SECONDS + 30


def check_systemd(checklist: Checklist) -> None:
    need("systemd-nspawn", "nsenter", "systemd-analyze", package="systemd-container")
    folder = Path(tempfile.mkdtemp(prefix="verify-systemd-"))
    try:
        api_port, provider_port, port = free_port(), free_port(), free_port()
        tree = _install(folder, api_port, provider_port, port)
        _read(checklist, tree)
        with task_api(folder, api_port), stub_provider(folder, provider_port, "--latency-ms", "300"):
            wait_until_served(api_port, "/health")
            with Machine(tree, folder / "machine.log") as machine:
                _starts(checklist, machine, port)
                _drains(checklist, machine, api_port, port)
                _survives_kill(checklist, machine, api_port, port)
                _survives_freeze(checklist, machine, api_port, port)
                _stays_down(checklist, machine)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _install(folder: Path, api_port: int, provider_port: int, port: int) -> Path:
    """A machine installed as the head of the unit file tells."""
    tree = folder / "machine"
    run("cp", "--archive", debian_tree("machine", PYTHON_PACKAGES + SYSTEMD_PACKAGES), tree)
    home = tree / HOME
    home.mkdir()
    run("cp", "--recursive", *(CHECKOUT / name for name in CODE), CHECKOUT / "requirements.txt", home)
    run("cp", "--recursive", wheels(), tree / WHEELS_INSIDE.strip("/"))
    run("chroot", tree, "python3", "-m", "venv", f"/{HOME}/.venv")
    run(
        "chroot", tree, "/usr/bin/env", "--ignore-environment", f"/{HOME}/.venv/bin/pip", "install",
        "--no-index", f"--find-links={WHEELS_INSIDE}",
        "--require-hashes", f"--requirement=/{HOME}/requirements.txt",
    )  # fmt: skip
    secrets = tree / "etc/ai-task-processor"
    secrets.mkdir(mode=0o700)
    (secrets / "openai_api_key").write_text(f"{KEY}\n")
    (secrets / "settings").write_text(
        f"API_BASE_URL=http://127.0.0.1:{api_port}\n"
        f"OPENAI_BASE_URL=http://127.0.0.1:{provider_port}/v1\n"
        f"METRICS_HOST=127.0.0.1\nMETRICS_PORT={port}\n"
        "CONCURRENCY_LIMIT=2\nBATCH_MAX_TASKS=4\n"
    )
    shutil.copy(UNIT_FILE, tree / "etc/systemd/system" / UNIT)
    run("systemctl", f"--root={tree}", "enable", UNIT)
    return tree


def _read(checklist: Checklist, tree: Path) -> None:
    said = run("sh", "-c", f"systemd-analyze verify --root={shlex.quote(str(tree))} {UNIT} 2>&1").strip()
    checklist.require(not said, "systemd-analyze verify has nothing to say", said)
    rating = run("systemd-analyze", "security", "--offline=yes", UNIT_FILE)
    found = re.search(r"exposure level for .*: ([0-9.]+)", rating)
    level = float(found[1]) if found else 10.0
    checklist.require(level <= EXPOSURE_LIMIT, f"systemd-analyze security: {level}, at most {EXPOSURE_LIMIT}")


def _starts(checklist: Checklist, machine: Machine, port: int) -> None:
    wait_for("the unit to be active", lambda: machine.unit(UNIT, "ActiveState") == "active", 60)
    wait_until_served(port, "/ready")
    checklist.ok("it starts, and tells systemd when it is ready (Type=notify)")
    pid = machine.unit(UNIT, "MainPID")
    user = machine.run("stat", "--format=%u", f"/proc/{pid}").strip()
    checklist.require(user != "0", f"it runs as a user of its own ({user})")
    environment = machine.run("cat", f"/proc/{pid}/environ")
    checklist.require(KEY not in environment, "the key is in no environment, only in the credential")


def _drains(checklist: Checklist, machine: Machine, api_port: int, port: int) -> None:
    create_tasks(api_port, TASKS)
    wait_until_succeeded(api_port, 1)
    machine.run("systemctl", "stop", UNIT)
    done = count_tasks(api_port, "succeeded")
    result = (machine.unit(UNIT, "Result"), machine.unit(UNIT, "ExecMainStatus"))
    checklist.require(
        result == ("success", "0"), "stopped in the middle of work it drains and ends with 0", result
    )
    checklist.require(0 < done < TASKS, f"what ran was reported, {done} of {TASKS}, the rest left", done)
    checklist.require(ask(port, "/health") is None, "nothing of it is left running")


def _survives_kill(checklist: Checklist, machine: Machine, api_port: int, port: int) -> None:
    machine.run("systemctl", "start", UNIT)
    done = count_tasks(api_port, "succeeded")
    wait_until_succeeded(api_port, done + 1)
    before = machine.unit(UNIT, "MainPID")
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", UNIT)
    _wait_for_restart(machine, before, 30)
    wait_until_served(port, "/ready")
    wait_until_succeeded(api_port, TASKS)
    checklist.ok("after kill -9 it is restarted, and does every task that is left")


def _survives_freeze(checklist: Checklist, machine: Machine, api_port: int, port: int) -> None:
    before = machine.unit(UNIT, "MainPID")
    machine.run("systemctl", "kill", "--kill-whom=main", "--signal=SIGSTOP", UNIT)
    _wait_for_restart(machine, before, PATIENCE_SECONDS)
    journal = machine.journal(UNIT)
    checklist.require("atchdog timeout" in journal, "a frozen loop is found by the watchdog", journal[-500:])
    wait_until_served(port, "/ready")
    create_tasks(api_port, 1)
    wait_until_succeeded(api_port, TASKS + 1)
    checklist.ok(f"and restarted, {machine.unit(UNIT, 'NRestarts')} restarts in all; it works again")


def _stays_down(checklist: Checklist, machine: Machine) -> None:
    machine.run("systemctl", "stop", UNIT)
    machine.run("sed", "-i", "s/^API_BASE_URL=.*/API_BASE_URL=nonsense/", "/etc/ai-task-processor/settings")
    try:
        machine.run("systemctl", "start", UNIT)
    except CheckFailedError:
        checklist.ok("with a wrong setting it does not start")
    wait_for("the unit to have failed", lambda: machine.unit(UNIT, "ActiveState") == "failed", 10)
    status = machine.unit(UNIT, "ExecMainStatus")
    checklist.require(status == "2", "and is not tried again: exit code 2", status)
    checklist.require(
        "API_BASE_URL: must be an address" in machine.journal(UNIT), "its journal says what is wrong"
    )


def _wait_for_restart(machine: Machine, before: str, limit_seconds: float) -> None:
    def restarted() -> bool:
        pid = machine.unit(UNIT, "MainPID")
        return pid not in ("0", before) and machine.unit(UNIT, "ActiveState") == "active"

    wait_for("another main process", restarted, limit_seconds)


if __name__ == "__main__":
    sys.exit(main(check_systemd))
