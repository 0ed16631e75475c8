"""TASK_LIMITS: units at once by task type, and what is said when they are wrong."""

import pytest

from shared.errors import ConfigurationError
from shared.loading import load_settings
from tests.unit.shared.conftest import Surroundings


def test_limits_are_given_by_task_type(complete: Surroundings) -> None:
    complete.set(TASK_LIMITS='{"text-generation": 20, " Text_Embedding ": 256}')
    assert load_settings().task_limits == {"text-generation": 20, "text-embedding": 256}


@pytest.mark.parametrize("value", ["{}", "'{}'", ""])
def test_no_limits_are_no_fault(complete: Surroundings, value: str) -> None:
    complete.set(TASK_LIMITS=value)
    assert load_settings().task_limits == {}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("text-generation=20", "is no JSON (line 1, column 1)"),
        ("[20]", 'must be a JSON object, such as {"text-generation": 20}'),
        ("20", "must be a JSON object"),
        ('{"a": 0}', 'must give "a" a whole number from 1 to 256'),
        ('{"a": 257}', 'must give "a" a whole number from 1 to 256'),
        ('{"a": -1}', 'must give "a" a whole number'),
        ('{"a": 2.5}', 'must give "a" a whole number'),
        ('{"a": "20"}', 'must give "a" a whole number'),
        ('{"a": true}', 'must give "a" a whole number'),
        ('{"a": null}', 'must give "a" a whole number'),
        ('{"a": NaN}', 'must give "a" a whole number'),
        ('{"a": {"units": 1}}', 'must give "a" a whole number'),
        ('{" ": 1}', "has an empty task type"),
        ('{"a": 1, "a": 2}', "has 'a' twice"),
        ('{"a-b": 1, "A_b": 2}', "has 'a-b' twice"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_fault_says_what_is_wrong(complete: Surroundings, value: str, said: str) -> None:
    complete.set(TASK_LIMITS=value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    (fault,) = caught.value.faults
    assert fault.startswith("TASK_LIMITS: ")
    assert said in fault
