"""Which addresses of ITSM may be shown in a frame: those of the one origin that was configured."""

from __future__ import annotations

import re

_HOST = r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
_ORIGIN = re.compile(rf"(https?)://({_HOST})(?::(\d{{1,5}}))?", re.IGNORECASE | re.ASCII)
_DEFAULT_PORTS = {"http": "80", "https": "443"}
# What may follow an origin in an address. A backslash would be a slash to a browser.
_REST = re.compile(r"(?:[/?#][!-\[\]-~]*)?")


def origin_of(address: str) -> str:
    """Return an address' origin as browsers write it; empty unless it is an origin, but for a last slash."""
    found = _ORIGIN.fullmatch(address.strip().removesuffix("/"))
    return _written(found) if found else ""


def framed(address: str, origin: str) -> str:
    """Return an address if it is of this origin; empty otherwise, as for no origin."""
    found = _ORIGIN.match(address)
    if not origin or found is None or _REST.fullmatch(address[found.end() :]) is None:
        return ""
    return address if _written(found) == origin else ""


def _written(found: re.Match[str]) -> str:
    scheme, host, port = found[1].lower(), found[2].lower(), found[3]
    return f"{scheme}://{host}" + (f":{int(port)}" if port and port != _DEFAULT_PORTS[scheme] else "")
