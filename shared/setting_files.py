"""The files that settings come from, looked at before they are read: `.env`, and one file a setting."""

import io
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dotenv.parser import parse_stream

ENV_FILE = Path(".env")
ENV_FILE_ENCODING = "utf-8-sig"
"""Some editors begin a file with a byte order mark."""
MAX_ENV_FILE_BYTES = 2**20
MAX_VALUE_FILE_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class EnvFile:
    """What `.env` of the current directory is. `names` are the variables it sets."""

    exists: bool = False
    names: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def look_at_env_file(settings: Iterable[str]) -> EnvFile:
    """`settings` are names in upper case: a line about one of them that cannot be read is a fault."""
    try:
        Path.cwd()
    except OSError:
        return _env_file_fault(
            "cannot be looked for: the current directory is gone; start in one that exists"
        )
    try:
        mode = ENV_FILE.stat().st_mode
    except FileNotFoundError:
        return (
            _env_file_fault("is a link to nowhere; mend or remove it") if ENV_FILE.is_symlink() else EnvFile()
        )
    except OSError as error:
        return _env_file_fault(_why(error))
    if stat.S_ISDIR(mode):
        return _env_file_fault(
            "is a directory, not a file; remove it (Docker makes one where the file to mount is missing)"
        )
    if not stat.S_ISREG(mode):
        return EnvFile(exists=True)  # a named pipe can be read only once
    try:
        text = _read(ENV_FILE, MAX_ENV_FILE_BYTES, ENV_FILE_ENCODING)
    except (OSError, ValueError) as error:
        return _env_file_fault(_why(error))
    return _parsed(text, frozenset(settings))


def faults_of_value_files(directory: Path, settings: Iterable[str]) -> Iterator[str]:
    """A sentence for each file in `directory` that is named as a setting and cannot be read as its value."""
    names = frozenset(settings)
    try:
        files = {path.name.upper(): path for path in directory.iterdir()}
    except OSError as error:
        yield f"{directory}: the settings in it {_why(error)}"
        return
    inside = directory.resolve()
    for name in sorted(names & files.keys()):
        path = files[name]
        try:
            if inside not in path.resolve(strict=True).parents:
                yield f"{name}: {path} is a link out of its directory; put the file itself there"
            elif path.is_dir():
                yield (
                    f"{name}: {path} is a directory; put a file with the value there"
                    " (Docker makes a directory where the file to mount is missing)"
                )
            elif not path.is_file():
                yield f"{name}: {path} is not a regular file; put a file with the value there"
            else:
                _read(path, MAX_VALUE_FILE_BYTES, "utf-8")
        except (OSError, ValueError, RuntimeError) as error:
            yield f"{name}: its file {path} {_why(error)}"


def _env_file_fault(sentence: str) -> EnvFile:
    return EnvFile(exists=True, faults=(f".env: {sentence}",))


def _parsed(text: str, settings: frozenset[str]) -> EnvFile:
    names: list[str] = []
    faults: list[str] = []
    for line in parse_stream(io.StringIO(text)):
        if line.key is not None:
            names.append(line.key)
        elif line.error:
            name = line.original.string.strip().removeprefix("export ").partition("=")[0].strip().upper()
            if name in settings:
                faults.append(
                    f"{name}: line {line.original.line} of .env cannot be read; write {name}=value,"
                    " and close a quote that is opened"
                )
    return EnvFile(exists=True, names=tuple(names), faults=tuple(faults))


def _read(path: Path, most_bytes: int, encoding: str) -> str:
    """Raises OSError or ValueError."""
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"is larger than {most_bytes // 1024} KB; it is not the file that was meant")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text; save it as UTF-8") from None
    if "\0" in text:
        raise ValueError("is not text: it has zero bytes in it")
    return text


def _why(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"cannot be read by user {os.geteuid()}: {error.strerror}; make it readable for that user"
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    if isinstance(error, RuntimeError):
        return "cannot be read: it is a link to itself"
    return str(error)
