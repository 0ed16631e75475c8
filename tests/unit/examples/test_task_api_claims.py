"""Claims of the reference task API: in one call, one by one, and as leases."""

import sqlite3
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest

from examples.task_api.app import create_app
from examples.task_api.optional import ALL_OPERATIONS, Operation
from examples.task_api.store import Store
from tests.eventually import eventually
from tests.unit.examples.task_api_caller import TaskApiCaller, task_api_caller

FLAT = {"type": "text-embedding", "input_data": "Basalt is a dark volcanic rock."}
NESTJS = {"type": "text_embedding", "content": "Rye bread keeps for weeks."}
SUCCEEDED = {"status": "succeeded", "output_data": {"embedding": [0.5]}}
CLAIMED = {"status": "processing"}
GIVEN_BACK = {"status": "pending"}
HOSTILE_IDS = ["a/b?c#d", "with spaces", "naïve-🦆", "a\\b\x00c\r\nd", "'; --"]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TaskApiCaller]:
    with task_api_caller(tmp_path / "tasks.sqlite3") as caller:
        yield caller


def wait_until_polled(api: TaskApiCaller) -> None:
    """Until a request waits in the store. Only when it waits is the store free for another request."""
    eventually(lambda: api.store.long_polls == 1, what="a long poll waits")
    api.counts()


def add(api: TaskApiCaller, *ids: str) -> None:
    api.create(*(FLAT | {"id": task_id} for task_id in ids))


# --- In one call ------------------------------------------------------------------------------------------


def test_claim_takes_the_first_of_the_list_and_no_more(api: TaskApiCaller) -> None:
    api.create(FLAT | {"id": "usual"}, NESTJS | {"_id": "later"}, NESTJS | {"_id": "urgent", "priority": 2})
    assert api.worker("a").claim(limit=2) == ["urgent", "usual"]
    assert api.listed() == ["later"]
    assert api.counts() == {"pending": 1, "processing": 2}


def test_answer_has_the_tasks_as_a_page_would_in_their_new_state(api: TaskApiCaller) -> None:
    api.create(FLAT | {"id": "flat", "correlation_id": "c"}, NESTJS | {"_id": "nestjs"})
    listed = api.ask("GET", "/pending")[1]
    claimed = api.worker("a").ask("POST", "/claim")[1]
    assert isinstance(listed, list)
    assert isinstance(claimed, list)
    assert [task.keys() for task in claimed] == [task.keys() for task in listed]
    assert (claimed[0]["status"], claimed[0]["correlation_id"]) == ("processing", "c")
    assert (claimed[1]["state"], claimed[1]["content"]) == ("in_progress", NESTJS["content"])


def test_no_task_is_claimed_twice(api: TaskApiCaller) -> None:
    add(api, *(f"t{number}" for number in range(100)))
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda number: api.worker(f"w{number}").claim(limit=7), range(20)))
    assert sorted(chain(*taken)) == sorted(f"t{number}" for number in range(100))


def test_claim_of_nothing_is_an_empty_list(api: TaskApiCaller) -> None:
    assert api.worker("a").claim() == []


@pytest.mark.parametrize("given_back", [False, True], ids=["new", "given back"])
def test_claim_waits_for_a_task_as_a_poll_does(
    api: TaskApiCaller, monkeypatch: pytest.MonkeyPatch, given_back: bool
) -> None:
    monkeypatch.setattr("examples.task_api.store.LOOK_FOR_EXPIRED_SECONDS", 60)
    if given_back:
        add(api, "t")
        api.patch("t", CLAIMED)
    with ThreadPoolExecutor(1) as pool:
        claim = pool.submit(api.worker("a").claim, wait_seconds=20)
        wait_until_polled(api)
        if given_back:
            api.patch("t", GIVEN_BACK)
        else:
            add(api, "t")
        assert claim.result(timeout=10) == ["t"]
    assert api.listed() == []


@pytest.mark.parametrize(
    ("path", "headers", "complaint"),
    [
        ("/claim", {}, "X-Worker-ID"),
        ("/claim", {"X-Worker-ID": ""}, "X-Worker-ID"),
        ("/claim", {"X-Worker-ID": "two words"}, "X-Worker-ID"),
        ("/claim", {"X-Worker-ID": "x" * 101}, "X-Worker-ID"),
        ("/claim", {"X-Worker-ID": "a", "X-Lease-Seconds": "soon"}, "X-Lease-Seconds"),
        ("/claim", {"X-Worker-ID": "a", "X-Lease-Seconds": "-1"}, "X-Lease-Seconds"),
        ("/claim", {"X-Worker-ID": "a", "X-Lease-Seconds": "inf"}, "X-Lease-Seconds"),
        ("/claim?limit=0", {"X-Worker-ID": "a"}, "limit"),
        ("/claim?wait=soon", {"X-Worker-ID": "a"}, "wait"),
        ("/renew", {"X-Lease-Seconds": "9"}, "X-Worker-ID"),
        ("/renew", {"X-Worker-ID": "a"}, "X-Lease-Seconds"),
    ],
)
def test_bad_claim_is_refused_and_takes_nothing(
    api: TaskApiCaller, path: str, headers: Mapping[str, str], complaint: str
) -> None:
    add(api, "t")
    status, answer = api.ask("POST", path, {"ids": ["t"]}, headers)
    assert status == 400
    assert complaint in str(answer)
    assert api.listed() == ["t"]


