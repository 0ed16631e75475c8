"""Counts the characters, words and lines of a text."""

from pydantic import BaseModel, Field

from workers.processors.base import BaseProcessor, Context, Outcome, Task


class WordCountInput(BaseModel):
    text: str = Field(min_length=1, max_length=1_000_000)


class WordCountProcessor(BaseProcessor[WordCountInput]):
    task_type = "word-count"
    bare_string = "text"

    def process(self, task: Task[WordCountInput], context: Context) -> Outcome:
        text = task.input.text
        return {"characters": len(text), "words": len(text.split()), "lines": text.count("\n") + 1}
