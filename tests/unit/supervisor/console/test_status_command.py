"""Where to ask a service that runs here."""

import pytest

from shared.errors import ConfigurationError
from shared.settings import ServiceLocation
from supervisor.console.status_command import service_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8001"),
        ("::", "http://[::1]:8001"),
        ("192.0.2.7", "http://192.0.2.7:8001"),
        ("2001:db8::1", "http://[2001:db8::1]:8001"),
        ("metrics.internal", "http://metrics.internal:8001"),
    ],
)
def test_address_listened_on_becomes_one_to_ask_at(host: str, url: str) -> None:
    assert service_url(ServiceLocation(metrics_host=host, metrics_port=8001)) == url


def test_port_that_only_the_service_knows_must_be_given() -> None:
    with pytest.raises(ConfigurationError, match="--url"):
        service_url(ServiceLocation(metrics_port=0))
