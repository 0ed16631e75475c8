"""What is said of an address before anything is sent to it."""

import re
import socket
from ipaddress import IPv6Address
from urllib.parse import SplitResult, urlsplit

MAX_HOST_CHARACTERS = 253
MAX_LABEL_CHARACTERS = 63
"""Source: RFC 1035, section 2.3.4."""
_HOST_AND_PORT = re.compile(r"(\[[^\[\]@]+\]|[^\[\]:@]+)(:\d*)?")
_ADDRESS_SAFE = re.compile(r"[!-~]+")
_HOST_SAFE = re.compile(r"[0-9A-Za-z._-]+")


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
