"""Settings that only make sense together, and such as exclude each other."""

from collections.abc import Iterator

from shared.settings import Settings

_NEEDED = ("api_oauth2_token_url", "api_oauth2_client_id", "api_oauth2_client_secret")
_OPTIONAL = ("api_oauth2_scope", "api_oauth2_audience")


def faults_of_groups(settings: Settings) -> Iterator[str]:
    """A line for each setting that is missing beside another, or is one too many."""
    given = [name for name in (*_NEEDED, *_OPTIONAL) if getattr(settings, name) is not None]
    if given:
        yield from (
            f"{name.upper()}: is required but not set, as {given[0].upper()} is set"
            for name in _NEEDED
            if name not in given
        )
        if settings.api_token is not None:
            yield f"API_TOKEN: cannot be used together with {given[0].upper()}; unset one of them"
    if settings.api_client_key is not None and settings.api_client_cert is None:
        yield "API_CLIENT_CERT: is required but not set, as API_CLIENT_KEY is set"
