"""No order of calls loses a task, doubles one, gives out a group that may not be, or passes over priority."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.messages import Failure
from supervisor.journal.task_record import TaskRecord
from supervisor.providers.model_limits import NOTHING, Allowance
from supervisor.tasks.backlog import Backlog, SetAside
from supervisor.tasks.groups import Group, priority_of
from tests.builders import idle_workers, make_record

# An empty text stands for one of its own, any other may be that of several tasks.
TEXTS = st.sampled_from(["", "", "the same", "another"])
MODELS = st.sampled_from(["a", "b", "c"])
TYPES = {"a": "one", "b": "one", "c": "another"}
PRIORITIES = st.sampled_from([0, 0, 1, -1])


class BacklogMachine(RuleBasedStateMachine):
    """Every task is either in the backlog or in the hands of the test."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog()
        self.inside: set[str] = set()
        self.outside: list[Group] = []
        self.now = 0.0
        self.made = 0

    def new(self, model: str, priority: int, crashes: int = 0, text: str = "") -> TaskRecord:
        self.made += 1
        record = make_record(f"t{self.made}", text=text, model=model, crashes=crashes)
        self.inside.add(record.task.id)
        key = replace(record.task.key, task_type=TYPES[model])
        return replace(record, task=replace(record.task, key=key, priority=priority))

    @rule(model=MODELS, count=st.integers(1, 6), priority=PRIORITIES, crashes=st.integers(0, 1), text=TEXTS)
    def add(self, model: str, count: int, priority: int, crashes: int, text: str) -> None:
        for _ in range(count):
            self.backlog.add(self.new(model, priority, crashes, text))

    @rule(model=MODELS, priority=PRIORITIES, seconds=st.floats(0, 5), crashes=st.integers(0, 1))
    def add_later(self, model: str, priority: int, seconds: float, crashes: int) -> None:
        self.backlog.add_later((self.new(model, priority, crashes),), self.now + seconds)

    @rule(model=MODELS, priorities=st.lists(PRIORITIES, min_size=1, max_size=5))
    def add_split(self, model: str, priorities: list[int]) -> None:
        """As in a unit, the higher priorities come first."""
        ordered = sorted(priorities, reverse=True)
        self.backlog.add_split(tuple(self.new(model, priority) for priority in ordered))

    @rule(seconds=st.floats(0, 3))
    def wake(self, seconds: float) -> None:
        self.now += seconds
        self.backlog.wake(self.now)
        due = self.backlog.next_due_at
        assert due is None or due > self.now

    @rule(slots=st.integers(0, 6), most=st.integers(1, 4), max_bytes=st.integers(0, 40))
    def take(self, slots: int, most: int, max_bytes: int) -> None:
        ready = len(self.backlog) - self.backlog.delayed
        allowed = Allowance(most, max_bytes) if max_bytes else NOTHING
        groups = [group for _, group in self.backlog.take(idle_workers(slots), lambda _: allowed)]
        assert len(groups) <= slots
        assert bool(groups) == bool(ready and slots and max_bytes)
        urgencies = [priority_of(group) for group in groups if not group[0].suspect]
        assert urgencies == sorted(urgencies, reverse=True)
        for group in groups:
            sizes = {record.task.question: record.task.size_bytes for record in group}
            assert 1 <= len(sizes) <= most
            assert len(sizes) == 1 or sum(sizes.values()) <= max_bytes
            assert len({record.task.key for record in group}) == 1
            assert len(group) == 1 or not any(record.suspect for record in group)
            for record in group:
                self.inside.remove(record.task.id)
        self.outside.extend(groups)

    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        if self.outside:
            group = self.outside.pop(data.draw(st.integers(0, len(self.outside) - 1)))
            self.backlog.put_back(group)
            self.inside.update(record.task.id for record in group)

    @rule(data=st.data())
    def set_aside(self, data: st.DataObject) -> None:
        if self.outside:
            group = self.outside.pop(data.draw(st.integers(0, len(self.outside) - 1)))
            self.backlog.add_aside(SetAside(group, Failure("who knows"), self.now, "p"))
            self.inside.update(record.task.id for record in group)

    @rule(model=MODELS)
    def take_aside(self, model: str) -> None:
        for aside in self.backlog.take_aside("p", model):
            self.outside.append(aside.group)
            self.inside.difference_update(record.task.id for record in aside.group)
        assert not self.backlog.waits_for_answer("p", model)

    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        if self.outside:
            group = self.outside.pop(data.draw(st.integers(0, len(self.outside) - 1)))
            if len(group) > 1:
                self.backlog.add_split(group[:1])
                self.backlog.add_split(group[1:])
                self.inside.update(record.task.id for record in group)

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        ids = st.sampled_from(sorted(self.inside)) if self.inside else st.nothing()
        lost = data.draw(st.sets(ids)) | {"not here"}
        order = [record.task.id for record in self.backlog.records()]
        given = [record.task.id for record in self.backlog.remove(lost)]
        assert sorted(given) == sorted(lost & self.inside)
        self.inside -= lost
        left = [record.task.id for record in self.backlog.records()]
        assert sorted(left) == sorted(task_id for task_id in order if task_id not in lost)

    @rule()
    def take_all(self) -> None:
        given = [record.task.id for record in self.backlog.take_all()]
        assert sorted(given) == sorted(self.inside)
        self.inside.clear()

    @invariant()
    def holds_each_task_once(self) -> None:
        held = [record.task.id for record in self.backlog.records()]
        assert sorted(held) == sorted(self.inside)
        assert len(self.backlog) == len(held) == sum(self.backlog.waiting.values())
        size_bytes = sum(record.task.size_bytes for record in self.backlog.records())
        assert self.backlog.size_bytes == size_bytes

    def teardown(self) -> None:
        self.backlog.wake(float("inf"))
        for model in ("a", "b", "c"):
            self.take_aside(model)
        while groups := list(self.backlog.take(idle_workers(3), lambda _: Allowance(2, 1000))):
            for _, group in groups:
                self.inside.difference_update(record.task.id for record in group)
        assert not self.inside
        assert len(self.backlog) == 0


BacklogMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestBacklogKeepsEachTaskOnce = BacklogMachine.TestCase
