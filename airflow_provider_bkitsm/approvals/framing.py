# SPDX-License-Identifier: Apache-2.0
"""Which addresses of ITSM may be shown in a frame: those of the one origin that was configured."""

from __future__ import annotations

import re

_HOST = r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
_ORIGIN = re.compile(rf"(https?)://({_HOST})(?::(\d{{1,5}}))?", re.IGNORECASE | re.ASCII)
_DEFAULT_PORTS = {"http": "80", "https": "443"}
# What may follow an origin in an address. A backslash would be a slash to a browser.
_REST = re.compile(r"(?:[/?#][!-\[\]-~]*)?")


def origin_of(setting: str) -> str:
    """Return an origin as browsers write it, a last slash forgiven; empty for anything else."""
    found = _ORIGIN.fullmatch(setting.strip().removesuffix("/"))
    return _written(found) if found else ""


def is_of(address: str, origin: str) -> bool:
    """Whether an address is of an origin, as browsers write that."""
    found = _ORIGIN.match(address)
    return found is not None and _written(found) == origin


def framed(address: str, origin: str) -> str:
    """Return an address if it is of this origin; empty otherwise, as for no origin."""
    found = _ORIGIN.match(address)
    is_whole = found is not None and _REST.fullmatch(address, found.end()) is not None
    return address if is_whole and is_of(address, origin) else ""


def _written(found: re.Match[str]) -> str:
    scheme, host, port = found[1].lower(), found[2].lower(), found[3]
    return f"{scheme}://{host}" + (f":{int(port)}" if port and port != _DEFAULT_PORTS[scheme] else "")
