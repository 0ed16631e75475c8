"""Environment variables that libraries read by themselves: a wrong one would only show in mid-work."""

import importlib.util
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from shared.addresses import checked_host

_HEADER_SAFE = re.compile(r"[ -~]+")
_CERTIFICATE_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_SENT_AS_HEADERS = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_PROXY_SCHEMES = ("http", "https")
_SOCKS_SCHEMES = ("socks5", "socks5h")


def faults_of_library_variables(variables: Mapping[str, str], *, sdk: bool) -> Iterator[str]:
    """A sentence for each variable that cannot work; `sdk`: the provider's SDK is used, too."""
    for name in _CERTIFICATE_FILES:
        if path := variables.get(name):
            yield from _faults_of_certificates(name, Path(path), may_be_directory=name != "SSL_CERT_FILE")
    if paths := variables.get("SSL_CERT_DIR"):
        directories = [Path(path) for path in paths.split(os.pathsep) if path]
        if not any(directory.is_dir() for directory in directories):
            yield f"SSL_CERT_DIR: there is no directory {paths}; mend the path or unset it"
    for name in _PROXIES:
        for spelling in (name, name.lower()):
            if address := variables.get(spelling, "").strip():
                yield from (f"{spelling}: {fault}" for fault in _faults_of_proxy(address, sdk=sdk))
    if sdk:
        yield from _faults_of_headers(variables)


def _faults_of_certificates(name: str, path: Path, *, may_be_directory: bool) -> Iterator[str]:
    if may_be_directory and path.is_dir():
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        yield f"{name}: {path} has no certificates in PEM form that can be read; mend the file or unset it"
    except OSError as error:
        yield f"{name}: {path} cannot be read: {error.strerror}; mend the path or unset it"


def _faults_of_proxy(address: str, *, sdk: bool) -> Iterator[str]:
    """Sentences that do not repeat the address, which may hold a password."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0:
        yield "is no address of a proxy; write http://host:port, or unset it"
        return
    try:
        checked_host(host)
    except ValueError as error:
        yield f"{error}; write http://host:port, or unset it"
    if parts.scheme in _SOCKS_SCHEMES:
        if sdk and importlib.util.find_spec("socksio") is None:
            yield f"{parts.scheme} proxies need a package: pip install socksio"
    elif parts.scheme not in _PROXY_SCHEMES:
        yield f"{parts.scheme} proxies cannot be used; write http://host:port, or unset it"


def _faults_of_headers(variables: Mapping[str, str]) -> Iterator[str]:
    for name in _SENT_AS_HEADERS:
        if (value := variables.get(name)) and not _HEADER_SAFE.fullmatch(value.strip()):
            yield f"{name}: must be printable ASCII on one line, as it is sent in a header"
    for line in variables.get("OPENAI_CUSTOM_HEADERS", "").splitlines():
        if ":" in line and not _HEADER_SAFE.fullmatch(line.strip()):
            yield "OPENAI_CUSTOM_HEADERS: must be printable ASCII, as it is sent in headers"
