"""What `.env` and the files of settings may look like, and what is said where they cannot be read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.loading import load_settings
from tests.unit.shared.conftest import Surroundings


def fault() -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    (line,) = caught.value.faults
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    "line",
    [
        "CONCURRENCY_LIMIT=7",
        "CONCURRENCY_LIMIT=7\r",
        "export CONCURRENCY_LIMIT=7",
        "CONCURRENCY_LIMIT = 7  # seven workers",
        "CONCURRENCY_LIMIT='7'",
        'CONCURRENCY_LIMIT="7" # seven',
        "\ufeffCONCURRENCY_LIMIT=7",
        "concurrency_limit=7",
        "SEVEN=7\nCONCURRENCY_LIMIT=${SEVEN}",
        "if this is no assignment\nCONCURRENCY_LIMIT=7",
    ],
)
def test_line_of_the_env_file_may_be_written_in_these_ways(complete: Surroundings, line: str) -> None:
    complete.write_env_file(f"{line}\n")
    assert load_settings().concurrency_limit == 7


@pytest.mark.parametrize("around", ['"{}"', "'{}'", " {} ", "{}\r", "{} # why", '"{}" # why', "'{}'\r"])
def test_variable_may_have_around_it_what_dockers_env_file_keeps(complete: Surroundings, around: str) -> None:
    complete.set(
        CONCURRENCY_LIMIT=around.format("7"),
        API_BASE_URL=around.format("http://api.test"),
        API_TOKEN=around.format("tok#en"),
        STATE_DIR=around.format("/srv/state"),
        LOG_FORMAT=around.format("console"),
    )
    settings = load_settings()
    assert (settings.concurrency_limit, settings.api_base_url) == (7, "http://api.test")
    assert (settings.state_dir, settings.log_format) == (Path("/srv/state"), "console")
    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == "tok#en"


@pytest.mark.parametrize("empty", ["", " ", '""', "''", "  # none"])
def test_variable_with_nothing_in_it_counts_as_not_set(complete: Surroundings, empty: str) -> None:
    complete.set(CONCURRENCY_LIMIT=empty, API_TOKEN=empty, STATE_DIR=empty, LOG_LEVEL=empty)
    settings = load_settings()
    assert (settings.concurrency_limit, settings.state_dir, settings.api_token) == (5, Path("state"), None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("API_TOKEN=abc\n".encode("utf-16"), "is not UTF-8 text; save it as UTF-8"),
        (b"API_TOKEN=caf\xe9\n", "is not UTF-8 text; save it as UTF-8"),
        (b"API_TOKEN=a\x00b\n", "is not text: it has zero bytes in it"),
        (b"#" * (2**20 + 1), "is larger than 1024 KB; it is not the file that was meant"),
    ],
    ids=["utf-16", "latin-1", "zero bytes", "large"],
)
def test_env_file_that_cannot_be_read_as_text_is_named(
    complete: Surroundings, content: bytes, said: str
) -> None:
    complete.write_env_file(content)
    assert fault() == f".env: {said}"


def test_quote_that_is_never_closed_is_named_with_its_line(complete: Surroundings) -> None:
    complete.write_env_file('# ours\nexport API_TOKEN="abc\n')
    assert fault().startswith("API_TOKEN: line 2 of .env cannot be read")


def directory(path: Path) -> None:
    path.mkdir()


def link_to_nowhere(path: Path) -> None:
    path.symlink_to("nowhere")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def link_elsewhere(path: Path) -> None:
    (path.parent.parent / "elsewhere").write_text("x")
    path.symlink_to("../elsewhere")


def named_pipe(path: Path) -> None:
    os.mkfifo(path)


def test_current_directory_that_is_gone_is_named(complete: Surroundings) -> None:
    complete.working_directory.rmdir()
    assert fault().startswith(".env: cannot be looked for: the current directory is gone")


Make = Callable[[Path], None]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (directory, "is a directory, not a file"),
        (link_to_nowhere, "is a link to nowhere"),
        (link_to_itself, "cannot be read: Too many levels of symbolic links"),
    ],
)
def test_thing_in_place_of_the_env_file_is_named(complete: Surroundings, make: Make, said: str) -> None:
    make(complete.working_directory / ".env")
    assert fault().startswith(f".env: {said}")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (directory, "is a directory"),
        (link_to_nowhere, "cannot be read: No such file or directory"),
        (link_to_itself, "cannot be read"),
        (link_elsewhere, "is a link out of its directory"),
        (named_pipe, "is not a regular file"),
    ],
)
def test_thing_in_place_of_a_mounted_file_is_named(complete: Surroundings, make: Make, said: str) -> None:
    path = complete.mounted / "api_token"
    make(path)
    line = fault()
    assert line.startswith("API_TOKEN: ")
    assert f"{path} {said}" in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"a\x00b", "is not text"),
        (b"a" * (2**16 + 1), "is larger than 64 KB"),
    ],
    ids=["not utf-8", "zero bytes", "large"],
)
def test_mounted_file_that_cannot_be_a_value_is_named(
    complete: Surroundings, content: bytes, said: str
) -> None:
    complete.mount("openai_api_key", content)
    line = fault()
    assert line.startswith("OPENAI_API_KEY: ")
    assert f"{complete.mounted / 'openai_api_key'} {said}" in line


def test_link_within_the_directory_is_followed_as_kubernetes_makes_them(complete: Surroundings) -> None:
    (complete.mounted / "..data").mkdir()
    (complete.mounted / "..data" / "concurrency_limit").write_text("7\n")
    (complete.mounted / "concurrency_limit").symlink_to("..data/concurrency_limit")
    assert load_settings().concurrency_limit == 7


def test_other_things_beside_the_mounted_files_do_not_matter(complete: Surroundings) -> None:
    (complete.mounted / "kubernetes.io").mkdir()
    (complete.mounted / "other").symlink_to("nowhere")
    complete.mount("binary", b"\xff\x00")
    assert load_settings().concurrency_limit == 5


@pytest.mark.parametrize("place", ["nowhere", "a file"])
def test_credentials_directory_that_is_none_is_named(complete: Surroundings, place: str) -> None:
    (complete.working_directory / "a file").touch()
    complete.set(CREDENTIALS_DIRECTORY=str(complete.working_directory / place))
    assert fault().startswith("CREDENTIALS_DIRECTORY: there is no directory ")
