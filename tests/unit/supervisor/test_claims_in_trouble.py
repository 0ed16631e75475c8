"""Claims knock at the same door as polls and reports, and keep away from it while the API is ill."""

from supervisor.providers.circuit_breaker import BreakerState
from supervisor.runtime.events import ClaimDone
from supervisor.status.status import NotReady
from supervisor.task_api.answers import Health, ReportAnswer, ReportOutcome
from tests.builders import make_settings
from tests.fakes.house import House

NO_ANSWER = ReportAnswer(ReportOutcome.RETRY, Health.UNHEALTHY, None, "no answer")


def make_house() -> House:
    house = House(make_settings(claim_tasks=True, concurrency_limit=1))
    house.start_workers()
    return house


def claims(house: House) -> list[str]:
    return sorted(parcel.task_id for parcel in house.claimer.parcels)


def test_claims_that_fail_again_and_again_leave_the_api_alone() -> None:
    house = make_house()
    house.list_tasks(*[f"t{number}" for number in range(50)])
    begun = [house.claimer.send_one() for _ in range(5)]
    for parcel in begun:
        house.turn(ClaimDone(parcel.task_id, NO_ANSWER))
    assert claims(house) == []
    assert NotReady.API_CIRCUIT_OPEN in house.status.not_ready
    assert len(house.journal) == 50
    house.pass_time(3.5)
    assert claims(house) == []
    house.pass_time(1.5)
    assert len(claims(house)) + len(house.poller.limits) == 1
    house.pass_time(30.0)
    assert len(claims(house)) + len(house.poller.limits) == 1


def test_claims_held_back_by_a_full_disk_are_not_sent_to_an_api_that_fell_ill_meanwhile() -> None:
    house = make_house()
    house.disk.full = True
    house.list_tasks("a", "b")
    for _ in range(5):
        house.supervisor.api_gate.reports.heard(Health.UNHEALTHY, house.clock(), None)
    house.disk.full = False
    house.turn()
    assert claims(house) == []
    assert house.supervisor.api_gate.breaker.state is BreakerState.OPEN
    house.pass_time(61.0)
    assert len(claims(house)) + len(house.poller.limits) == 1


def test_api_that_denies_access_gets_one_claim_after_each_pause() -> None:
    house = make_house()
    house.list_tasks(*[f"t{number}" for number in range(50)])
    began_at = house.clock()
    answered = 0
    while house.clock() < began_at + 120.0:
        if house.claimer.parcels:
            house.answer_claim(answer=ReportAnswer(ReportOutcome.RETRY, Health.UNKNOWN, 401, "no"))
            answered += 1
        if house.poller.limits:
            house.list_tasks()
        house.pass_time(0.1)
    assert 4 <= answered <= 8
