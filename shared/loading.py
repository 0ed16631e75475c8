"""Reads the settings of this process once, at its start, and says what is wrong with them."""

import difflib
import io
import logging
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from shared.errors import ConfigurationError
from shared.plain_text import visible
from shared.provider_accounts import LOCAL, ProviderFields, is_nested, nested
from shared.routes import Routes
from shared.setting_values import faults_of_library_variables
from shared.settings import (
    ENV_FILE,
    ENV_FILE_ENCODING,
    NESTED_PROVIDERS,
    EnvironmentSettings,
    ServiceLocation,
    Settings,
    faults_of_groups,
)

MOUNTED_FILES_DIRECTORY = "/run/secrets"
MAX_ENV_FILE_BYTES = 2**20
MAX_VALUE_FILE_BYTES = 2**16
_REQUIRED = "is required"
_MIN_LIKENESS = 0.84
_KUBERNETES_VARIABLE = re.compile(r"_SERVICE_(HOST|PORT)|_PORT_\d+_|_(TCP|UDP)$")
_SDK_VARIABLE = re.compile(
    r"OPENAI_(ADMIN_KEY|API_TYPE|API_VERSION|CUSTOM_HEADERS|LOG|ORG_ID|PROJECT_ID|WEBHOOK_SECRET)"
)
_NAMES_ELSEWHERE = {
    "OPENAI_API_BASE": "OPENAI_BASE_URL",
    "OPENAI_API_HOST": "OPENAI_BASE_URL",
    "POLL_INTERVAL": "POLLING_INTERVAL_SECONDS",
}
"""Names that other programs give to a setting of ours."""
Kind = TypeVar("Kind", bound=EnvironmentSettings)


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A variable that is set but is no setting. `meant` is the setting that it resembles, if any."""

    name: str
    source: str
    meant: str | None


@dataclass(frozen=True, slots=True)
class _EnvFile:
    """`.env` of the current directory. `names` are the variables it sets."""

    exists: bool = True
    names: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def load_settings() -> Settings:
    """The settings of this process. Raises ConfigurationError with a line for each fault."""
    settings = _load(Settings)
    sdk = any(settings.accounts[name].kind != LOCAL for name in settings.providers_in_use)
    faults = [*faults_of_groups(settings), *Routes.from_settings(settings).faults()]
    if faults := [*faults, *faults_of_library_variables(os.environ, sdk=sdk)]:
        raise ConfigurationError(*faults)
    return settings


def load_service_location() -> ServiceLocation:
    """The same for a command that only needs to find the service; nothing has to be set."""
    return _load(ServiceLocation)


def load_group(kind: type[Kind]) -> Kind:
    """A group of settings of its own. Raises ConfigurationError with a line for each fault."""
    return _load(kind)


def find_unknown_names(groups: Iterable[type[EnvironmentSettings]] = ()) -> list[UnknownName]:
    """Variables that are set and are settings neither of the service nor of `groups`."""
    names = _names(Settings).union(*map(_names, groups))
    return unknown_names(names, os.environ, _read_env_file(names).names)


def unknown_names(
    settings: Collection[str], in_environment: Iterable[str], in_env_file: Iterable[str]
) -> list[UnknownName]:
    """All unknown names of `.env`, and those of the environment that resemble a setting.

    A resemblance to a setting that is set as well does not count. Names of `settings` are in upper case.
    """
    environment = {name.upper(): name for name in in_environment}
    env_file = {name.upper(): name for name in in_env_file}
    unset = [name for name in settings if name not in environment and name not in env_file]
    first_words = {name.partition("_")[0] for name in settings}
    found = [
        UnknownName(name, ".env", _meant(upper, unset))
        for upper, name in env_file.items()
        if upper not in settings and not is_nested(upper)
    ]
    for upper, name in environment.items():
        if upper in settings or upper in env_file or is_nested(upper):
            continue
        meant = _meant(upper, unset)
        if meant and (upper.partition("_")[0] in first_words or _likeness(upper, meant) >= _MIN_LIKENESS):
            found.append(UnknownName(name, "the environment", meant))
    return found


def _load(kind: type[Kind]) -> Kind:
    names = _names(kind)
    env_file = _read_env_file(names)
    directories, faults = _secrets_directories()
    for directory in directories:
        faults.extend(_faults_of_value_files(directory, names))
    faults.extend(env_file.faults)
    if faults:
        raise ConfigurationError(*faults)
    logging.getLogger("dotenv").setLevel(logging.ERROR)  # it warns of lines that are none of ours
    try:
        further: dict[str, Any] = {NESTED_PROVIDERS: _nested_providers(env_file, directories)}
        return kind(_secrets_dir=directories, **further)
    except ValidationError as error:
        raise ConfigurationError(*_readable(error, env_file, _prefix(kind))) from error
    except SettingsError as error:
        raise ConfigurationError(f"settings: cannot be read: {error}") from error


def _names(kind: type[EnvironmentSettings]) -> frozenset[str]:
    return frozenset(_prefix(kind) + name.upper() for name in kind.model_fields)


def _prefix(kind: type[EnvironmentSettings]) -> str:
    return kind.model_config.get("env_prefix", "").upper()


def _nested_providers(env_file: _EnvFile, directories: Iterable[Path]) -> dict[str, dict[str, str]]:
    """What the environment, `.env` and files say of single providers, in this order of precedence."""
    in_env_file = any(is_nested(name) for name in env_file.names)
    dotenv = dotenv_values(ENV_FILE, encoding=ENV_FILE_ENCODING) if in_env_file else {}
    files = [
        {path.name: path.read_text().strip() for path in directory.iterdir() if is_nested(path.name)}
        for directory in directories
    ]
    return nested([os.environ, dotenv, *reversed(files)])


def _secrets_directories() -> tuple[list[Path], list[str]]:
    """The directories with one file for each setting, and what is wrong with them."""
    directories = [path for path in [Path(MOUNTED_FILES_DIRECTORY)] if path.is_dir()]
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if not credentials:
        return directories, []
    if not Path(credentials).is_dir():
        return directories, [
            f"CREDENTIALS_DIRECTORY: there is no directory {credentials}; mend the path or unset it"
        ]
    return [*directories, Path(credentials)], []


def _readable(error: ValidationError, env_file: _EnvFile, prefix: str) -> list[str]:
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        name = prefix + _variable(fault["loc"]) if fault["loc"] else "settings"
        sentence = _sentence(fault)
        if sentence.startswith(_REQUIRED):
            sentence += _why_missing(name, env_file)
        elif os.environ.get(name, "").startswith("tcp://"):
            sentence += "; Kubernetes set it for a service of that name: set enableServiceLinks: false"
        lines.append(f"{name}: {sentence}")
    return lines


def _variable(place: Sequence[int | str]) -> str:
    """The variable at fault: PROVIDERS__OLLAMA__BASE_URL for a field of one provider."""
    parts = place if place[0] == "providers" else place[:1]
    return visible("__".join(str(part).upper() for part in parts))


def _sentence(fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        known = sorted(name.upper() for name in ProviderFields.model_fields)
        meant = difflib.get_close_matches(str(fault["loc"][-1]).upper(), known, n=1)
        hint = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(known)}"
        return f"is no field of a provider; {hint}"
    if fault["type"] == "missing":
        return f"{_REQUIRED} but not set"
    message = str(fault["msg"])
    return message.removeprefix("Value error, ").replace("Input should be", "must be")


def _why_missing(name: str, env_file: _EnvFile) -> str:
    """A variable that was probably meant to set it."""
    for unknown in unknown_names(_names(Settings), os.environ, env_file.names):
        if unknown.meant == name:
            return f"; {unknown.source} has {unknown.name}: did you mean that?"
    return "" if env_file.exists else f"; there is no .env in {Path.cwd()}"


def _read_env_file(settings: frozenset[str]) -> _EnvFile:
    """Raises nothing: a line about one of `settings` that cannot be read is a fault."""
    try:
        Path.cwd()
    except OSError:
        return _EnvFile(
            faults=(".env: cannot be looked for: the current directory is gone; start in one that exists",)
        )
    try:
        mode = ENV_FILE.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ValueError(
                "is a directory, not a file; remove it (Docker makes one where the file to mount is missing)"
            )
        if not stat.S_ISREG(mode):
            return _EnvFile()  # a named pipe can be read only once
        return _parsed(_read(ENV_FILE, MAX_ENV_FILE_BYTES, ENV_FILE_ENCODING), settings)
    except FileNotFoundError:
        if not ENV_FILE.is_symlink():
            return _EnvFile(exists=False)
        return _EnvFile(faults=(".env: is a link to nowhere; mend or remove it",))
    except (OSError, ValueError) as error:
        return _EnvFile(faults=(f".env: {_why(error)}",))


def _parsed(text: str, settings: frozenset[str]) -> _EnvFile:
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
    return _EnvFile(names=tuple(names), faults=tuple(faults))


def _faults_of_value_files(directory: Path, settings: frozenset[str]) -> Iterator[str]:
    """A sentence for each file in `directory` that is named as a setting and cannot be read as its value."""
    try:
        files = {path.name.upper(): path for path in directory.iterdir()}
    except OSError as error:
        yield f"{directory}: the settings in it {_why(error)}"
        return
    inside = directory.resolve()
    for name in sorted(name for name in files if name in settings or is_nested(name)):
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


def _read(path: Path, max_bytes: int, encoding: str) -> str:
    """Raises OSError or ValueError."""
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"is larger than {max_bytes // 1024} KB; it is not the file that was meant")
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


def _meant(name: str, settings: Iterable[str]) -> str | None:
    if _SDK_VARIABLE.fullmatch(name) or _KUBERNETES_VARIABLE.search(name):
        return None
    candidates = [setting for setting in settings if _resembles(name, setting)]
    return max(candidates, key=lambda setting: _likeness(name, setting), default=None)


def _resembles(name: str, setting: str) -> bool:
    words, setting_words = set(name.split("_")), set(setting.split("_"))
    some = min(len(words), len(setting_words)) > 1
    return (
        _NAMES_ELSEWHERE.get(name) == setting
        or _is_like(name, setting)
        or (some and (words < setting_words or words > setting_words))
    )


def _is_like(name: str, setting: str) -> bool:
    matcher = difflib.SequenceMatcher(None, name, setting, autojunk=False)
    # Two upper bounds come first: most pairs are told apart without the slow comparison.
    ratios = (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)
    return all(ratio() >= _MIN_LIKENESS for ratio in ratios)


def _likeness(name: str, setting: str) -> float:
    return difflib.SequenceMatcher(None, name, setting, autojunk=False).ratio()
