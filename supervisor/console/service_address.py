"""Where a running service answers, as seen from the machine that it runs on."""

from ipaddress import ip_address

from shared.errors import ConfigurationError
from shared.settings import ServiceLocation


def service_url(service_location: ServiceLocation) -> str:
    """The address of its HTTP port. Raises ConfigurationError where the settings do not say."""
    if service_location.metrics_port == 0:
        raise ConfigurationError(
            "METRICS_PORT: is 0: the service's log says which port it took; give its address with --url"
        )
    return f"http://{_reachable(service_location.metrics_host)}:{service_location.metrics_port}"


def _reachable(host: str) -> str:
    """The host to connect to, for one that is listened on."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    six = address.version == 6  # noqa: PLR2004  the IP version
    if address.is_unspecified:
        return "[::1]" if six else "127.0.0.1"
    return f"[{address}]" if six else str(address)
