"""`run.py new-processor`: a package with one processor, its entry point and its test, ready to run."""

from collections.abc import Callable
from pathlib import Path

from shared.errors import ConfigurationError
from supervisor.runtime.process import ExitCode
from workers.plugins import is_task_type

CHECKOUT = Path(__file__).resolve().parents[2]
EXAMPLE = CHECKOUT / "examples" / "plugins" / "word-count"
"""What is written is this example, by another name."""
CHECKOUT_IN_EXAMPLE = '"../../.."'


def new_processor(name: str, directory: str | None, say: Callable[[str], None] = print) -> ExitCode:
    """Write it. Raises ConfigurationError for a name that cannot be one, or a directory that is not empty."""
    if not is_task_type(name):
        raise ConfigurationError(
            f"{name}: a task type is written in small letters, digits and hyphens, like text-sentiment"
        )
    target = Path(directory or name)
    try:
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise ConfigurationError(f"{target}: is not empty; name another directory")
        for path in sorted(EXAMPLE.iterdir()):
            if path.is_file():
                written = target / _renamed(path.name, name)
                written.write_text(_renamed(path.read_text(encoding="utf-8"), name), encoding="utf-8")
                say(str(written))
    except OSError as error:
        raise ConfigurationError(f"{target}: cannot be written: {error.strerror}") from error
    say(
        f"Next: python -m pip install --editable {target}, then python run.py processors, and\n"
        f"cd {target} && python -m pytest. docs/extending.md goes on from there."
    )
    return ExitCode.DRAINED


def _renamed(text: str, name: str) -> str:
    words = name.split("-")
    class_name = "".join(word.capitalize() for word in words)
    module = "_".join(words)
    if module[0].isdigit():
        module = f"task_{module}"
        class_name = f"Task{class_name}"
    return (
        text.replace("word-count", name)
        .replace("word_count", module)
        .replace("WordCount", class_name)
        .replace(CHECKOUT_IN_EXAMPLE, f'"{CHECKOUT}"')
    )
