"""What one would write instead of a service: `requests` and the SDK in a pool of threads, a text a call."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import requests

TASKS_URL = os.environ["API_BASE_URL"] + "/api/ai-tasks"
THREADS = int(os.environ.get("CONCURRENCY_LIMIT", "5"))
INTERVAL_SECONDS = float(os.environ.get("POLLING_INTERVAL_SECONDS", "30"))

client = openai.OpenAI()
local = threading.local()


def session() -> requests.Session:
    """One of each thread's own: a session is not made for several."""
    if not hasattr(local, "session"):
        local.session = requests.Session()
    mine: requests.Session = local.session
    return mine


def process(task: dict[str, Any]) -> None:
    """Embed one text and report it."""
    wanted = task["input_data"]
    try:
        answer = client.embeddings.create(model=wanted["model"], input=wanted["text"])
    except openai.OpenAIError as error:
        report: dict[str, object] = {"status": "failed", "output_data": None, "error_message": str(error)}
    else:
        output = {
            "embedding": answer.data[0].embedding,
            "model": answer.model,
            "usage": answer.usage.model_dump(),
        }
        report = {"status": "succeeded", "output_data": output, "error_message": None}
    session().patch(f"{TASKS_URL}/{task['id']}", json=report, timeout=30).raise_for_status()


def main() -> None:
    """Poll, work, and poll again; wait only when there was nothing."""
    with ThreadPoolExecutor(THREADS) as pool:
        while True:
            answer = session().get(f"{TASKS_URL}/pending", params={"limit": 100}, timeout=30)
            answer.raise_for_status()
            tasks = answer.json()
            for _ in pool.map(process, tasks):
                pass
            if not tasks:
                time.sleep(INTERVAL_SECONDS)


if __name__ == "__main__":
    main()
