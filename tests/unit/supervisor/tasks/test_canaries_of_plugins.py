"""A processor whose canaries come and go holds up nobody."""

from shared.errors import Blame
from tests.builders import make_settings
from tests.fakes.harness import Harness, item
from tests.unit.supervisor.tasks.one_worker import told
from tests.unit.workers.test_factory import factory_of
from workers.processors.text_embedding import EmbeddingInput, EmbeddingSettings, TextEmbeddingProcessor

WAIT_SECONDS = 600.0


class Fickle(TextEmbeddingProcessor):
    """Makes every second canary: one where it is asked whether there is one, none where it is to be sent."""

    asked = 0

    def canary(self, word: str, model: str) -> EmbeddingInput:
        self.asked += 1
        if self.asked % 2 == 0:
            raise RuntimeError("no word")
        return super().canary(word, model)


def test_task_does_not_wait_for_ever_for_a_canary_that_was_not_made() -> None:
    processors = factory_of(Fickle(EmbeddingSettings.model_construct(None), "m"))
    harness = Harness(make_settings(concurrency_limit=1), processors=processors)
    harness.start_workers()
    harness.list_tasks(item("a"))
    harness.fail(0, "it broke", blame=Blame.SOME_TASKS)
    for _ in range(60):
        harness.pass_time(WAIT_SECONDS / 60)
        if harness.held:
            break
    assert [task.id for task in harness.held[0].tasks] == ["a"]
    harness.finish(0)
    assert told(harness) == {"a": "succeeded"}
