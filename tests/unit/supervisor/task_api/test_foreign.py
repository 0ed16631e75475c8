"""The API's own answers are told from those of a gateway, a firewall or a login page."""

import pytest

from supervisor.task_api.foreign import foreign_sign
from supervisor.task_api.http.exchange import Response

HTML = {"content-type": "text/html; charset=utf-8"}
JSON = {"content-type": "application/json"}
PLAIN = {"content-type": "text/plain"}


def response(headers: dict[str, str], body: bytes) -> Response:
    return Response(200, headers, body, complete=True, began_at=0.0, took_seconds=0.0)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (HTML, b"<!DOCTYPE html>\n<html><body>Just a moment...</body></html>"),
        (HTML, b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"),
        (HTML, b"\xef\xbb\xbf\r\n  <!-- maintenance --><html>"),
        (HTML, "<!doctype html><html>".encode("utf-16")),
        (HTML, b"<h1>Not Found</h1><p>The requested resource was not found on this server.</p>"),
        (HTML, b"<br />\n<b>Warning</b>: something in index.php"),
        (HTML, b"Access denied.<br>Ask your administrator."),
        (HTML, b'<script>window.location="/login"</script>'),
        (HTML, b"<HTML><BODY>UPPER CASE</BODY></HTML>"),
        (JSON, b"<!doctype html><html>a wrong label</html>"),
        (PLAIN, b"<html>a wrong label</html>"),
        ({}, b"<html>no label</html>"),
        ({"content-type": "text/xml"}, b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'),
        ({"content-type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>"),
        ({}, b"<soap:Envelope><soap:Body/></soap:Envelope>"),
        ({"content-type": "image/gif"}, b"GIF89a"),
        ({"content-type": "application/javascript"}, b"window.location = '/challenge'"),
        (JSON, b'{"title":"Error 1020: Access denied","cloudflare_error":true}'),
        ({"cf-mitigated": "challenge", **JSON}, b"{}"),
        ({"x-amzn-waf-action": "challenge"}, b""),
        ({"x-sucuri-block": "IPB01"}, b"blocked"),
        ({"x-vercel-error": "DEPLOYMENT_NOT_FOUND", **PLAIN}, b"The deployment could not be found"),
        ({"x-railway-fallback": "true", **JSON}, b'{"status":"error","code":404}'),
        ({"ngrok-error-code": "ERR_NGROK_3200", **PLAIN}, b"Tunnel not found"),
        ({"x-squid-error": "ERR_ACCESS_DENIED 0"}, b""),
    ],
)
def test_what_is_not_the_apis_is_told(headers: dict[str, str], body: bytes) -> None:
    assert foreign_sign(response(headers, body))
    assert len(foreign_sign(response(headers, body))) < 200


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (JSON, b'{"ok":true}'),
        (JSON, b""),
        (HTML, b""),
        (HTML, b" \r\n"),
        (HTML, b'{"ok":true}'),
        (HTML, b"OK"),
        (HTML, b"a < b and c > d"),
        (JSON, b'{"html":"<html><body>a text of a task</body></html>"}'),
        (HTML, b'["<p>"]'),
        (HTML, b'"<html>"'),
        (PLAIN, b"404 page not found"),
        (PLAIN, b"updated"),
        (PLAIN, b"<3"),
        ({}, b"null"),
        ({"server": "cloudflare", "cf-ray": "8f", **JSON}, b'{"error":"task not found"}'),
        ({"server": "awselb/2.0", **JSON}, b'{"error":"a Lambda function behind a load balancer"}'),
        ({"x-iinfo": "7-1", **JSON}, b"{}"),
        (JSON, b'{"cloudflare_error":false}'),
        (JSON, b'{"text":"cloudflare_error"}'),
        ({"content-type": "application/octet-stream"}, b"ok"),
        ({}, b"\x00\xff\xfe"),
    ],
)
def test_what_may_be_the_apis_own_is_left_to_its_status(headers: dict[str, str], body: bytes) -> None:
    assert foreign_sign(response(headers, body)) == ""


def test_title_of_a_page_is_told() -> None:
    page = b"<html><head><title>\n 503 Service\tUnavailable </title></head>"
    assert foreign_sign(response({}, page)) == "an HTML page, '503 Service Unavailable'"


def test_long_bodies_are_not_read_to_their_end() -> None:
    assert foreign_sign(response(HTML, b"x" * 50_000_000 + b"<html>")) == ""
