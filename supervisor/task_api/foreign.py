"""Whose answer is it: the task API's own, or that of a gateway, firewall or login page in front of it?"""

import re

import orjson

from supervisor.task_api.http.exchange import Response

MAX_SNIFFED_BYTES = 16 * 1024

_FOREIGN_HEADERS = (
    "cf-mitigated",  # Cloudflare: challenged or blocked
    "x-amzn-waf-action",  # AWS WAF: challenge or captcha
    "x-sucuri-block",
    "x-dd-b",  # DataDome: blocked
    "x-ec-security-audit",  # Edgio WAF: blocked
    "x-goog-iap-generated-response",  # Google's Identity-Aware Proxy: login needed
    "x-azure-externalerror",  # Azure Front Door: cannot reach the API
    "x-vercel-mitigated",
    "x-vercel-error",
    "x-railway-fallback",  # no application behind the router
    "x-render-routing",
    "ngrok-error-code",
    "x-squid-error",
)
"""Headers that a product sets only on answers of its own making."""
_MARKUP_START = re.compile(rb"<(?:!doctype|!--|\?xml|[a-z][a-z0-9:_-]*(?=[\s/>]))", re.IGNORECASE)
_TAG = re.compile(
    rb"</?(?:html|head|body|title|meta|script|style|h[1-6]|p|br|hr|div|span|center|pre|a|b|form)\b[^<]*>",
    re.IGNORECASE,
)
_XML = re.compile(rb"<\?xml", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>([^<]*)", re.IGNORECASE)
_NOT_FOR_AN_API = (
    "image/",
    "audio/",
    "video/",
    "font/",
    "text/css",
    "text/javascript",
    "application/javascript",
)
_BLANK = b" \t\r\n\0\xef\xbb\xbf\xff\xfe"


def foreign_sign(got: Response) -> str:
    """What shows that something else answered in the API's place; empty where nothing does.

    The markup in the body counts, not the content type: frameworks send empty and JSON bodies as
    `text/html`, and login pages come with any type.
    """
    headers, body = got.headers, got.body
    content_type = headers.get("content-type", "").strip().lower()
    if got.unreadable and content_type.startswith("text/html"):
        return "an HTML page that cannot be read"
    mark = next((name for name in _FOREIGN_HEADERS if name in headers), "")
    if mark:
        return f"the header {mark}: {headers[mark][:40]!a}"
    # UTF-16 is ASCII with zeros between.
    head = bytes(body[:MAX_SNIFFED_BYTES]).replace(b"\0", b"").lstrip(_BLANK)
    if not head:
        return ""
    if head[:1] in b'{["':
        return "an error of Cloudflare" if _is_cloudflare_error(body) else ""
    if _XML.match(head) and b"<html" not in head.lower():
        return "an XML document"
    if _MARKUP_START.match(head) or (content_type.startswith("text/html") and _TAG.search(head)):
        title = _TITLE.search(head)
        words = " ".join(title[1].decode(errors="replace").split())[:80] if title else ""
        return f"an HTML page, {words!a}" if words else "an HTML page"
    if content_type.startswith(_NOT_FOR_AN_API):
        return f"a body of type {content_type[:40]!a}"
    return ""


def _is_cloudflare_error(body: bytes | bytearray) -> bool:
    if len(body) > MAX_SNIFFED_BYTES or b"cloudflare_error" not in body:
        return False
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict) and document.get("cloudflare_error") is True
