"""Ends connections that a program keeps until its process ends, and a test should not."""

from supervisor.api_client import APIClient
from supervisor.http_channel import HttpChannel


def disconnect(client: APIClient) -> None:
    """Close what this thread's calls have opened."""
    channel: HttpChannel | None = getattr(client._threads, "channel", None)
    if channel is not None:
        channel.close()