# --- Leases -----------------------------------------------------------------------------------------------


def test_task_whose_lease_runs_out_is_handed_out_again(api: TaskApiCaller) -> None:
    add(api, "t")
    assert api.worker("a", lease_seconds=60).claim() == ["t"]
    api.clock.advance(59)
    assert (api.listed(), api.counts()) == ([], {"processing": 1})
    api.clock.advance(1)
    assert (api.listed(), api.counts(), api.show("t")["status"]) == (["t"], {"pending": 1}, "pending")
    assert api.worker("b", lease_seconds=60).claim() == ["t"]


def test_claim_without_a_lease_never_runs_out(api: TaskApiCaller) -> None:
    add(api, "one", "two")
    assert api.worker("a").claim(limit=1) == ["one"]
    assert api.patch("two", CLAIMED) == 200
    api.clock.advance(1e9)
    assert api.listed() == []


def test_renewed_claim_lasts_for_another_lease_from_now(api: TaskApiCaller) -> None:
    add(api, "t")
    worker = api.worker("a", lease_seconds=60)
    worker.claim()
    api.clock.advance(50)
    assert worker.renew(["t"]) == {"t"}
    api.clock.advance(59)
    assert api.listed() == []
    api.clock.advance(1)
    assert api.listed() == ["t"]


def test_renewal_names_what_is_still_the_workers_own(api: TaskApiCaller) -> None:
    add(api, "mine", "reported", "given back", "unclaimed", "anothers")
    mine, other = api.worker("a", 60), api.worker("b", 60)
    for task_id in ("mine", "reported", "given back"):
        assert mine.patch(task_id, CLAIMED) == 200
    assert other.patch("anothers", CLAIMED) == 200
    assert mine.patch("reported", SUCCEEDED) == 200
    assert mine.patch("given back", GIVEN_BACK) == 200
    asked = ["mine", "reported", "given back", "unclaimed", "anothers", "unknown"]
    assert mine.renew(asked) == {"mine"}
    assert api.counts() == {"pending": 2, "processing": 2, "succeeded": 1}


def test_expired_lease_is_renewed_unless_another_took_the_task(api: TaskApiCaller) -> None:
    add(api, "free", "taken", "taken by one without a name", "taken and given back")
    late, other = api.worker("a", 60), api.worker("b", 60)
    late.claim()
    api.clock.advance(61)
    assert other.patch("taken", CLAIMED) == 200
    assert api.patch("taken by one without a name", CLAIMED) == 200
    assert other.patch("taken and given back", CLAIMED) == 200
    assert other.patch("taken and given back", GIVEN_BACK) == 200
    asked = ["free", "taken", "taken by one without a name", "taken and given back"]
    assert late.renew(asked) == {"free"}
    assert api.listed() == ["taken and given back"]


@pytest.mark.parametrize("task_id", HOSTILE_IDS)
def test_id_is_data_in_a_renewal(api: TaskApiCaller, task_id: str) -> None:
    add(api, task_id, "another")
    worker = api.worker("a", 60)
    worker.claim()
    assert worker.renew([task_id]) == {task_id}


@pytest.mark.slow
def test_ten_thousand_claims_are_renewed_in_one_call(api: TaskApiCaller) -> None:
    ids = [f"t{number}" for number in range(10_000)]
    add(api, *ids)
    worker = api.worker("a", 60)
    assert worker.claim(limit=10_000) == ids
    assert worker.renew(ids) == set(ids)
    assert worker.renew([]) == set()


@pytest.mark.parametrize(
    "body", [None, [], {}, {"ids": "t"}, {"ids": [1]}, {"ids": None}, {"ids": ["t"] * 10_001}]
)
def test_bad_renewal_is_refused(api: TaskApiCaller, body: object) -> None:
    assert api.worker("a", 60).ask("POST", "/renew", body)[0] == 400


def test_long_poll_is_answered_by_a_lease_that_runs_out(api: TaskApiCaller) -> None:
    add(api, "t")
    api.worker("a", 60).claim()
    with ThreadPoolExecutor(1) as pool:
        poll = pool.submit(api.listed, wait_seconds=20)
        wait_until_polled(api)
        api.clock.advance(60)
        assert poll.result(timeout=10) == ["t"]


def test_lease_outlives_the_api(tmp_path: Path) -> None:
    database = tmp_path / "tasks.sqlite3"
    with task_api_caller(database) as api:
        add(api, "t")
        api.worker("a", 60).claim()
    with task_api_caller(database) as api:
        assert api.worker("a", 60).renew(["t"]) == {"t"}
        api.clock.advance(60)
        assert api.listed() == ["t"]


