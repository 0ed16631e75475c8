"""What the value of a setting may be: addresses, secrets, and variables that libraries read by themselves."""

import importlib.util
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

MAX_HOST_CHARACTERS = 253
MAX_LABEL_CHARACTERS = 63
"""Source: RFC 1035, section 2.3.4."""
_HOST_AND_PORT = re.compile(r"(\[[^\[\]@]+\]|[^\[\]:@]+)(:\d*)?")
_ADDRESS_SAFE = re.compile(r"[!-~]+")
_HOST_SAFE = re.compile(r"[0-9A-Za-z._-]+")
_TEMPLATE = re.compile(
    r"""
    <.*> | \[.*\] | \{.*\} | \$\{.*\} | \$\(.*\) | \$[a-z-]+ | %[a-z-]+%    # an example's marks, unexpanded
    | .*(\.\.\.|…) | (sk-)?(proj-)?[.*…]+                                   # sk-..., ***
    | ([a-z]+-){0,3}your(-.*|(api|openai|open|key|token|secret).*)?         # put-your-key-here, yourkey
    | (insert|enter|paste|put|fill)-.*(key|token|secret|here)(-.*)?
    | (.*-)?(key|token|secret)(-goes)?-here
    """,
    re.VERBOSE,
)
_TO_BE_CHANGED = re.compile(r"(change|replace)-?(me|this|it|with-.*)?|to-?do|fix-?me|tbd|placeholder")
_NO_KEY = re.compile(
    r"(sk-)?(proj-)?(x{3,}(-x+)*|0+|1234\d*)"
    r"|none|null|nil|undefined|empty|dummy|fake|(sk-)?no-?key(-required)?|not-needed|n/?a|ollama|lm-studio"
    r"|((my|the|openai|api|secret)-)*(key|token|secret)"
)
_HEADER_LINE = re.compile(r"[ -~]+")
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")
_CERTIFICATE_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_SENT_AS_HEADERS = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_PROXY_SCHEMES = ("http", "https")
_SOCKS_SCHEMES = ("socks5", "socks5h")


def checked_url(text: str) -> str:
    """The http or https address in `text`, its host as ASCII, without a last slash.

    Raises ValueError with a sentence that repeats nothing of `text`: a password may be in it.
    """
    parts = _split(text)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address like https://host or http://host:8000")
    if parts.username or parts.password:
        raise ValueError("must not carry a user or password; use the token or key setting")
    if not _HOST_AND_PORT.fullmatch(parts.netloc):
        raise ValueError("must be an address like https://host or http://host:8000")
    if parts.query or parts.fragment:
        raise ValueError("must not have a query or fragment")
    host = checked_host(parts.hostname)
    if not parts.hostname.isascii():
        text = text.replace(_written_host(parts), host, 1)
    if not _ADDRESS_SAFE.fullmatch(text):
        raise ValueError("must be printable ASCII without spaces; write other letters of a path as %XX")
    return text.rstrip("/")


def checked_host(host: str) -> str:
    """The host name or address as ASCII. Raises ValueError with a sentence."""
    if ":" in host:
        address, _, zone = host.partition("%")
        try:
            IPv6Address(address)
        except ValueError:
            raise ValueError("has an IPv6 address that is none") from None
        if not zone.isascii():
            raise ValueError("has a zone of its IPv6 address that is not ASCII")
        return host
    try:
        name = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        raise ValueError("has a host name that cannot be written in ASCII (IDNA)") from None
    name_of_root = name.removesuffix(".")
    labels = name_of_root.split(".")
    if len(name_of_root) > MAX_HOST_CHARACTERS or any(len(label) > MAX_LABEL_CHARACTERS for label in labels):
        raise ValueError(
            f"has a host name that is too long: {MAX_LABEL_CHARACTERS} characters between two dots,"
            f" {MAX_HOST_CHARACTERS} in all"
        )
    if not all(labels) or not _HOST_SAFE.fullmatch(name_of_root):
        raise ValueError("has a host name with an empty part or a letter that no host name has")
    if labels[-1].isdecimal() and not _is_ipv4(name_of_root):
        raise ValueError("has a host that is neither a name nor an IPv4 address")
    return name


def _split(text: str) -> SplitResult | None:
    """None where `text` is no address. The library would drop a line break and go on."""
    if any(character.isspace() or not character.isprintable() for character in text):
        return None
    try:
        parts = urlsplit(text)
        usable = parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def _written_host(parts: SplitResult) -> str:
    """The host as it stands in the address; `hostname` is in lower case."""
    return parts.netloc.rpartition("@")[2].partition(":")[0]


def _is_ipv4(host: str) -> bool:
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return True


def checked_secret(secret: SecretStr) -> SecretStr | None:
    """The secret without the space around it; None where it is empty.

    Raises ValueError, which does not repeat it, where it is an example's or cannot be sent in a header.
    """
    text = secret.get_secret_value().strip()
    if not text:
        return None
    if is_template(text):
        raise ValueError("is the placeholder of an example; set the real one, or none at all")
    if not _HEADER_SAFE.fullmatch(text):
        raise ValueError("must be printable ASCII without spaces, as it is sent in a header")
    return SecretStr(text)


def is_template(secret: str) -> bool:
    """Is it the text of an example, such as `your-api-token` or `<token>`?"""
    return _TEMPLATE.fullmatch(_plain(secret)) is not None


def is_placeholder(key: str) -> bool:
    """Is it a template, or a word for "to be changed"?"""
    return is_template(key) or _TO_BE_CHANGED.fullmatch(_plain(key)) is not None


def means_no_key(key: str) -> bool:
    """Is it one of the words that servers without keys are given?"""
    return _NO_KEY.fullmatch(_plain(key)) is not None


def _plain(secret: str) -> str:
    return re.sub(r"[-_\s]+", "-", secret.strip().lower()).strip("-")


def faults_of_library_variables(variables: Mapping[str, str], *, sdk: bool) -> Iterator[str]:
    """A sentence for each variable that cannot work. `sdk`: the provider's SDK is used as well."""
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
        if (value := variables.get(name)) and not _HEADER_LINE.fullmatch(value.strip()):
            yield f"{name}: must be printable ASCII on one line, as it is sent in a header"
    for line in variables.get("OPENAI_CUSTOM_HEADERS", "").splitlines():
        if ":" in line and not _HEADER_LINE.fullmatch(line.strip()):
            yield "OPENAI_CUSTOM_HEADERS: must be printable ASCII, as it is sent in headers"
