"""What the peers carried out, who was killed when, and what of it the promise does not cover."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

SETTLING_SECONDS = 0.5
"""How long an answer may need from the peer's socket to the service's disk on a busy machine."""
DYING_SECONDS = 2.0
"""How long a peer may need to take up what a dead client had sent before its end."""


@dataclass(slots=True)
class Exchange:
    """What a peer carried out: a task's final report, or a paid call for texts.

    `run` is the service's how-many-eth process it came from, `port` that of the client's socket. Times
    are monotonic; `ended_at` is None as long as no answer was sent.
    """

    run: int
    port: int
    names: tuple[str, ...]
    said: str
    begun_at: float
    ended_at: float | None = None
    withheld: bool = False
    """The peer kept its answer back, or cut it short, on purpose."""

    def late(self, patience_seconds: float) -> bool:
        """The client had given up, or was about to, when the answer came."""
        return self.ended_at is not None and self.ended_at - self.begun_at > 0.8 * patience_seconds


@dataclass(frozen=True, slots=True)
class Kill:
    """A process of run `run` was killed: the worker with these sockets, or the supervisor and so all."""

    run: int
    at: float
    ports: frozenset[int] | None = None

    def cut_off(self, exchange: Exchange) -> bool:
        """Was the exchange under way, or its answer not yet on the service's disk?"""
        if exchange.run != self.run or (self.ports is not None and exchange.port not in self.ports):
            return False
        if exchange.begun_at > self.at + DYING_SECONDS:
            return False
        return exchange.ended_at is None or exchange.ended_at > self.at - SETTLING_SECONDS


@dataclass(frozen=True, slots=True)
class Tally:
    """How often things were done, and why more than once."""

    exchanges: int
    withheld: int
    """Exchanges whose answer was kept back by a fault, or came too late."""
    names: int
    repeated_by_fault: int
    """Names with more than one exchange, all but one of them withheld."""
    repeated_by_kill: int
    """Names with more than one exchange, all but one of them withheld or cut off by a kill."""
    unexcused: dict[str, tuple[Exchange, ...]]
    """Names with more than one exchange whose answer reached the service."""
    contradicted: tuple[str, ...]
    """Names of which different things were said."""


@dataclass(slots=True)
class Ledger:
    """Appended to by many threads, read at the end."""

    exchanges: list[Exchange] = field(default_factory=list)

    def tally(self, kills: Sequence[Kill], patience_seconds: float) -> Tally:
        """`patience_seconds` is the client's time limit for an answer."""
        answered: defaultdict[str, list[Exchange]] = defaultdict(list)
        heard: defaultdict[str, list[Exchange]] = defaultdict(list)
        said: defaultdict[str, list[str]] = defaultdict(list)
        withheld = 0
        for exchange in self.exchanges:
            faulty = exchange.withheld or exchange.late(patience_seconds)
            withheld += faulty
            killed = any(kill.cut_off(exchange) for kill in kills)
            for name in exchange.names:
                said[name].append(exchange.said)
                if not faulty:
                    answered[name].append(exchange)
                if not faulty and not killed:
                    heard[name].append(exchange)
        repeated = {name for name, words in said.items() if len(words) > 1}
        unexcused = {name: tuple(found) for name, found in heard.items() if len(found) > 1}
        by_kill = {name for name in repeated if len(answered[name]) > 1} - unexcused.keys()
        return Tally(
            exchanges=len(self.exchanges),
            withheld=withheld,
            names=len(said),
            repeated_by_fault=len(repeated - by_kill - unexcused.keys()),
            repeated_by_kill=len(by_kill),
            unexcused=unexcused,
            contradicted=tuple(name for name, words in said.items() if len(set(words)) > 1),
        )
