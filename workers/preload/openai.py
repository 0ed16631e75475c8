"""Loads what a worker of the OpenAI provider needs, down to the modules the SDK imports at its first call."""

import contextlib
import gc

import httpcore2  # noqa: F401  httpx2 imports it at the first request
import httpx2
import openai

import workers.factory
import workers.process.entrypoint
import workers.providers.openai.client  # noqa: F401
from workers.providers.openai.guarded_http import tls_context


def _rehearse() -> None:
    """A call of the SDK that never leaves the process."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={})

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        sdk = openai.OpenAI(api_key="none", base_url="http://localhost", max_retries=0, http_client=http)
        sdk.post("/embeddings", cast_to=httpx2.Response, body={"model": "none", "input": ["none"]})


_rehearse()
# Where the certificates cannot be read, each worker says so; the forkserver must live to start them.
with contextlib.suppress(OSError):
    tls_context()
# Keeps the garbage collector from touching, and so from copying, what the workers share.
gc.collect()
gc.freeze()
