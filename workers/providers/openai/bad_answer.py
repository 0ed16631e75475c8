"""An answer of the provider that cannot be used."""

from shared.errors import RetryableError, RetryReason


def bad_answer(what: str, *, one_by_one: bool = False) -> RetryableError:
    """The error for an answer that is `what`: the provider's trouble as a whole, never one task's fault.

    `one_by_one`: an answer to a single text could be used.
    """
    message = f"the provider's answer cannot be used: {what}"
    return RetryableError(message, reason=RetryReason.BAD_RESPONSE, one_by_one=one_by_one)
