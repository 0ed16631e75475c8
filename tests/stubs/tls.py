"""Certificates of a CA of the tests, for a server on loopback and its clients."""

import ssl
from pathlib import Path

CERTIFICATES = Path(__file__).parent / "certificates"
CA = CERTIFICATES / "ca.pem"
OTHER_CA = CERTIFICATES / "other_ca.pem"
CLIENT_CERT = CERTIFICATES / "client.pem"
CLIENT_KEY = CERTIFICATES / "client.key.pem"
LOCKED_KEY = CERTIFICATES / "locked.key.pem"
"""The client's, with a password."""


def server_context(*, wants_client: bool = False) -> ssl.SSLContext:
    """For a server at localhost or 127.0.0.1; with `wants_client` only clients of the CA are let in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem")
    if wants_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(CA)
    return context
