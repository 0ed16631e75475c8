"""A headless chromium, driven over a pair of pipes with its DevTools protocol."""

import itertools
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

PATIENCE_SECONDS = 20.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)

ON_THREE_AND_FOUR = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for place, pipe in zip((3, 4), pipes):
    os.dup2(pipe, place)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Becomes the program in its arguments, with the two pipes where the protocol expects them."""

# Any: messages of the protocol, whose shape is chromium's.
Message = dict[str, Any]


class Tab:
    """One page. Whatever it complains of on its console is in `complaints`."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._numbers = itertools.count(1)
        self._unread = b""
        self._session = ""
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> Message:
        """One command and its result."""
        number = next(self._numbers)
        message: Message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, orjson.dumps(message) + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._note(answer)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, run in the page from outside its policy."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until the expression is true."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.ask(expression):
            assert time.monotonic() < deadline, f"never: {expression}; complaints: {self.complaints}"
            time.sleep(0.05)

    def dress(self, width: int, scheme: str) -> None:
        """Show the page `width` pixels wide, in the colour scheme `light` or `dark`."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def _note(self, event: Message) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Log.entryAdded":
                self.complaints.append(parameters["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.complaints.append(str(parameters))

    def _read(self) -> Message:
        while b"\0" not in self._unread:
            readable, _, _ = select.select([self._from], [], [], PATIENCE_SECONDS)
            assert readable, "chromium is silent"
            chunk = os.read(self._from, 65_536)
            assert chunk, "chromium is gone"
            self._unread += chunk
        message, _, self._unread = self._unread.partition(b"\0")
        return dict(orjson.loads(message))


@contextmanager
def chromium(profile: Path) -> Iterator[Tab]:
    """A tab of a new browser, with an empty profile in `profile`, closed at the end."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "these tests need chromium: install it and try again"
    browser_reads, we_write = os.pipe()
    we_read, browser_writes = os.pipe()
    pipes = (str(browser_reads), str(browser_writes))
    process = subprocess.Popen(
        [sys.executable, "-c", ON_THREE_AND_FOUR, *pipes, program, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(browser_reads, browser_writes),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(browser_reads)
    os.close(browser_writes)
    try:
        yield Tab(we_write, we_read)
    finally:
        with suppress(OSError):
            os.write(we_write, orjson.dumps({"id": 0, "method": "Browser.close"}) + b"\0")
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(we_write)
        os.close(we_read)
