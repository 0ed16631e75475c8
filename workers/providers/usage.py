"""Sharing out a batch's token usage over its tasks."""

from collections.abc import Sequence

from shared.models import Usage


def share_usage(usage: Usage, weights: Sequence[int]) -> list[Usage]:
    """A part of `usage` for each weight, in proportion; the parts add up to `usage` exactly."""
    prompts = share(usage.prompt_tokens, weights)
    totals = share(usage.total_tokens, weights)
    return [
        Usage(prompt_tokens=prompt, total_tokens=total) for prompt, total in zip(prompts, totals, strict=True)
    ]


def share(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in whole parts proportional to `weights`, by the method of the largest remainder.

    Weights that are all 0 count as equal.
    """
    whole = sum(weights)
    if whole <= 0:
        weights = [1] * len(weights)
        whole = len(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: -(total * weights[place] % whole))
    for place in by_remainder[: total - sum(parts)]:
        parts[place] += 1
    return parts
