"""A real Prometheus with the project's own configuration and rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml
from pydantic import BaseModel

from deploy.verify.checks import CheckFailedError
from deploy.verify.children import CHECKOUT, Child
from deploy.verify.web import fetch_json, free_port, wait_until_served


@dataclass(frozen=True, slots=True)
class Series:
    """One line of an answer: its labels, and its values."""

    labels: dict[str, str]
    values: Sequence[float]


class _Line(BaseModel):
    metric: dict[str, str]
    value: tuple[float, float] | None = None
    values: list[tuple[float, float]] = []

    def series(self) -> Series:
        points = self.values if self.value is None else [self.value]
        return Series(self.metric, [value for _, value in points])


class _Data(BaseModel):
    result: list[_Line]


class _Answer(BaseModel):
    data: _Data


class Prometheus:
    """Scrapes 127.0.0.1:target_port as `prometheus.yml` says, from the `with` on to its end."""

    def __init__(self, folder: Path, target_port: int, scrape_seconds: int | None = None) -> None:
        config = yaml.safe_load((CHECKOUT / "prometheus.yml").read_text())
        config["rule_files"] = [str(CHECKOUT / name) for name in config["rule_files"]]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{target_port}"]
        if scrape_seconds is not None:
            duration = f"{scrape_seconds}s"
            config["global"].update(scrape_interval=duration, scrape_timeout=duration)
        self._config = folder / "prometheus.yml"
        self._config.write_text(yaml.safe_dump(config))
        self._folder = folder
        self._port = free_port()
        self._child: Child

    def query(self, expression: str) -> list[Series]:
        """What it answers now."""
        return self._ask("/api/v1/query", query=expression)

    def query_range(self, expression: str, start_seconds: float, end_seconds: float) -> list[Series]:
        """What it answers for a span of time (epoch seconds), a value each 5 s."""
        return self._ask(
            "/api/v1/query_range",
            query=expression,
            start=str(start_seconds),
            end=str(end_seconds),
            step="5",
        )

    def firing(self) -> list[str]:
        """The names of the alerts that ring."""
        return [one.labels["alertname"] for one in self.query('ALERTS{alertstate="firing"}')]

    def __enter__(self) -> Self:
        self._child = Child(
            [
                "prometheus",
                f"--config.file={self._config}",
                f"--storage.tsdb.path={self._folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            self._folder / "prometheus.log",
        )
        try:
            wait_until_served(self._port, "/-/ready")
        except CheckFailedError:
            self._child.end()
            self._child.check()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._child.end()

    def _ask(self, path: str, **query: str) -> list[Series]:
        answer = _Answer.model_validate(fetch_json(self._port, path, **query))
        return [line.series() for line in answer.data.result]
