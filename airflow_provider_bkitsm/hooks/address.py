# SPDX-License-Identifier: Apache-2.0
"""The gateway's address out of the ways a connection can say it: a URL, or host, port and schema."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

_SCHEMES = {"http": 80, "https": 443}
_REFUSED: dict[str, Callable[[SplitResult], bool]] = {
    "the host must not hold a user or password": lambda url: "@" in url.netloc,
    "the host must be an http(s) URL": lambda url: url.scheme not in _SCHEMES or not url.hostname,
    "the host must end with its path, without ? or #": lambda url: bool(url.query or url.fragment),
}


def gateway_root(host: str, *, port: int | None, schema: str | None) -> str:
    """Return the URL calls are made below, without trailing slash.

    ``schema`` may be ``http`` or ``https``; anything else is the path, which is where Airflow puts the path of
    an ``AIRFLOW_CONN_`` URI. ``port`` counts where the host names none.

    :raises ValueError: it is no address; the text says why and shows nothing of it.
    """
    said = (schema or "").strip().strip("/")
    scheme, path = (said, "") if said.lower() in _SCHEMES else ("https", said)
    url = _split(host if "://" in host else f"{scheme}://{host}")
    for why, refused in _REFUSED.items():
        if refused(url):
            raise ValueError(why)
    implied = _port(url) or port in (None, 0, _SCHEMES[url.scheme])
    netloc = url.netloc if implied else f"{url.netloc.rstrip(':')}:{port}"
    paths = [one for one in (url.path.strip("/"), path) if one]
    return "/".join([f"{url.scheme}://{netloc}", *paths])


def _split(text: str) -> SplitResult:
    if any(letter.isspace() for letter in text):
        raise ValueError("the host must not hold blanks")
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError("the host must be an http(s) URL") from None


def _port(url: SplitResult) -> int | None:
    try:
        return url.port
    except ValueError:
        raise ValueError("the host's port must be a number up to 65535") from None
