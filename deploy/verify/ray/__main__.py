"""`make verify-ray`: the real service on a Ray cluster of two machines. Needs root, for network namespaces.

Figures first: 2,000 tasks with POOL=local, and with POOL=ray on both machines. Then 2,000 while a machine
dies and comes back, and while the head does, once for good and once for a moment.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.verify.checks import CheckFailedError, Checklist, main, need, wait_for
from deploy.verify.children import CHECKOUT
from deploy.verify.ray.namespaces import TwoMachines
from deploy.verify.ray.nodes import ENVIRONMENT, RayNode
from deploy.verify.ray.running import Running, running_service
from deploy.verify.web import create_tasks

INSIDE = "--inside"
MACHINES = TwoMachines("verify-ray")
BOTH = 2
TASKS = 2_000
CPUS_A_NODE = 2
NOTICED_SECONDS = 150.0
"""Ray itself waits a minute for a head that is gone."""


def check_in_namespaces() -> int:
    """Make the machines, and run the check on the first of them."""
    try:
        need("ip", package="iproute2")
        with MACHINES:
            command = MACHINES.first.command(sys.executable, "-m", "deploy.verify.ray", INSIDE)
            return subprocess.run(command, cwd=CHECKOUT, check=False).returncode  # noqa: S603  our own command
    except CheckFailedError as error:
        sys.stdout.write(f"FAILED  {error}\n")
        return 1


def check_ray(checklist: Checklist) -> None:
    folder = Path(tempfile.mkdtemp(prefix="verify-ray-"))
    head = RayNode(folder, MACHINES.first, MACHINES.first, CPUS_A_NODE)
    other = RayNode(folder, MACHINES.second, MACHINES.first, CPUS_A_NODE)
    pool = {"POOL": "ray", "RAY_ADDRESS": head.head_address, **ENVIRONMENT}
    try:
        head.start()
        other.start()
        checklist.ok("a Ray head and a Ray node on two machines, with token authentication")
        _measure(checklist, folder, {"POOL": "local"})
        _measure(checklist, folder, pool)
        with running_service(folder, pool) as running:
            create_tasks(running.api_port, 800)
            running.wait_until_done(100)
            _lose_a_node(checklist, running, other)
            create_tasks(running.api_port, 400)
            running.wait_until_done(900)
            _lose_the_head(checklist, running, head, other)
            running.wait_until_done(1_600)
            running.wait_until_all_workers_are_up()
            create_tasks(running.api_port, 400)
            running.wait_until_done(1_700)
            _restart_the_head(checklist, running, head, other)
            running.wait_until_done(TASKS)
            running.check_reports(checklist, TASKS)
            running.check_end(checklist)
    finally:
        other.kill()
        head.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _measure(checklist: Checklist, folder: Path, settings: Mapping[str, str]) -> None:
    """2,000 tasks at their own pace, with all workers up before the first."""
    with running_service(folder, settings) as running:
        create_tasks(running.api_port, TASKS)
        began = time.monotonic()
        running.wait_until_done(TASKS)
        seconds = time.monotonic() - began
        running.check_reports(checklist, TASKS)
        units = running.units_by_node()
        machines = BOTH if settings["POOL"] == "ray" else 1
        shares = ", ".join(f"{count} units on {node}" for node, count in sorted(units.items()))
        pace = f"{TASKS / seconds:,.0f} tasks a second"
        checklist.require(len(units) == machines, f"POOL={settings['POOL']}: {pace}; {shares}", units)
        running.check_end(checklist)


def _lose_a_node(checklist: Checklist, running: Running, other: RayNode) -> None:
    killed_at = time.monotonic()
    other.kill()
    death = running.wait_for_line("worker_died", NOTICED_SECONDS)
    seconds = time.monotonic() - killed_at
    checklist.ok(f"a node is killed in mid-run; after {seconds:.1f} s a worker {death['how']}")
    awaited = running.wait_for_line("workers_awaited", NOTICED_SECONDS)
    checklist.ok(f"the log says what workers wait for: {awaited['detail']}")
    running.wait_until_done(800)
    checklist.require(not running.unready(), "meanwhile the other node does the work, and /ready is 200")
    other.start()
    running.wait_until_all_workers_are_up()
    checklist.ok("a node is added, and all workers are up again")


def _lose_the_head(checklist: Checklist, running: Running, head: RayNode, other: RayNode) -> None:
    killed_at = time.monotonic()
    head.kill()
    wait_for("no_workers", lambda: running.unready() == ["no_workers"], NOTICED_SECONDS)
    seconds = time.monotonic() - killed_at
    checklist.ok(f"the head is killed in mid-run; /ready says no_workers after {seconds:.0f} s")
    create_tasks(running.api_port, 400)
    _bring_back(checklist, running, head, other)


def _restart_the_head(checklist: Checklist, running: Running, head: RayNode, other: RayNode) -> None:
    head.kill()
    checklist.ok("the head is killed in mid-run, and restarted at once")
    _bring_back(checklist, running, head, other)


def _bring_back(checklist: Checklist, running: Running, head: RayNode, other: RayNode) -> None:
    """The other node ends too when its head is gone; what keeps it running starts it anew."""
    began_at = time.monotonic()
    other.kill()
    head.start()
    other.start()
    running.wait_until_all_workers_are_up()
    checklist.ok(f"with the head all workers are back after {time.monotonic() - began_at:.0f} s")


if __name__ == "__main__":
    sys.exit(main(check_ray) if INSIDE in sys.argv else check_in_namespaces())