def test_database_from_before_leases_is_taken_up(tmp_path: Path) -> None:
    database = tmp_path / "tasks.sqlite3"
    with task_api_caller(database) as api:
        add(api, "t")
    with closing(sqlite3.connect(database, isolation_level=None)) as old:
        old.execute("DROP INDEX tasks_by_lease")
        for column in ("owner", "lease_until"):
            old.execute(f"ALTER TABLE tasks DROP COLUMN {column}")
    with task_api_caller(database) as api:
        assert api.worker("a", 60).claim() == ["t"]


def test_looking_for_expired_leases_costs_nothing_where_there_are_none(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "tasks.sqlite3")), sqlite3.connect(tmp_path / "tasks.sqlite3") as database:
        query = "EXPLAIN QUERY PLAN UPDATE tasks SET state = 'pending' WHERE lease_until <= 1"
        plan = " ".join(str(row) for row in database.execute(query))
    database.close()
    assert "USING INDEX tasks_by_lease" in plan


# --- One by one -------------------------------------------------------------------------------------------


def test_claim_by_patch_has_an_owner_and_a_lease_as_well(api: TaskApiCaller) -> None:
    add(api, "t")
    worker = api.worker("a", 60)
    assert worker.patch("t", CLAIMED) == 200
    assert worker.renew(["t"]) == {"t"}
    api.clock.advance(60)
    assert api.listed() == ["t"]


def test_owner_may_claim_again_and_nobody_else(api: TaskApiCaller) -> None:
    add(api, "t")
    worker = api.worker("a", 60)
    assert worker.patch("t", CLAIMED) == 200
    api.clock.advance(50)
    assert worker.patch("t", CLAIMED) == 200
    assert (api.worker("b", 60).patch("t", CLAIMED), api.patch("t", CLAIMED)) == (409, 409)
    api.clock.advance(59)
    assert api.listed() == []


def test_expired_lease_can_be_claimed_by_patch(api: TaskApiCaller) -> None:
    add(api, "t")
    api.worker("a", 60).claim()
    api.clock.advance(60)
    assert api.worker("b", 60).patch("t", CLAIMED) == 200


def test_task_of_another_worker_is_not_given_back_by_one_who_lost_it(api: TaskApiCaller) -> None:
    add(api, "t")
    late, other = api.worker("a", 60), api.worker("b", 60)
    late.claim()
    api.clock.advance(60)
    other.claim()
    assert late.patch("t", GIVEN_BACK) == 409
    assert api.listed() == []
    assert api.patch("t", GIVEN_BACK) == 200, "a person gives no name"
    assert api.listed() == ["t"]


def test_first_report_is_taken_though_another_worker_has_the_task(api: TaskApiCaller) -> None:
    add(api, "t")
    late, other = api.worker("a", 60), api.worker("b", 60)
    late.claim()
    api.clock.advance(60)
    other.claim()
    assert late.patch("t", SUCCEEDED) == 200
    assert other.renew(["t"]) == set(), "so the other worker can stop"
    assert other.patch("t", {"status": "failed", "error_message": "no"}) == 409
    assert other.patch("t", SUCCEEDED) == 200
    assert api.show("t")["status"] == "succeeded"


def test_final_task_stays_final_when_its_lease_would_have_run_out(api: TaskApiCaller) -> None:
    add(api, "t")
    worker = api.worker("a", 60)
    worker.claim()
    worker.patch("t", SUCCEEDED)
    api.clock.advance(1e6)
    assert api.counts() == {"succeeded": 1}


# --- An API that cannot -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "method", "path"),
    [
        (Operation.CLAIM, "POST", "/api/ai-tasks/claim"),
        (Operation.RENEW, "POST", "/api/ai-tasks/renew"),
        (Operation.BULK_REPORTS, "PATCH", "/api/ai-tasks"),
    ],
)
def test_api_without_an_operation_answers_as_an_older_one(
    tmp_path: Path, missing: Operation, method: str, path: str
) -> None:
    older = create_app(tmp_path / "older.sqlite3", None, ALL_OPERATIONS - {missing})
    newer = create_app(tmp_path / "newer.sqlite3", None)
    got = [app.test_client().open(path, method=method, data=b"").status_code for app in (older, newer)]
    for app in (older, newer):
        app.extensions["task_store"].close()
    assert got[0] in (404, 405)
    assert got[1] == 400


@pytest.mark.parametrize("word", ["pending", "summary", "claim", "renew"])
def test_word_of_the_api_is_no_id(api: TaskApiCaller, word: str) -> None:
    assert api.ask("POST", "", FLAT | {"id": word})[0] == 400
    assert api.ask("PATCH", f"/{word}", SUCCEEDED)[0] == 405


def test_stop_answers_a_claim_that_waits(api: TaskApiCaller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("examples.task_api.store.LOOK_FOR_EXPIRED_SECONDS", 60)
    with ThreadPoolExecutor(1) as pool:
        claim = pool.submit(api.worker("a").claim, wait_seconds=20)
        wait_until_polled(api)
        api.store.stop_waiting()
        assert claim.result(timeout=10) == []
