# SPDX-License-Identifier: Apache-2.0
"""Where a callback goes: the address and header that ITSM keeps with the ticket and posts to once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from airflow_provider_bkitsm.hooks.callback_signing import HEADER, Claim, sign, signing_keys
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.itsm.checks import TAG_LIMIT

PREFIX = "/bkitsm"
ROUTE = "/callback/{conn_id}/{tag}/{expires}"
# Longer than people are usually given. After it, polling alone tells of the decision.
LIFE = timedelta(days=60)
_LONGEST_CONN_ID = 250
_EXPIRES = re.compile(r"[0-9]{1,12}")


def callback_meta(
    given: Mapping[str, Any] | None, *, base: str, gateway: Gateway, tag: str, now: datetime
) -> dict[str, Any]:
    """Return a ticket's ``meta`` with address and signature added, unless it names an address already.

    :param base: public URL of Airflow's API server, a path prefix included.
    :raises ItsmConfigurationError: the connection's signing keys cannot be used.
    """
    meta = dict(given or {})
    if meta.get("callback_url"):
        return meta  # somebody else's receiver: it gets no signature of ours
    claim = Claim(conn_id=gateway.conn_id, tag=tag, expires=int((now + LIFE).timestamp()))
    signature = {HEADER: sign(signing_keys(gateway), claim)}
    return meta | {"callback_url": _url(base, claim), "headers": {**(meta.get("headers") or {}), **signature}}


def read_claim(*, conn_id: str, tag: str, expires: str) -> Claim | None:
    """Read the address's parts; None when their shape is wrong."""
    if not (0 < len(conn_id) <= _LONGEST_CONN_ID and 0 < len(tag) <= TAG_LIMIT and _EXPIRES.fullmatch(expires)):
        return None
    claim = Claim(conn_id=conn_id, tag=tag, expires=int(expires))
    return claim if str(claim.expires) == expires else None


def _url(base: str, claim: Claim) -> str:
    path = ROUTE.format(
        conn_id=quote(claim.conn_id, safe=""), tag=quote(claim.tag, safe=""), expires=claim.expires
    )
    return f"{base.rstrip('/')}{PREFIX}{path}"
