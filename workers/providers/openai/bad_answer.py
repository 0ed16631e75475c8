"""An answer of the provider that cannot be used."""

from shared.errors import RetryableError, RetryReason


def bad_answer(what: str) -> RetryableError:
    """The error for an answer that is `what`: the provider's trouble as a whole, never one task's fault."""
    return RetryableError(f"the provider's answer cannot be used: {what}", reason=RetryReason.BAD_RESPONSE)
