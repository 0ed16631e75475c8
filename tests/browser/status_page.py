"""The status page in a real browser. Not part of `make test`: `make test-browser` runs it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from supervisor.console.page.document import render_page
from supervisor.status.status import FailureStatus, RateLimitStatus, Status
from tests.browser.chromium import Tab, chromium
from tests.integration.status_server import StatusServer, status_server
from tests.stubs.scripted_http import Answer, ScriptedServer
from tests.unit.supervisor.status.statuses import WORKING

LONG = "text-embedding-of-a-very-long-name-" * 6
CROWDED = replace(
    WORKING,
    workers=tuple(replace(WORKING.workers[1], slot=slot, model=LONG) for slot in range(8)),
    rate_limits=(RateLimitStatus(LONG, "tokens", 123_456, 1_000_000, 3.0),),
    failures=(FailureStatus(WORKING.at_seconds, 3, LONG, LONG, LONG),),
)
RUNNING = "document.querySelector('h1').textContent.startsWith('Working on 100')"


@pytest.fixture
def server() -> Iterator[StatusServer]:
    with status_server() as server:
        server.publish(WORKING)
        yield server


def page_of(status: Status) -> Answer:
    return Answer(200, render_page(status), {"Content-Type": "text/html; charset=utf-8"})


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    with chromium(tmp_path / "profile") as tab:
        yield tab


def test_page_keeps_its_own_policy_and_complains_of_nothing(server: StatusServer, tab: Tab) -> None:
    tab.open(server.url)
    tab.wait(RUNNING)
    assert tab.ask("getComputedStyle(document.querySelector('.lamp')).borderRadius") == "50%"
    server.publish(replace(WORKING, backlog=77))
    tab.wait("document.querySelector('main').textContent.includes('77')")
    assert tab.complaints == []


def test_page_updates_itself_without_making_anything_anew(server: StatusServer, tab: Tab) -> None:
    tab.open(server.url)
    tab.wait(RUNNING)
    tab.ask("window.kept = [...document.querySelectorAll('main *')].filter((e) => !e.closest('svg'))")
    tab.ask("getSelection().selectAllChildren(document.querySelector('.figures'))")
    server.publish(replace(WORKING, in_flight=42))
    tab.wait("document.querySelector('h1').textContent.startsWith('Working on 42')")
    assert tab.ask("window.kept.length > 100 && window.kept.every((element) => element.isConnected)")
    assert tab.ask("document.title").startswith("Working on 42")
    assert "Backlog" in tab.ask("getSelection().toString()")


def test_notices_come_and_go(server: StatusServer, tab: Tab) -> None:
    tab.open(server.url)
    tab.wait(RUNNING)
    server.publish(replace(WORKING, rejected=3))
    tab.wait("document.querySelector('.notices')?.textContent.includes('rejected 3 reports')")
    server.publish(WORKING)
    tab.wait("!document.querySelector('.notices')")
    tab.wait(RUNNING)


def test_page_says_when_the_service_is_gone_and_goes_on_when_it_is_back(tab: Tab) -> None:
    with ScriptedServer(lambda _: page_of(WORKING)) as server:
        tab.open(server.url)
        tab.wait(RUNNING)
        port = server.server_port
    tab.wait("!document.getElementById('lost').hidden")
    assert "No answer since" in tab.ask("document.getElementById('lost').innerText")
    with ScriptedServer(lambda _: page_of(replace(WORKING, in_flight=7)), port):
        tab.wait("document.getElementById('lost').hidden")
        tab.wait("document.querySelector('h1').textContent.startsWith('Working on 7')")


def test_page_of_a_newer_version_is_loaded_anew(tab: Tab) -> None:
    answers = [page_of(WORKING)]
    with ScriptedServer(lambda _: answers[-1]) as server:
        tab.open(server.url)
        tab.wait(RUNNING)
        tab.ask("window.old = true")
        newer = render_page(replace(WORKING, in_flight=8)).replace(
            b'name="build" content="', b'name="build" content="x'
        )
        answers.append(replace(answers[0], body=newer))
        tab.wait("document.querySelector('h1')?.textContent.startsWith('Working on 8') && !window.old")


def test_page_without_javascript_shows_all_and_refreshes(server: StatusServer, tab: Tab) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(server.url)
    tab.wait(RUNNING)
    server.publish(replace(WORKING, in_flight=9))
    tab.wait("document.querySelector('h1')?.textContent.startsWith('Working on 9')")


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_screen(server: StatusServer, tab: Tab, width: int) -> None:
    server.publish(CROWDED)
    tab.dress(width, "light")
    tab.open(server.url)
    tab.wait(RUNNING)
    assert tab.ask("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(server: StatusServer, tab: Tab, scheme: str) -> None:
    tab.dress(1280, scheme)
    tab.open(server.url)
    tab.wait(RUNNING)
    for selector in ("h1", ".headline p", ".muted", "td", "th", "dt", ".pill"):
        assert tab.ask(CONTRAST % selector) >= 4.5, selector


CONTRAST = """(() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const linear = (c) => (c <= 10 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    const [R, G, B] = [r, g, b].map(linear);
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = channels(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
  };
  return Math.min(...[...document.querySelectorAll('%s')].map((element) => {
    const [a, b] = [light(channels(getComputedStyle(element).color)), light(ground(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
})()"""
