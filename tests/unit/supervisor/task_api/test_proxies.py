"""Which proxy leads to an address, as the environment has it."""

import pytest

from shared.errors import ConfigurationError
from supervisor.task_api.http.route import proxy_for

PROXY = "http://proxy.test:3128"


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        ("http://api.test", "api.test"),
        ("http://api.test", "other.test,api.test"),
        ("http://api.test", " other.test api.test "),
        ("http://API.test.", "api.TEST"),
        ("http://a.api.test", "api.test"),
        ("http://a.api.test", ".api.test"),
        ("http://a.api.test", "*.api.test"),
        ("http://api.test:8000", "api.test:8000"),
        ("http://api.test", "api.test:80"),
        ("http://api.test", "http://api.test"),
        ("http://api.test", "*"),
        ("http://10.1.2.3", "10.1.2.3"),
        ("http://10.1.2.3", "10.0.0.0/8"),
        ("http://10.1.2.3:8000", "10.1.2.3:8000"),
        ("http://[::1]:8000", "::1"),
        ("http://[::1]:8000", "[::1]"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://[fd00::7]", "fd00::/8"),
    ],
)
def test_no_proxy_exempts(url: str, no_proxy: str) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        assert proxy_for(url, {"http_proxy": PROXY, name: no_proxy}) is None


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        ("http://api.test", ""),
        ("http://notapi.test", "api.test"),
        ("http://api.test", "a.api.test"),
        ("http://api.test", "api.test:8000"),
        ("http://10.1.2.3", "11.0.0.0/8"),
        ("http://10.1.2.3", "10.1.2.30"),
        ("http://[::1]:8000", "[::1]:9000"),
        ("http://api.test", "10.0.0.0/8"),
        ("http://api.test", ",, ,."),
    ],
)
def test_no_proxy_exempts_no_other(url: str, no_proxy: str) -> None:
    assert proxy_for(url, {"http_proxy": PROXY, "no_proxy": no_proxy}) is not None


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://b.test"}, "https_proxy"),
        ({"HTTPS_PROXY": PROXY, "ALL_PROXY": "http://b.test"}, "HTTPS_PROXY"),
        ({"ALL_PROXY": PROXY, "HTTP_PROXY": "http://b.test"}, "ALL_PROXY"),
    ],
)
def test_the_more_special_name_wins(environ: dict[str, str], name: str) -> None:
    proxy = proxy_for("https://api.test", environ)
    assert proxy is not None
    assert (proxy.url, proxy.name) == (PROXY, f"the proxy proxy.test:3128 of {name}")


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"HTTPS_PROXY": PROXY},
        {"http_proxy": "", "HTTP_PROXY": PROXY},
        {"HTTP_PROXY": "  "},
        {"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"},
    ],
)
def test_no_proxy_where_none_is_meant(environ: dict[str, str]) -> None:
    assert proxy_for("http://api.test", environ) is None


@pytest.mark.parametrize(
    ("value", "url", "shown"),
    [
        ("proxy.test", "http://proxy.test:80", "proxy.test:80"),
        ("https://proxy.test", "https://proxy.test:443", "proxy.test:443"),
        ("http://u:p%40@proxy.test:1/", "http://u:p%40@proxy.test:1", "proxy.test:1"),
        ("socks5h://[::1]", "socks5h://[::1]:1080", "[::1]:1080"),
    ],
)
def test_address_is_completed_and_shown_without_its_password(value: str, url: str, shown: str) -> None:
    proxy = proxy_for("http://api.test", {"HTTP_PROXY": value})
    assert proxy is not None
    assert (proxy.url, proxy.name) == (url, f"the proxy {shown} of HTTP_PROXY")


@pytest.mark.parametrize(
    "value", ["ftp://proxy.test", "http://", "http://proxy.test:99999", "http://[bad", "http://a b"]
)
def test_address_that_is_none_is_a_fault_that_repeats_nothing(value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^HTTP_PROXY: must be") as caught:
        proxy_for("http://api.test", {"HTTP_PROXY": value})
    assert "proxy.test" not in str(caught.value)
