"""Kinds of providers found by entry point, and a broken one that hurts no other."""

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import httpx2
import pytest
from pydantic import SecretStr

from shared.errors import ConfigurationError, NonRetryableError, RetryableError, RetryReason
from shared.metrics import WorkerMetrics
from shared.provider_accounts import LOCAL, OPENAI, ProviderAccount
from workers.providers import registry
from workers.providers.base import BaseProvider
from workers.providers.calls import ProviderCalls
from workers.providers.openai.client import OpenAIClient
from workers.providers.registry import GROUP, ProviderClients, find_provider, preload_providers

SERVER = ProviderAccount("server", base_url="http://127.0.0.1:9/v1")


class Echo(BaseProvider):
    kind: ClassVar[str] = "echo"


class Misnamed(BaseProvider):
    kind: ClassVar[str] = "other"


class Raising(BaseProvider):
    kind: ClassVar[str] = "raising"

    def __init__(self, settings: ProviderAccount, calls: ProviderCalls) -> None:
        raise RuntimeError("no licence")


class Exiting(BaseProvider):
    kind: ClassVar[str] = "exiting"

    @classmethod
    def preload(cls) -> None:
        sys.exit(3)


NOT_A_PROVIDER = "text"
Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs what offers the kinds, each as (kind, path)."""

    def installed(*offers: tuple[str, str]) -> None:
        entries = [EntryPoint(kind, path, GROUP) for kind, path in offers]
        monkeypatch.setattr(registry, "entry_points", lambda group: entries if group == GROUP else [])

    return installed


def here(name: str) -> str:
    return f"{__name__}:{name}"


def clients(*accounts: ProviderAccount) -> ProviderClients:
    return ProviderClients(accounts, ProviderCalls(WorkerMetrics(), lambda: 0.0))


def test_kind_of_a_package_is_found_by_its_entry_point(install: Install) -> None:
    install(("echo", here("Echo")))
    client = clients(ProviderAccount("mine", "echo")).client("mine")
    assert type(client).__name__ == "Echo"
    assert client.settings.name == "mine"


def test_client_is_made_once(install: Install) -> None:
    install(("echo", here("Echo")))
    made = clients(ProviderAccount("mine", "echo"))
    assert made.client("mine") is made.client("mine")


@pytest.mark.parametrize(
    ("offers", "kind", "said"),
    [
        ([("bad", "no.such.module:Provider")], "bad", "cannot be imported: ModuleNotFoundError"),
        ([("bad", here("Nothing"))], "bad", "cannot be imported: AttributeError"),
        ([("bad", here("NOT_A_PROVIDER"))], "bad", "is no class that extends BaseProvider"),
        ([("bad", "pathlib:Path")], "bad", "is no class that extends BaseProvider"),
        ([("bad", here("Misnamed"))], "bad", 'its class says kind = "other"'),
        ([("raising", here("Raising"))], "raising", "raising cannot be made: RuntimeError: no licence"),
        ([("echo", here("Echo")), ("echo", "a:B")], "echo", 'both offer the kind "echo"; remove one of them'),
        ([], "bad", 'there is no kind "bad"; install the package that offers it'),
    ],
)
def test_broken_plugin_puts_its_provider_on_hold_and_no_other(
    install: Install, offers: Sequence[tuple[str, str]], kind: str, said: str
) -> None:
    install(*offers)
    made = clients(ProviderAccount("bad", kind), SERVER)
    with pytest.raises(RetryableError) as caught:
        made.client("bad")
    assert caught.value.reason is RetryReason.UNUSABLE
    assert said in str(caught.value)
    assert str(caught.value).startswith("PROVIDERS__BAD__KIND: ")
    assert made.client("server").settings is SERVER


def test_module_that_exits_ends_nothing(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exits_at_import.py").write_text("raise SystemExit(7)")
    monkeypatch.syspath_prepend(tmp_path)
    install(("bad", "exits_at_import:Provider"), ("exiting", here("Exiting")))
    preload_providers(["bad", "exiting", "unknown"])
    with pytest.raises(RetryableError, match="SystemExit: 7"):
        clients(ProviderAccount("bad", "bad")).client("bad")


def test_package_cannot_take_the_place_of_a_built_in_kind(install: Install) -> None:
    install((OPENAI, here("Echo")), (LOCAL, here("Echo")))
    assert find_provider(OPENAI).__name__ == "OpenAIProvider"
    assert find_provider(LOCAL).__name__ == "LocalProvider"


def test_provider_that_is_gone_from_the_settings_is_named() -> None:
    with pytest.raises(RetryableError, match='there is no provider "gone"'):
        clients(SERVER).client("gone")


def test_openai_without_a_key_says_which_setting_is_missing() -> None:
    made = clients(ProviderAccount(OPENAI), ProviderAccount("second"))
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY: is required"):
        made.connect(OPENAI)
    with pytest.raises(ConfigurationError, match="PROVIDERS__SECOND__API_KEY: is required"):
        made.connect("second")


def test_what_a_provider_does_not_offer_is_the_tasks_fault(install: Install) -> None:
    install(("echo", here("Echo")))
    client = clients(ProviderAccount("mine", "echo")).client("mine")
    with pytest.raises(NonRetryableError, match="the provider mine offers no embeddings"):
        client.embed(["a"], "m", None)


@pytest.mark.parametrize(("name", "is_sent"), [(OPENAI, True), ("other", False)])
def test_variables_of_the_sdk_hold_for_openai_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, *, is_sent: bool
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway-Key: secret-1")
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(500)

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        client = OpenAIClient(
            key="sk-1",
            base_url="http://host/v1",
            timeout_seconds=1.0,
            http=http,
            calls=ProviderCalls(WorkerMetrics(), lambda: 0.0),
            wall_clock=lambda: 0.0,
            account=ProviderAccount(name, base_url="http://host/v1", api_key=SecretStr("sk-1")),
        )
        with pytest.raises(RetryableError):
            client.embed(["a"], "m", None)
    headers = requests[0].headers
    assert headers["authorization"] == "Bearer sk-1"
    sent = {"org-1", "project-1", "secret-1"} & set(headers.values())
    assert len(sent) == (3 if is_sent else 0)


class Slow(BaseProvider):
    """Is made once it may be."""

    kind: ClassVar[str] = "slow"
    begun = threading.Event()
    may_end = threading.Event()

    def __init__(self, settings: ProviderAccount, calls: ProviderCalls) -> None:
        super().__init__(settings, calls)
        self.begun.set()
        assert self.may_end.wait(10.0)


def test_client_that_takes_long_to_make_holds_up_no_other(install: Install) -> None:
    install(("slow", f"{__name__}:Slow"), ("echo", f"{__name__}:Echo"))
    accounts = (ProviderAccount("a", "slow"), ProviderAccount("b", "echo"))
    clients = ProviderClients(accounts, ProviderCalls(WorkerMetrics(), lambda: 0.0))
    making = threading.Thread(target=clients.connect, args=("a",), daemon=True)
    making.start()
    assert Slow.begun.wait(10.0)
    other = threading.Thread(target=clients.connect, args=("b",), daemon=True)
    other.start()
    other.join(5.0)
    held_up = other.is_alive()
    Slow.may_end.set()
    making.join(10.0)
    assert not held_up
