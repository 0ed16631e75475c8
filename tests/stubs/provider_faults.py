"""Everything that can go wrong with a provider, one function a fault."""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import orjson

from tests.stubs.provider_answer import Item, error_json

Edit = Callable[[Sequence[Item]], Sequence[Item]]


class Delivery(StrEnum):
    """How much of the answer arrives, and how."""

    WHOLE = "whole"
    NOTHING = "nothing"
    """The request is read, and then silence."""
    HALF_THEN_SILENCE = "half_then_silence"
    HALF_THEN_CLOSE = "half_then_close"
    DRIP = "drip"
    """A byte every 20 ms."""
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Fault:
    """A departure from the good answer. `body` replaces it; `edit` changes the items of its `data`."""

    name: str
    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    edit: Edit | None = None
    floats: bool = False
    usage: bool = True
    gzip: bool = False
    delivery: Delivery = Delivery.WHOLE
    billed: bool = False
    """Did the provider do the work, so that its texts are paid for?"""


def rate_limited(**headers: str) -> Fault:
    """429; `retry_after="2"`, `retry_after_ms="50"` and the like become headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = error_json("Rate limit reached for requests", code="rate_limit_exceeded", kind="requests")
    return Fault("rate_limited", 429, body, named)


def quota_exhausted() -> Fault:
    body = error_json("You exceeded your current quota", code="insufficient_quota", kind="insufficient_quota")
    return Fault("quota_exhausted", 429, body)


def unauthorized(message: str = "Incorrect API key provided") -> Fault:
    return Fault("unauthorized", 401, error_json(message, code="invalid_api_key"))


def forbidden() -> Fault:
    body = error_json("Project does not have access to model `m`", code="model_not_found")
    return Fault("forbidden", 403, body)


def model_not_found(model: str = "m") -> Fault:
    body = error_json(f"The model `{model}` does not exist", code="model_not_found")
    return Fault("model_not_found", 404, body)


def html_not_found() -> Fault:
    return html_page(404)


def html_page(status: int) -> Fault:
    body = b"<!doctype html><title>nginx</title><p>no model of a page</p>"
    return Fault("html", status, body, {"Content-Type": "text/html"})


def refused(
    status: int = 400, message: str = "the input is not acceptable", code: str | None = None
) -> Fault:
    return Fault("refused", status, error_json(message, code=code))


def server_error(status: int = 500, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault("server_error", status, error_json("The server had an error", kind="server_error"), named)


def redirect(location: str, status: int = 307) -> Fault:
    return Fault("redirect", status, b"", {"Location": location})


def hang() -> Fault:
    return Fault("hang", delivery=Delivery.NOTHING)


def hang_in_body() -> Fault:
    return Fault("hang_in_body", delivery=Delivery.HALF_THEN_SILENCE, billed=True)


def truncated() -> Fault:
    return Fault("truncated", delivery=Delivery.HALF_THEN_CLOSE, billed=True)


def drip() -> Fault:
    return Fault("drip", delivery=Delivery.DRIP, billed=True)


def reset() -> Fault:
    return Fault("reset", delivery=Delivery.RESET)


def garbage(body: bytes = b'{"data": [}') -> Fault:
    return Fault("garbage", body=body, billed=True)


def gzipped(*, declared: bool = True) -> Fault:
    """Not wrong, though nobody asked for it."""
    headers = {"Content-Encoding": "gzip"} if declared else {}
    return Fault("gzipped", headers=headers, gzip=True, billed=True)


def declared_gzip() -> Fault:
    """A proxy inflated the answer and left the header as it was."""
    return Fault("declared_gzip", headers={"Content-Encoding": "gzip"}, billed=True)


def error_in_success(message: str = "upstream says no", code: object = None) -> Fault:
    """A gateway's habit: the error of the provider behind it with status 200."""
    return Fault("error_in_success", 200, orjson.dumps({"error": {"message": message, "code": code}}))


def compressed() -> Fault:
    return Fault("compressed", body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"}, billed=True)


def fewer_vectors() -> Fault:
    return _edited("fewer_vectors", lambda items: items[:-1])


def more_vectors() -> Fault:
    return _edited("more_vectors", lambda items: [*items, Item(len(items), items[0].vector)])


def reversed_order() -> Fault:
    """Not wrong: each item still says which text it belongs to."""
    return _edited("reversed_order", lambda items: items[::-1])


def repeated_index() -> Fault:
    return _edited("repeated_index", lambda items: [Item(0, item.vector) for item in items])


def no_index() -> Fault:
    return _edited("no_index", lambda items: [Item(None, item.vector) for item in items])


def no_zero_index() -> Fault:
    """Servers built on protobuf leave out what is 0."""
    return _edited("no_zero_index", lambda items: [Item(item.index or None, item.vector) for item in items])


def not_a_number() -> Fault:
    return _edited(
        "not_a_number",
        lambda items: [Item(item.index, np.append(item.vector[1:], np.float32("nan"))) for item in items],
    )


def empty_vector() -> Fault:
    return _edited("empty_vector", lambda items: [Item(item.index, item.vector[:0]) for item in items])


def wrong_dimension() -> Fault:
    """The last vector is a number short."""
    return _edited(
        "wrong_dimension", lambda items: [*items[:-1], Item(items[-1].index, items[-1].vector[1:])]
    )


def ignored_dimensions() -> Fault:
    """All vectors are of one length, only not of that asked for."""
    return _edited("ignored_dimensions", lambda items: [Item(item.index, item.vector[1:]) for item in items])


def float_lists() -> Fault:
    """Not wrong: some servers know no base64."""
    return Fault("float_lists", floats=True, billed=True)


def no_usage() -> Fault:
    return Fault("no_usage", usage=False, billed=True)


def _edited(name: str, edit: Edit) -> Fault:
    return Fault(name, edit=edit, billed=True)


class RandomFaults:
    """A policy: faults at given rates (0 to 1), the same for the same seed and order of calls."""

    def __init__(self, rates: Mapping[str, float], seed: int, retry_after_seconds: float = 1.0) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        makers: dict[str, Callable[[], Fault]] = {
            "429": lambda: rate_limited(retry_after=f"{retry_after_seconds:g}"),
            "500": server_error,
            "hang": hang,
            "hang_in_body": hang_in_body,
            "reset": reset,
            "garbage": garbage,
            "fewer": fewer_vectors,
        }
        self._chances = [(rate, makers[name]) for name, rate in rates.items() if rate > 0]

    def __call__(self, texts: Sequence[str]) -> Fault | None:
        with self._lock:
            drawn = self._random.random()
        for rate, make in self._chances:
            if drawn < rate:
                return make()
            drawn -= rate
        return None


def refuse_texts_with(marker: str) -> Callable[[Sequence[str]], Fault | None]:
    """A policy: 400 for every call with a text that contains `marker`."""

    def policy(texts: Sequence[str]) -> Fault | None:
        guilty = any(marker in text for text in texts)
        return refused(message=f"a text contains {marker}") if guilty else None

    return policy
