"""Outcomes of processors, checked: the supervisor takes what a worker sends it for sound."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from shared.errors import Blame, RetryReason
from shared.messages import Failure
from shared.models import NOTHING_BILLED, Output, Usage
from shared.plain_text import safe_message, words_of
from shared.retry import MAX_RETRY_AFTER_SECONDS

MAX_RESULT_BYTES: Final = 64 * 2**20
"""Of one task. All results of a unit are in memory at once, in the worker and in the supervisor."""
MAX_TOKENS_BILLED: Final = 2**53


def checked_output(output: Output, *, reads_value: bool = True) -> Output | Failure:
    """The output, or a failure by the processor's fault where no report can be made of it.

    `reads_value` is False where the value is known to be JSON: a look at it takes as long as to write it.
    """
    fault = _fault_of(output)
    if fault is None and reads_value:
        try:
            orjson.loads(output.value)
        except ValueError:
            fault = "its value is no JSON"
    if fault is None:
        return output
    return Failure(f"the processor's Output cannot be reported: {fault}", blame=Blame.PROCESSOR)


def checked_failure(failure: Failure) -> Failure:
    """The failure, without what the supervisor could not use of it."""
    is_known = failure.retry is None or isinstance(failure.retry, RetryReason)
    return replace(
        failure,
        retry=failure.retry if is_known else None,
        blame=failure.blame if is_known and isinstance(failure.blame, Blame) else Blame.PROCESSOR,
        retry_after_seconds=_seconds(failure.retry_after_seconds),
        one_by_one=bool(failure.one_by_one),
        usage=failure.usage if _is_usage(failure.usage) else NOTHING_BILLED,
    )


def _fault_of(output: Any) -> str | None:
    if not isinstance(output.value, bytes) or not output.value:
        return "its value must be JSON as bytes"
    if len(output.value) > MAX_RESULT_BYTES:
        return f"its value has {len(output.value):,} bytes, and {MAX_RESULT_BYTES:,} are the most"
    if not isinstance(output.name, str) or not isinstance(output.model, str):
        return "its name and its model must be texts"
    if not _is_usage(output.usage):
        return "its usage must be a Usage of whole numbers, 0 or more"
    if not isinstance(output.extra, Mapping):
        return "its extra must be an object"
    try:
        orjson.dumps({"name": output.name, "model": output.model, **output.extra})
    except Exception as error:  # noqa: BLE001  a Mapping of a plug-in may raise anything
        return safe_message(f"its name, model or extra is no JSON: {words_of(error)}")
    return None


def _is_usage(usage: object) -> bool:
    return isinstance(usage, Usage) and all(
        type(tokens) is int and 0 <= tokens <= MAX_TOKENS_BILLED
        for tokens in (getattr(usage, name) for name in Usage.__slots__)
    )


def _seconds(asked: object) -> float | None:
    """As long as a header may ask for; None where it is no time to come."""
    if isinstance(asked, bool) or not isinstance(asked, int | float) or not asked > 0:
        return None
    return min(asked, MAX_RETRY_AFTER_SECONDS)
