"""The status page as a whole."""

import base64
import hashlib
import re
from dataclasses import replace

import pytest

from supervisor.console.page.document import CONTENT_SECURITY_POLICY, render_page
from supervisor.runtime.trouble import Trouble
from supervisor.status.status import (
    DeathStatus,
    FailureStatus,
    HoldStatus,
    Idle,
    LearnedAboutModel,
    LearnedStatus,
    RateLimitStatus,
    RetryStatus,
    Status,
    TokensStatus,
)
from supervisor.task_api.responses import PollResult
from tests.unit.supervisor.console.page.found import Found
from tests.unit.supervisor.status.statuses import BUSY_WORKER, WORKING, idle

HOSTILE = """</td><script>alert(1)</script><img src=x onerror='a'>"'&\u202e"""


def page(status: Status | None) -> str:
    return render_page(status).decode()


def body_of(html: str) -> Found:
    return Found(html.partition("<body>")[2])


@pytest.mark.parametrize("status", [None, WORKING, *(idle(reason) for reason in Idle)])
def test_page_is_one_readable_document(status: Status | None) -> None:
    found = Found(page(status))
    assert found.tags.count("h1") == 1
    assert found.tags.count("script") == 1
    assert {"html", "head", "title", "style", "noscript", "main"} <= set(found.tags)


def test_everything_hostile_is_escaped() -> None:
    status = replace(
        WORKING,
        version=HOSTILE,
        workers=(replace(BUSY_WORKER, model=HOSTILE),),
        holds=(HoldStatus(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1, 2.0, None),),
        poll=replace(WORKING.poll, last_result=HOSTILE),
        rate_limits=(RateLimitStatus(HOSTILE, HOSTILE, 1, 2, 3.0),),
        tokens=(TokensStatus(HOSTILE, 1, 2),),
        failures=(FailureStatus(WORKING.at_seconds, 1, HOSTILE, HOSTILE, HOSTILE),),
        deaths=(DeathStatus(WORKING.at_seconds, 1, 0, 1, HOSTILE),),
        troubles=(Trouble("api", "polls", HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1, 2.0, 3.0),),
        retry=RetryStatus(1, HOSTILE, HOSTILE, 2.0),
        learned=LearnedStatus(1, None, None, (LearnedAboutModel(HOSTILE, 1, None, None, None),)),
    )
    html = page(status)
    found = body_of(html)
    assert not {"script", "img"} & set(found.tags)
    assert "onerror" not in found.attributes
    assert "\u202e" not in html
    assert found.text.count("<script>alert(1)</script>") >= 9


@pytest.mark.parametrize(
    ("result", "words"), [(PollResult.TASKS, "brought tasks"), (PollResult.EMPTY, "no task listed")]
)
def test_page_says_what_the_last_good_poll_brought(result: PollResult, words: str) -> None:
    assert words in body_of(page(replace(WORKING, poll=replace(WORKING.poll, last_result=result)))).text


def test_page_shows_what_is_asked_of_it() -> None:
    failure = FailureStatus(WORKING.at_seconds - 95, 14, "task-9", "text-embedding", "no such model")
    death = DeathStatus(WORKING.at_seconds - 700, 2, 3, 100, "was killed by SIGKILL")
    limit = RateLimitStatus("text-embedding-3-small", "requests", 2987, 3000, 0.3)
    text = body_of(page(replace(WORKING, failures=(failure,), deaths=(death,), rate_limits=(limit,)))).text
    for shown in (
        "Working on 100 tasks in 1 worker",
        "1,203",
        "oldest waits 400 ms",
        "100 tasks of text-embedding-3-small",
        "120 MB",
        "4711",
        "5,184,000",
        "2,987 of 3,000",
        "no such model",
        "1 min ago",
        "it was killed by SIGKILL",
        "Task API breaker",
        "closed",
    ):
        assert shown in text


def test_rate_limits_are_hidden_while_none_is_known() -> None:
    assert "Rate limits" not in page(WORKING)


def test_policy_lets_in_the_pages_own_style_and_script_and_nothing_else() -> None:
    html = page(WORKING)
    for tag in ("style", "script"):
        (source,) = re.findall(rf"<{tag}(?: [^>]*)?>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'")
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert not re.search(r"\s(?:style|on\w+)=", html), "the policy forbids these"
    assert "http://" not in re.sub(r"xmlns=[^ ]+|http%3A//www.w3.org", "", html), "no outside assets"


def test_page_without_javascript_refreshes_itself() -> None:
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in page(WORKING)


def test_page_shows_the_cause_of_trouble_and_what_was_learned() -> None:
    trouble = Trouble("api", "polls", "timeout", "no answer", "http://api", "REQUEST_TIMEOUT", 1, 0.0, 0.0)
    learned = replace(WORKING.learned, tasks_a_page=50)
    text = body_of(page(replace(WORKING, troubles=(trouble,), learned=learned))).text
    for fact in ("Failing now", "no answer (at http://api)", "polls", "REQUEST_TIMEOUT"):
        assert fact in text
    assert "50 tasks a page" in text
    quiet = body_of(page(WORKING)).text
    assert "Learned limits" not in quiet
    assert "Failing now" not in quiet


def test_page_shows_what_waits_and_runs_of_each_task_type() -> None:
    text = " ".join(body_of(page(WORKING)).text.split())
    assert "Limit text-embedding 8 1 - text-generation 12,345 0 20" in text
