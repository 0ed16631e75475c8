"""The first row: does it work, and if not, why?"""

from deploy.dashboards.panels import BLUE, GREEN, ORANGE, RED, YELLOW, Kind, Panel, Query, Row, stat

WORKING = (
    "(max by (reason) (ai_idle{@}) == 1) or "
    'label_replace((max(ai_tasks_in_flight{@}) > 0) * 0 + 1, "reason", "working", "", "")'
)

HEALTH = Row(
    "Is it working?",
    (
        stat(
            "Reached",
            "Whether Prometheus gets the service's metrics. Down: the process is gone or hangs.",
            "min(up{@})",
            values={0: ("down", RED), 1: ("up", GREEN)},
            alert="down",
        ),
        stat(
            "Why idle",
            "What it is doing now: working, or the first thing that stands in the way.",
            WORKING,
            "{{reason}}",
            shows_name=True,
            alert="backlog-stuck",
        ),
        stat(
            "Since the last good poll",
            "Time since the task API last answered a poll. It grows while the backlog is full.",
            "time() - max(ai_poll_last_success_timestamp_seconds{@})",
            unit="s",
            thresholds=[(90, YELLOW), (300, RED)],
            alert="no-successful-poll",
        ),
        stat(
            "Oldest result not taken",
            "How long the oldest finished result has waited for the task API to take it.",
            "max(ai_outbox_oldest_age_seconds{@})",
            unit="s",
            thresholds=[(60, YELLOW), (300, RED)],
            alert="results-wait",
        ),
        stat(
            "Failed, 15 min",
            "Share of the tasks of the last 15 minutes that ended as FAILED.",
            '(sum(increase(ai_tasks_processed_total{@, status="failed"}[15m])) or vector(0))'
            " / ((sum(increase(ai_tasks_processed_total{@}[15m])) > 0) or vector(1))",
            unit="percentunit",
            thresholds=[(0.02, YELLOW), (0.1, RED)],
            alert="failure-ratio",
        ),
        stat(
            "Alerts",
            "Alerts that ring now.",
            'count(ALERTS{alertstate="firing", alertname=~"AiTaskProcessor.*"}) or vector(0)',
            thresholds=[(1, RED)],
        ),
        stat(
            "Breakers",
            "A breaker that is open: calls to that service kept failing and are not made for a while.",
            "max by (service) (circuit_breaker_state{@})",
            "{{service}}",
            width=8,
            values={0: ("closed", GREEN), 1: ("open", RED), 2: ("half-open", ORANGE)},
            alert="breaker-open",
        ),
        stat(
            "Provider holds",
            "Holds of the provider on the whole account: key, quota or address. A person must act.",
            "count(ai_provider_hold{@} == 1) or vector(0)",
            values={0: ("none", GREEN)},
            thresholds=[(1, RED)],
            alert="provider-hold",
        ),
        stat(
            "Refused results, 1 h",
            "Results that the task API refused for good. They are kept in the journal.",
            'sum(increase(ai_reports_total{@, outcome="rejected"}[1h])) or vector(0)',
            thresholds=[(0.5, RED)],
            alert="reports-rejected",
        ),
        stat(
            "Version",
            "What runs.",
            "max by (version) (ai_task_processor_build_info{@})",
            "{{version}}",
            shows_name=True,
        ),
        stat(
            "Workers",
            "Worker processes that can take work.",
            'sum(ai_workers{@, state=~"idle|busy"})',
            alert="workers-keep-dying",
        ),
        Panel(
            Kind.STATE_TIMELINE,
            "Why idle, over time",
            "What it was doing: working, or why no task ran. Of the reasons no_work alone is harmless.",
            [Query(WORKING, "{{reason}}")],
            width=24,
            height=6,
            values={1: ("yes", BLUE)},
            alert="backlog-stuck",
        ),
    ),
)
