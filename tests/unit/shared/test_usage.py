"""Tokens by kind."""

import pickle

from shared.models import NOTHING_BILLED, Usage


def test_usages_of_several_calls_add_up_kind_by_kind() -> None:
    assert Usage(1, 2, 3, 4, 5) + Usage(10, 20, 30, 40, 50) == Usage(11, 22, 33, 44, 55)
    assert Usage(1, 2) + NOTHING_BILLED == Usage(1, 2)


def test_only_kinds_that_were_billed_are_named() -> None:
    assert Usage(prompt_tokens=3, total_tokens=3).by_kind == {"prompt": 3}
    assert NOTHING_BILLED.by_kind == {}


def test_it_travels_between_processes() -> None:
    usage = Usage(1, 2, 3, 4, 5)
    assert pickle.loads(pickle.dumps(usage)) == usage
