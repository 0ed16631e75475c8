"""Which provider serves which model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from shared.models import BatchKey
from shared.provider_accounts import LOCAL, LOCAL_MODEL, OPENAI
from shared.settings import Settings

EMBEDDING_TYPE = "text-embedding"
GENERATION_TYPE = "text-generation"
OPENAI_EMBEDDING_MODEL = "text-embedding-3-small"
MAX_SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Routes:
    """EMBEDDING_PROVIDER, PROVIDERS and MODEL_ROUTES, as answers to questions about a task."""

    providers: tuple[str, ...] = (OPENAI, LOCAL)
    """Every name there is."""
    table: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Providers by pattern of a model's name; the first pattern that matches counts."""
    default: str = OPENAI
    """For what no pattern matches; empty where that is served by nobody."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """For task types that have a default of their own."""
    models: Mapping[str, str] = field(default_factory=dict)
    """By task type: the model of tasks that name none."""

    @classmethod
    def from_settings(cls, settings: Settings) -> "Routes":
        embeds = settings.embedding_provider
        by_kind = LOCAL_MODEL if embeds == LOCAL else OPENAI_EMBEDDING_MODEL
        models = {
            EMBEDDING_TYPE: settings.embedding_model or by_kind,
            GENERATION_TYPE: settings.generation_model or "",
        }
        return cls(
            providers=tuple(settings.accounts),
            table=tuple(settings.model_routes.items()),
            default=_default(settings),
            defaults={EMBEDDING_TYPE: embeds},
            models={task_type: model for task_type, model in models.items() if model},
        )

    def serving(self, key: BatchKey) -> tuple[str, ...]:
        """The provider for work of this key. Those after it stand in for it while nothing may go to it.

        Work that names neither a model nor a provider needs none. It counts as sent to a provider of its
        own, named after its type, so that no other holds it up.
        """
        if key.provider:
            return (key.provider,)
        if not key.model:
            return (key.task_type,)
        # A task of an earlier run may be left with nobody to serve it: it waits for `openai`.
        return self._routed(key.model) or (self._default(key.task_type) or OPENAI,)

    def default_model(self, task_type: str) -> str | None:
        """The model of tasks of this type that name none; None where they must name one."""
        return self.models.get(task_type)

    def why_not(self, key: BatchKey) -> str | None:
        """Why no provider serves work of this key, as a sentence; None where one does."""
        if key.provider:
            known = key.provider in self.providers
            return None if known else f'there is no provider "{_shown(key.provider)}": see PROVIDERS'
        if not key.model or self._routed(key.model):
            return None
        default = self._default(key.task_type)
        if not default:
            return f'no provider serves the model "{_shown(key.model)}"; set MODEL_ROUTES'
        if default == LOCAL and key.model != LOCAL_MODEL:
            return (
                f'the embedded model is {LOCAL_MODEL}, not "{_shown(key.model)}"; leave "model" out,'
                " or say in MODEL_ROUTES which provider serves it"
            )
        return None

    def faults(self) -> Iterator[str]:
        """A line for each setting that names a model which nobody serves."""
        for task_type, setting in (
            (EMBEDDING_TYPE, "EMBEDDING_MODEL"),
            (GENERATION_TYPE, "GENERATION_MODEL"),
        ):
            model = self.models.get(task_type, "")
            if why := self.why_not(BatchKey(task_type, model)):
                yield f"{setting}: {why}"

    def _routed(self, model: str) -> tuple[str, ...]:
        return next((names for pattern, names in self.table if fnmatchcase(model, pattern)), ())

    def _default(self, task_type: str) -> str:
        return self.defaults.get(task_type, self.default)


def _default(settings: Settings) -> str:
    """For everything but embeddings: `openai` where it can be used, else the only one in PROVIDERS."""
    if settings.openai_api_key is not None or settings.embedding_provider == OPENAI:
        return OPENAI
    return next(iter(settings.providers)) if len(settings.providers) == 1 else ""


def _shown(name: str) -> str:
    return name[:MAX_SHOWN_CHARACTERS]
