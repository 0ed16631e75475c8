"""Looks at connections that a program keeps until its process ends, and ends them, as a test should."""

from supervisor.task_api.client import APIClient
from supervisor.task_api.http_channel import HttpChannel


def disconnect(client: APIClient) -> None:
    """Close what this thread's calls have opened."""
    channel = channel_of(client)
    if channel is not None:
        channel.close()


def has_unread(client: APIClient) -> bool:
    """Has this thread's connection got something that it did not ask for?"""
    channel = channel_of(client)
    return channel is not None and channel._wire is not None and channel._wire.is_stale()


def channel_of(client: APIClient) -> HttpChannel | None:
    """This thread's; None before its first call."""
    channel: HttpChannel | None = getattr(client._threads, "channel", None)
    return channel
