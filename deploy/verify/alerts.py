"""`make verify-alerts`: the rules by promtool, and a real Prometheus that sees a real service fail."""

import shutil
import sys
import tempfile
from pathlib import Path

from deploy.verify.checks import Checklist, main, need, run, wait_for
from deploy.verify.children import CHECKOUT, service, task_api
from deploy.verify.prometheus import Prometheus
from deploy.verify.web import create_tasks, free_port, wait_until_served

RULES = CHECKOUT / "deploy" / "prometheus"
ALERT_SECONDS = 150.0


def check_alerts(checklist: Checklist) -> None:
    need("prometheus", "promtool", package="prometheus")
    run("promtool", "check", "config", CHECKOUT / "prometheus.yml")
    checklist.ok("promtool check config")
    run("promtool", "check", "rules", RULES / "rules.yml")
    checklist.ok("promtool check rules")
    run("promtool", "test", "rules", RULES / "rules.test.yml")
    checklist.ok("promtool test rules: each alert fires, and keeps silent")
    folder = Path(tempfile.mkdtemp(prefix="verify-alerts-"))
    try:
        _fires(checklist, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fires(checklist: Checklist, folder: Path) -> None:
    """The rules as they are, with their real times: it takes two and a half minutes."""
    api_port, port = free_port(), free_port()
    settings = {
        "API_BASE_URL": f"http://127.0.0.1:{api_port}",
        "METRICS_PORT": str(port),
        "OPENAI_API_KEY": "sk-not-a-key",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/no-provider-here",
    }
    with (
        task_api(folder, api_port),
        service(folder, settings) as failing,
        Prometheus(folder, port) as prometheus,
    ):
        wait_until_served(api_port, "/health")
        wait_until_served(port, "/health")
        wait_for("a scrape", lambda: prometheus.query("ai_polls_total > 0"), 60)
        checklist.require(not prometheus.firing(), "while all is well no alert fires")
        create_tasks(api_port, 10)
        wait_for(
            "the hold to be seen",
            lambda: prometheus.query('ai_provider_hold{job="ai-task-processor"} == 1'),
            60,
        )
        failing.check()
        _wait_for_alert(prometheus, "AiTaskProcessorProviderHold")
        checklist.ok("a wrong provider address: ProviderHold fires in a real Prometheus")
        failing.end()
        _wait_for_alert(prometheus, "AiTaskProcessorDown")
        checklist.ok("the service ended: Down fires")


def _wait_for_alert(prometheus: Prometheus, name: str) -> None:
    wait_for(f"the alert {name}", lambda: name in prometheus.firing(), ALERT_SECONDS)


if __name__ == "__main__":
    sys.exit(main(check_alerts))
