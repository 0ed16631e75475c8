"""What the checks of `deploy/verify` take from the commands that they run."""

import pytest

from deploy.verify.checks import CheckFailedError, run

WARNS = "echo container-1; echo 'warning: the short name was resolved' >&2"


def test_a_warning_of_a_command_is_no_part_of_its_answer() -> None:
    assert run("sh", "-c", WARNS) == "container-1\n"


def test_a_command_that_fails_is_told_with_what_it_wrote_to_both_streams() -> None:
    with pytest.raises(CheckFailedError, match=r"ended with 3:\ncontainer-1\nwarning"):
        run("sh", "-c", f"{WARNS}; exit 3")
