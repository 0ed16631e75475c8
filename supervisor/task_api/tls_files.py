"""The certificates that TLS is checked with and shown with, chosen and read once at the start."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import certifi

from shared.errors import ConfigurationError

SYSTEM_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, macOS
)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """`extra_ca_file` is trusted beside `ca_file`. The key may stand in the file of the certificate.

    `ca_directories` are separated by colons, as OpenSSL has it.
    """

    ca_file: Path
    ca_directories: str = ""
    extra_ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None


def choose_tls_files(
    extra_ca_file: Path | None,
    client_cert: Path | None,
    client_key: Path | None,
    environ: Mapping[str, str],
) -> TlsFiles:
    """The files of the settings, beside the CAs of SSL_CERT_FILE, of the system or of certifi.

    Raises ConfigurationError, which names the setting, where a file of a setting cannot be used.
    """
    if extra_ca_file is not None:
        _check_ca("API_CA_FILE", extra_ca_file)
    if client_cert is not None:
        _check_client(client_cert, client_key)
    system = next((path for path in SYSTEM_CA_FILES if Path(path).is_file()), None)
    ca_file = Path(environ.get("SSL_CERT_FILE") or system or certifi.where())
    return TlsFiles(ca_file, environ.get("SSL_CERT_DIR", ""), extra_ca_file, client_cert, client_key)


def _check_ca(setting: str, path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise ConfigurationError(f"{setting}: {path} holds no certificates in PEM") from error
    except OSError as error:
        raise ConfigurationError(f"{setting}: {path} cannot be read: {error.strerror}") from error


def _check_client(cert: Path, key: Path | None) -> None:
    for setting, path in (("API_CLIENT_CERT", cert), ("API_CLIENT_KEY", key)):
        try:
            if path is not None:
                path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{setting}: {path} cannot be read: {error.strerror}") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=lambda: b"")
    except ssl.SSLError as error:
        setting = "API_CLIENT_CERT" if key is None else "API_CLIENT_KEY"
        needed = "a certificate and its key, in PEM and without a password"
        raise ConfigurationError(f"{setting}: {key or cert}: {needed}, are needed") from error
