"""The way to the task API, as the settings and the environment have it."""

import os
from collections.abc import Callable

from shared.metrics import SupervisorMetrics
from shared.settings import Settings
from supervisor.runtime.events import Event
from supervisor.task_api.authorization import Authorization, FixedToken
from supervisor.task_api.client import APIClient
from supervisor.task_api.endpoints import Endpoints
from supervisor.task_api.tls_files import choose_tls_files
from supervisor.task_api.transport import Transport, make_target
from supervisor.task_api.wire import Wire


def connect(
    settings: Settings,
    post: Callable[[Event], None],
    metrics: SupervisorMetrics,
    new_correlation_id: Callable[[], str],
    is_held: Callable[[str], bool],
) -> tuple[Wire, APIClient]:
    """A wire that is yet to be started, and the client on it. Nothing is sent.

    Raises ConfigurationError where a certificate or a proxy cannot be used.
    """
    tls = choose_tls_files(
        settings.api_ca_file, settings.api_client_cert, settings.api_client_key, os.environ
    )
    wire = Wire(Transport(tls, settings.request_timeout), post)
    client = APIClient(
        wire,
        Endpoints(settings.api_base_url, settings.api_pending_path, settings.api_task_path),
        make_target(settings.api_base_url, "API_BASE_URL", os.environ),
        _authorization(settings, wire),
        settings.request_timeout,
        metrics,
        new_correlation_id,
        is_held,
    )
    return wire, client


def _authorization(settings: Settings, wire: Wire) -> Authorization:
    url, client_id = settings.api_oauth2_token_url, settings.api_oauth2_client_id
    secret = settings.api_oauth2_client_secret
    if url is None or client_id is None or secret is None:
        return FixedToken(settings.api_token.get_secret_value() if settings.api_token else "")
    # Its library costs 3 MB and 80 ms, which most do not need.
    from supervisor.task_api.oauth2 import ClientCredentials, OAuth2Tokens  # noqa: PLC0415

    credentials = ClientCredentials(
        url, client_id, secret, settings.api_oauth2_scope, settings.api_oauth2_audience
    )
    target = make_target(url, "API_OAUTH2_TOKEN_URL", os.environ)
    return OAuth2Tokens(credentials, target, wire.new_queue(1).put, settings.request_timeout)
