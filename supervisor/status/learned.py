"""What was learned about the other sides, as the status shows it."""

from supervisor.providers.model_limits import ModelLimits
from supervisor.status.status import LearnedStatus
from supervisor.task_api.poll_scheduler import TaskScheduler
from supervisor.task_api.report_pace import ReportPace


def learned_status(scheduler: TaskScheduler, pace: ReportPace, limits: ModelLimits) -> LearnedStatus:
    page, reports_per_second = scheduler.learned_limit, pace.reports_per_second
    return LearnedStatus(
        tasks_a_page=None if page.fails_from is None else page.works_up_to,
        poll_wait_seconds=scheduler.learned_wait_seconds,
        reports_per_second=None if reports_per_second is None else round(reports_per_second, 1),
        models=limits.learned(),
    )
