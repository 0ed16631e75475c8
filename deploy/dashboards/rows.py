"""What the dashboard shows, row by row: first whether it works, then why not."""

from deploy.dashboards.health import HEALTH
from deploy.dashboards.panels import Query, Row, lines, stat


def _rate(metric: str, *labels: str) -> Query:
    names = ", ".join(labels)
    return Query(
        f"sum by ({names}) (rate({metric}{{@}}[$__rate_interval]))",
        " ".join(f"{{{{{name}}}}}" for name in labels),
    )


def _quantile(metric: str, quantile: float, *labels: str) -> Query:
    names = ", ".join(("le", *labels))
    legend = " ".join((f"p{quantile * 100:g}", *(f"{{{{{name}}}}}" for name in labels)))
    return Query(
        f"histogram_quantile({quantile}, sum by ({names}) (rate({metric}_bucket{{@}}[$__rate_interval])))",
        legend,
    )


WORK = Row(
    "What goes in and out",
    (
        lines(
            "Tasks finished",
            "Tasks a second by what became of them.",
            "ops",
            _rate("ai_tasks_processed_total", "status"),
            stacked=True,
            alert="failure-ratio",
        ),
        lines(
            "Tasks held",
            "Waiting to run, with the workers, and finished but not yet reported.",
            "short",
            Query("sum(ai_tasks_backlog{@})", "backlog"),
            Query("sum(ai_tasks_in_flight{@})", "in flight"),
            Query("sum(ai_outbox_size{@})", "outbox"),
            alert="backlog-stuck",
        ),
        lines(
            "End to end",
            "From the task's creation (as the API says) to its accepted report.",
            "s",
            _quantile("ai_task_end_to_end_seconds", 0.5),
            _quantile("ai_task_end_to_end_seconds", 0.95),
            _quantile("ai_task_end_to_end_seconds", 0.99),
        ),
        lines(
            "Wait and work",
            "From poll to dispatch (wait), and from dispatch to the worker's answer (work).",
            "s",
            Query(_quantile("ai_task_queue_wait_seconds", 0.95).promql, "wait p95"),
            Query(_quantile("ai_task_processing_duration_seconds", 0.5).promql, "work p50"),
            Query(_quantile("ai_task_processing_duration_seconds", 0.95).promql, "work p95"),
        ),
        lines(
            "Retries",
            "Tasks a second that were put back to run again, by reason.",
            "ops",
            _rate("ai_task_retries_total", "reason"),
            stacked=True,
        ),
        lines(
            "Refused at intake",
            "Items a second that were no tasks this service can run, by reason.",
            "ops",
            _rate("ai_tasks_rejected_total", "reason"),
            stacked=True,
        ),
    ),
)

PROVIDER = Row(
    "Provider and cost",
    (
        lines(
            "Provider calls",
            "Calls a second by model and status: ok, or why not. The embedded model makes none.",
            "reqps",
            _rate("openai_requests_total", "model", "status"),
            stacked=True,
            alert="breaker-open",
        ),
        lines(
            "Provider call time",
            "Time of one call.",
            "s",
            _quantile("openai_request_duration_seconds", 0.5, "model"),
            _quantile("openai_request_duration_seconds", 0.95, "model"),
        ),
        lines(
            "Texts a call",
            "Mean number of texts in one call: more of them are fewer calls against the provider's limit.",
            "short",
            Query(
                "sum by (model) (rate(openai_batch_size_sum{@}[$__rate_interval]))"
                " / sum by (model) (rate(openai_batch_size_count{@}[$__rate_interval]))",
                "{{model}}",
            ),
        ),
        lines(
            "Tokens a minute",
            "What the provider bills, by model.",
            "short",
            Query(
                'sum by (model) (rate(openai_tokens_used_total{@, type="total"}[$__rate_interval])) * 60',
                "{{model}}",
            ),
            width=16,
            stacked=True,
        ),
        stat(
            "Tokens in the time shown",
            "What the provider billed in the time range of the dashboard, by model.",
            'sum by (model) (increase(openai_tokens_used_total{@, type="total"}[$__range]))',
            "{{model}}",
            width=8,
            height=7,
        ),
    ),
)

WORKERS = Row(
    "Workers",
    (
        lines(
            "Workers by state",
            "Worker processes: starting, idle, busy, recycling.",
            "short",
            Query("sum by (state) (ai_workers{@})", "{{state}}"),
            stacked=True,
        ),
        lines(
            "Worker memory",
            "Resident memory of each worker. Memory shared between them is counted in each.",
            "bytes",
            Query("max by (instance, slot) (ai_worker_rss_bytes{@})", "{{slot}}"),
        ),
        lines(
            "Worker deaths",
            "Workers started anew in 5 minutes, by reason. recycled is planned.",
            "short",
            Query("sum by (reason) (increase(ai_worker_restarts_total{@}[5m]))", "{{reason}}"),
            stacked=True,
            alert="workers-keep-dying",
        ),
    ),
)

API = Row(
    "Task API",
    (
        lines(
            "API requests by status",
            "Requests a second by method and status code; `none` is no answer at all.",
            "reqps",
            _rate("api_requests_total", "method", "status_code"),
            width=6,
            stacked=True,
            alert="results-wait",
        ),
        lines(
            "API request time",
            "Time of one request, 95th percentile.",
            "s",
            _quantile("api_request_duration_seconds", 0.95, "method", "endpoint"),
            width=6,
        ),
        lines(
            "Polls by result",
            "Polls a second by result: tasks and empty are good.",
            "reqps",
            _rate("ai_polls_total", "result"),
            width=6,
            stacked=True,
            alert="no-successful-poll",
        ),
        lines(
            "Reports by outcome",
            "Reports a second by outcome: done and gone are settled, retry is sent again, rejected is not.",
            "reqps",
            _rate("ai_reports_total", "outcome"),
            width=6,
            stacked=True,
            alert="reports-rejected",
        ),
    ),
)

SATURATION = Row(
    "Saturation",
    (
        lines(
            "Busy workers",
            "Share of the workers that hold a unit. At 100 % with a backlog: raise CONCURRENCY_LIMIT.",
            "percentunit",
            Query('sum(ai_workers{@, state="busy"}) / sum(ai_workers{@})', "busy"),
            width=6,
        ),
        lines(
            "Time held back",
            "Share of the time in which work could not go on, by reason.",
            "percentunit",
            Query(
                'avg by (reason) (avg_over_time(ai_idle{@, reason!="no_work"}[$__rate_interval]))',
                "{{reason}}",
            ),
            width=6,
            stacked=True,
            alert="backlog-stuck",
        ),
        lines(
            "Time to empty the backlog",
            "At the pace of the last 5 minutes. Growing without end: more comes in than gets done.",
            "s",
            Query("sum(ai_tasks_backlog{@}) / sum(rate(ai_tasks_processed_total{@}[5m]))", "backlog"),
            width=6,
        ),
        lines(
            "Scrape time",
            "How long /metrics took: a service or a machine that is overloaded answers late.",
            "s",
            Query("max(scrape_duration_seconds{@})", "scrape"),
            width=6,
        ),
    ),
)

ROWS = (HEALTH, WORK, PROVIDER, WORKERS, API, SATURATION)
