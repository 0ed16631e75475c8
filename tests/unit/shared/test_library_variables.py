"""Variables that libraries read: those that cannot work are named before there is any work."""

import pytest

from shared.errors import ConfigurationError
from shared.loading import load_settings
from shared.setting_values import faults_of_library_variables
from tests.unit.shared.conftest import Surroundings

SECRET = "hunter2-very-secret"


def faults(**variables: str) -> list[str]:
    return list(faults_of_library_variables(variables, sdk=True))


def faults_without_sdk(**variables: str) -> list[str]:
    return list(faults_of_library_variables(variables, sdk=False))


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_that_are_nowhere_are_named_with_their_path(complete: Surroundings, name: str) -> None:
    complete.set(**{name: "/nowhere/ca.pem"})
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    (line,) = caught.value.faults
    assert line.startswith(f"{name}: ")
    assert "/nowhere/ca.pem" in line
    assert "unset it" in line


@pytest.mark.parametrize("content", ["", "not a certificate\n", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_file_without_certificates_is_named(complete: Surroundings, content: str) -> None:
    path = complete.working_directory / "ca.pem"
    path.write_text(content)
    (line,) = faults(SSL_CERT_FILE=str(path))
    assert line.startswith(f"SSL_CERT_FILE: {path} has no certificates in PEM form")


def test_directory_is_no_certificate_file_for_all_but_some(complete: Surroundings) -> None:
    directory = str(complete.working_directory)
    assert faults(SSL_CERT_FILE=directory)[0].startswith(f"SSL_CERT_FILE: {directory} cannot be read")
    assert faults(REQUESTS_CA_BUNDLE=directory, CURL_CA_BUNDLE=directory) == []


def test_one_directory_of_several_is_enough(complete: Surroundings) -> None:
    assert faults(SSL_CERT_DIR=f"/nowhere:{complete.working_directory}") == []


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "address",
    [
        *("http://", ":3128", "http://:3128", "proxy.test:port", "proxy.test:0", "proxy.test:99999"),
        *("http://pro xy.test:3128", "http://[::1:3128", f"http://{'a' * 64}.test", "ftp://proxy.test"),
        *("socks4://proxy.test:1080", "socks5://proxy.test:1080", f"http://user:{SECRET}@"),
        *(f"ftp://user:{SECRET}@proxy.test", f"http://user:{SECRET}@proxy.test:port"),
    ],
)
def test_proxy_that_is_none_is_named_without_its_password(name: str, address: str) -> None:
    (line,) = faults(**{name: address})
    assert line.startswith(f"{name}: ")
    assert SECRET not in line


@pytest.mark.parametrize(
    "address",
    [
        "",
        " ",
        "proxy.test:3128",
        "http://user:p%40ss@proxy.test:3128/",
        "https://proxy.test",
        "http://[::1]:3128",
    ],
)
def test_proxy_may_be_written_in_these_ways(address: str) -> None:
    assert faults(HTTPS_PROXY=address, http_proxy=address) == []


def test_socks_needs_its_package_only_for_the_sdk() -> None:
    assert "pip install socksio" in faults(ALL_PROXY="socks5h://proxy.test:1080")[0]
    assert faults_without_sdk(ALL_PROXY="socks5h://proxy.test:1080") == []


@pytest.mark.parametrize("name", ["OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"])
@pytest.mark.parametrize("value", ["org-é", "org-1\norg-2", "org\x7f", "“org”"])
def test_value_that_cannot_be_a_header_is_named_and_not_repeated(name: str, value: str) -> None:
    assert faults(**{name: value}) == [
        f"{name}: must be printable ASCII on one line, as it is sent in a header"
    ]
    assert faults_without_sdk(**{name: value}) == []


def test_own_headers_are_looked_at_line_by_line() -> None:
    assert faults(OPENAI_CUSTOM_HEADERS="X-Team: a\nX-Other: b") == []
    assert len(faults(OPENAI_CUSTOM_HEADERS="X-Team: a\nX-Other: é")) == 1
