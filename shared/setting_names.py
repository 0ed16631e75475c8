"""Names of variables that are no settings, and the settings that were meant."""

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

ENVIRONMENT = "the environment"
_CLOSE = 0.84
_OF_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT)|_PORT_\d+_|_(TCP|UDP)$")
_OF_LIBRARIES = frozenset(
    {
        "OPENAI_ADMIN_KEY",
        "OPENAI_API_TYPE",
        "OPENAI_API_VERSION",
        "OPENAI_CUSTOM_HEADERS",
        "OPENAI_LOG",
        "OPENAI_ORG_ID",
        "OPENAI_PROJECT_ID",
        "OPENAI_WEBHOOK_SECRET",
    }
)
_NAMES_ELSEWHERE = {
    "OPENAI_API_BASE": "OPENAI_BASE_URL",
    "OPENAI_API_HOST": "OPENAI_BASE_URL",
    "POLL_INTERVAL": "POLLING_INTERVAL_SECONDS",
}
"""What other programs call a setting of ours."""


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A variable that is set, and is no setting. `meant` is the setting that it resembles, if any."""

    name: str
    source: str
    meant: str | None


def unknown_names(
    settings: Collection[str], in_environment: Iterable[str], in_env_file: Iterable[str]
) -> list[UnknownName]:
    """What is set and no setting: all there is in `.env`, and what resembles a setting in the environment.

    A resemblance to a setting that is set as well does not count. Names of `settings` are in upper case.
    """
    environment = {name.upper(): name for name in in_environment}
    env_file = {name.upper(): name for name in in_env_file}
    unset = [name for name in settings if name not in environment and name not in env_file]
    first_words = {name.partition("_")[0] for name in settings}
    found = [
        UnknownName(name, ".env", _meant(upper, unset))
        for upper, name in env_file.items()
        if upper not in settings
    ]
    for upper, name in environment.items():
        if upper in settings or upper in env_file:
            continue
        meant = _meant(upper, unset)
        if meant and (upper.partition("_")[0] in first_words or _likeness(upper, meant) >= _CLOSE):
            found.append(UnknownName(name, ENVIRONMENT, meant))
    return found


def _meant(name: str, settings: Iterable[str]) -> str | None:
    if name in _OF_LIBRARIES or _OF_KUBERNETES.search(name):
        return None
    candidates = [setting for setting in settings if _resembles(name, setting)]
    return max(candidates, key=lambda setting: _likeness(name, setting), default=None)


def _resembles(name: str, setting: str) -> bool:
    words, setting_words = set(name.split("_")), set(setting.split("_"))
    some = min(len(words), len(setting_words)) > 1
    return (
        _NAMES_ELSEWHERE.get(name) == setting
        or _likeness(name, setting) >= _CLOSE
        or (some and (words < setting_words or words > setting_words))
    )


def _likeness(name: str, setting: str) -> float:
    return difflib.SequenceMatcher(None, name, setting, autojunk=False).ratio()
