"""Which provider serves which model."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.models import BatchKey

OPENAI = "openai"
"""The provider of the OPENAI_* settings."""


@dataclass(frozen=True, slots=True)
class Routes:
    """Providers by name. `defaults` are those of task types that have one of their own."""

    default: str = OPENAI
    defaults: Mapping[str, str] = field(default_factory=dict)

    def serving(self, key: BatchKey) -> tuple[str, ...]:
        """The provider for work of this key. Others after it stand in for it while nothing may go to it.

        Work that names neither a model nor a provider needs none. It counts as sent to a provider of its
        own, named after its type, so that no other holds it up.
        """
        if key.provider:
            return (key.provider,)
        if not key.model:
            return (key.task_type,)
        return (self.defaults.get(key.task_type, self.default),)
