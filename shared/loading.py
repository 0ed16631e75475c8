"""Reads the settings of this process, once, at its start, and says what is wrong with them."""

import logging
import os
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from shared.errors import ConfigurationError
from shared.library_variables import faults_of_library_variables
from shared.models import Provider
from shared.setting_files import EnvFile, faults_of_value_files, look_at_env_file
from shared.setting_groups import faults_of_groups
from shared.setting_names import UnknownName, unknown_names
from shared.settings import Settings, Whereabouts

MOUNTED_FILES_DIRECTORY = "/run/secrets"
_REQUIRED = "is required"
Kind = TypeVar("Kind", bound=Whereabouts)


def load_settings() -> Settings:
    """The settings of this process. Raises ConfigurationError with a line for each fault."""
    return _load(Settings)


def load_whereabouts() -> Whereabouts:
    """The same for a command that only needs to find the service; nothing has to be set."""
    return _load(Whereabouts)


def find_unknown_names() -> list[UnknownName]:
    """Variables that are set and are no settings, with the settings that were probably meant."""
    names = _names(Settings)
    return unknown_names(names, os.environ, look_at_env_file(names).names)


def _load(kind: type[Kind]) -> Kind:
    names = _names(kind)
    env_file = look_at_env_file(names)
    directories, faults = _secrets_directories()
    for directory in directories:
        faults.extend(faults_of_value_files(directory, names))
    faults.extend(env_file.faults)
    if faults:
        raise ConfigurationError(*faults)
    logging.getLogger("dotenv").setLevel(logging.ERROR)  # it warns of lines that are none of ours
    try:
        settings = kind(_secrets_dir=directories)
    except ValidationError as error:
        raise ConfigurationError(*_readable(error, env_file)) from error
    except SettingsError as error:
        raise ConfigurationError(f"settings: cannot be read: {error}") from error
    if isinstance(settings, Settings):
        sdk = settings.embedding_provider is Provider.OPENAI
        if faults := [*faults_of_groups(settings), *faults_of_library_variables(os.environ, sdk=sdk)]:
            raise ConfigurationError(*faults)
    return settings


def _names(kind: type[Whereabouts]) -> frozenset[str]:
    return frozenset(name.upper() for name in kind.model_fields)


def _secrets_directories() -> tuple[list[Path], list[str]]:
    """The directories with a file a setting, and what is wrong with where they should be."""
    directories = [path for path in [Path(MOUNTED_FILES_DIRECTORY)] if path.is_dir()]
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if not credentials:
        return directories, []
    if not Path(credentials).is_dir():
        return directories, [
            f"CREDENTIALS_DIRECTORY: there is no directory {credentials}; mend the path or unset it"
        ]
    return [*directories, Path(credentials)], []


def _readable(error: ValidationError, env_file: EnvFile) -> list[str]:
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        name = str(fault["loc"][0]).upper() if fault["loc"] else "settings"
        sentence = _sentence(fault)
        if sentence.startswith(_REQUIRED):
            sentence += _why_missing(name, env_file)
        elif os.environ.get(name, "").startswith("tcp://"):
            sentence += "; Kubernetes set it for a service of that name: set enableServiceLinks: false"
        lines.append(f"{name}: {sentence}")
    return lines


def _sentence(fault: ErrorDetails) -> str:
    if fault["type"] == "missing":
        return f"{_REQUIRED} but not set"
    message = str(fault["msg"])
    return message.removeprefix("Value error, ").replace("Input should be", "must be")


def _why_missing(name: str, env_file: EnvFile) -> str:
    """What may have been meant to set it."""
    for unknown in unknown_names(_names(Settings), os.environ, env_file.names):
        if unknown.meant == name:
            return f"; {unknown.source} has {unknown.name}: did you mean that?"
    return "" if env_file.exists else f"; there is no .env in {Path.cwd()}"
