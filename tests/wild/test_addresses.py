"""Row A17: a host with two addresses, the first of which swallows every packet."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.service import API_TOKEN, OPENAI_KEY
from tests.stubs.scripted_http import ScriptedServer
from tests.wild.conftest import QUICK, Wild

pytestmark = pytest.mark.slow

DEAD, LIVE = "127.0.0.1", "127.0.0.9"
"""In the order in which the resolver sorts them."""
HOST = "two-addresses.test"
PENDING_CONNECTIONS = 6


def private_hosts_file(hosts: Path) -> list[str]:
    """A command that runs another with `hosts` in place of /etc/hosts, for that one alone."""
    script = f'mount --bind "{hosts}" /etc/hosts && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


@contextlib.contextmanager
def swallowing(port: int) -> Iterator[None]:
    """A listener whose queue is full: the packets of a new connection are dropped."""
    with contextlib.ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.socket())
        listener.bind((DEAD, port))
        listener.listen(0)
        for _ in range(PENDING_CONNECTIONS):
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((DEAD, port))
        yield


@pytest.mark.slow
def test_a17_second_address_is_used_when_the_first_swallows_packets(wild: Wild, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(f"{DEAD} {HOST}\n{LIVE} {HOST}\n127.0.0.1 localhost\n")
    through = private_hosts_file(hosts)
    if subprocess.run([*through, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    texts = wild.api.add(5)
    with (
        ScriptedServer(wild.api, host=LIVE) as api,
        ScriptedServer(wild.provider, host=LIVE) as provider,
        swallowing(api.server_port),
        swallowing(provider.server_port),
    ):
        wild.launch(
            {
                **QUICK,
                "API_BASE_URL": f"http://{HOST}:{api.server_port}",
                "API_TOKEN": API_TOKEN,
                "OPENAI_BASE_URL": f"http://{HOST}:{provider.server_port}/v1",
                "OPENAI_API_KEY": OPENAI_KEY,
                "REQUEST_TIMEOUT": "4",
                "OPENAI_TIMEOUT": "4",
            },
            through=through,
        )
        wild.api.wait_until_done()
        wild.assert_each_succeeded_once(texts)
