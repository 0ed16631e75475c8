"""What `/metrics` says, to be asked by name and labels."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

_RISING = ("_total", "_bucket", "_count", "_sum")

Key = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Exposition:
    samples: Mapping[Key, float]

    @classmethod
    def parse(cls, text: str) -> "Exposition":
        return cls(
            {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }
        )

    def sum(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name that carry these labels among others."""
        wanted = set(labels.items())
        return sum(
            value for (sample, given), value in self.samples.items() if sample == name and wanted <= given
        )

    def fallen_since(self, earlier: "Exposition") -> list[str]:
        """Counters that are lower than they were, or gone."""
        return [
            f"{name}{dict(labels)}: {before} -> {self.samples.get((name, labels))}"
            for (name, labels), before in earlier.samples.items()
            if name.endswith(_RISING) and self.samples.get((name, labels), -1.0) < before
        ]
