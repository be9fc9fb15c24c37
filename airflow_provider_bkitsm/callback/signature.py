# SPDX-License-Identifier: Apache-2.0
"""The address and the signature of a callback: the signed claim, its keys, and the ``meta`` that ITSM gets."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.callback.waiters import CONN_ID
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.connection_form import SIGNING_KEYS
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.itsm.idempotency import TAG_LENGTH
from airflow_provider_bkitsm.version_compat import airflow_conf

log = logging.getLogger(__name__)

# A request header, not a part of the address: addresses end up in access logs (promise P8).
HEADER = "X-Bkitsm-Signature"
# Where ITSM sends no header of ours, the address has the signature. It is of no use to a reader of access logs: it
# vouches for the digest of a token that stands in the body alone.
QUERY = "signature"
_TOKEN_BYTES = 32
_VERSION = "v1"
_INFO = b"airflow-provider-bkitsm callback signature v1"
_KEY_BYTES = 32
_SHORTEST_KEY = 16
_SIGNATURE = re.compile(rf"{_VERSION}=[0-9a-f]{{64}}")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a signature vouches for.

    :param conn_id: connection the ticket was opened with.
    :param tag: the approval, as :func:`~airflow_provider_bkitsm.itsm.idempotency.approval_tag` names it.
    :param expires: end of the signature's life, in seconds since 1970.
    :param token_digest: of the token that ITSM sends back, where that token is ours; empty: ITSM makes its own.
    """

    conn_id: str
    tag: str
    expires: int
    token_digest: str = ""

    def as_bytes(self) -> bytes:
        """Return the bytes that are signed. JSON keeps the claim's parts apart, whatever they hold."""
        token = [self.token_digest] if self.token_digest else []
        return json.dumps([self.conn_id, self.tag, self.expires, *token]).encode()


def signing_keys(gateway: Gateway) -> tuple[bytes, ...]:
    """Return a connection's keys: the first signs, all of them are believed, so that keys can be rotated.

    :raises ItsmConfigurationError: a key is blank or too short to be a secret.
    """
    name = next((extra for extra in SIGNING_KEYS if gateway.extra.get(extra) not in (None, "")), None)
    if name is None:
        return (_derive(gateway.app_secret),)
    configured = gateway.extra[name]
    if isinstance(configured, str):
        configured = configured.split(",")
    if not isinstance(configured, list) or not configured:
        raise _wrong(gateway, name, "must be a list of texts, or one text with commas")
    return tuple(_derive(_checked(gateway, name, key)) for key in configured)


def sign(keys: Iterable[bytes], claim: Claim) -> str:
    """Return the signature of a claim, as the header holds it."""
    first, *_ = keys
    return f"{_VERSION}={_mac(first, claim)}"


def read_signature(header: str) -> str | None:
    """Return a header's signature; None where it can be nobody's."""
    return header if _SIGNATURE.fullmatch(header) else None


def is_signed(keys: Iterable[bytes], claim: Claim, signature: str) -> bool:
    """Whether one of the keys made this signature. The time this takes does not depend on the answer."""
    given = signature.encode(errors="replace")
    matches = [hmac.compare_digest(sign([key], claim).encode(), given) for key in keys]
    return any(matches)


def digest_of(token: str) -> str:
    """Return what is kept of a callback's token: nobody finds the token by it, since the token is random."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def is_one_of(digests: Iterable[str], token: str) -> bool:
    """Whether a token has one of the digests that were kept. The time this takes does not depend on the answer."""
    given = digest_of(token).encode()
    matches = [hmac.compare_digest(one.encode(), given) for one in digests]
    return any(matches)


def _mac(key: bytes, claim: Claim) -> str:
    return hmac.new(key, claim.as_bytes(), hashlib.sha256).hexdigest()


def _derive(secret: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_INFO).derive(secret.encode())


def _checked(gateway: Gateway, name: str, key: object) -> str:
    text = key.strip() if isinstance(key, str) else ""
    if not text:
        raise _wrong(gateway, name, "holds a blank key")
    if len(text) < _SHORTEST_KEY:
        raise _wrong(gateway, name, f"holds a key of fewer than {_SHORTEST_KEY} characters")
    return text


def _wrong(gateway: Gateway, name: str, what: str) -> ItsmConfigurationError:
    return ItsmConfigurationError(f"connection {gateway.conn_id!r}: extra {name!r} {what}; nothing was sent")


PREFIX = "/bkitsm"
ROUTE = "/callback/{conn_id}/{tag}/{expires}"
# Longer than approvers usually have. Later decisions are found by polling alone.
LIFE = timedelta(days=60)
_TAG = re.compile(rf"[!-~]{{1,{TAG_LENGTH}}}")
_EXPIRES = re.compile(r"[0-9]{1,12}")


def callback_meta(
    given: Mapping[str, Any] | None, *, base: str, gateway: Gateway, tag: str, now: datetime
) -> dict[str, Any]:
    """Return a ticket's ``meta`` with address and signature added, unless it names an address already.

    A version of ITSM that makes no token of its own gets a random one, which it sends back in the callback's body.
    The caller keeps its digest before the ticket is opened. Whoever has the token can answer for this ticket: it
    goes into the request that opens the ticket, and nowhere else.

    :param base: public URL of Airflow's API server, a path prefix included.
    :raises ItsmConfigurationError: the connection's signing keys cannot be used.
    """
    meta = dict(given or {})
    if meta.get("callback_url"):
        return meta  # somebody else's receiver: it gets no signature of ours
    claim = Claim(conn_id=gateway.conn_id, tag=tag, expires=int((now + LIFE).timestamp()))
    keys, url = signing_keys(gateway), _url(base, claim)
    if gateway.dialect.capabilities.verify_token:
        return meta | {"callback_url": url, "headers": {**(meta.get("headers") or {}), HEADER: sign(keys, claim)}}
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    if gateway.dialect.capabilities.signed_address:
        signature = sign(keys, replace(claim, token_digest=digest_of(token)))
        url = f"{url}?{urlencode({QUERY: signature})}"
    return meta | {"callback_url": url, "callback_token": token}


def read_claim(*, conn_id: str, tag: str, expires: str) -> Claim | None:
    """Read the address's parts; None when their shape is wrong."""
    if not (CONN_ID.fullmatch(conn_id) and _TAG.fullmatch(tag) and _EXPIRES.fullmatch(expires)):
        return None
    claim = Claim(conn_id=conn_id, tag=tag, expires=int(expires))
    return claim if str(claim.expires) == expires else None


def _url(base: str, claim: Claim) -> str:
    path = ROUTE.format(
        conn_id=quote(claim.conn_id, safe=""), tag=quote(claim.tag, safe=""), expires=claim.expires
    )
    return f"{base.rstrip('/')}{PREFIX}{path}"


def callbacks_wanted() -> bool:
    """Whether ``[bkitsm] callback`` is on."""
    return settings.callback()


def with_callback(meta: Mapping[str, Any] | None, *, gateway: Gateway, tag: str) -> dict[str, Any] | None:
    """Return a ticket's ``meta`` with this Airflow's callback added; unchanged where it takes no callbacks.

    :raises ItsmConfigurationError: the connection's signing keys cannot be used.
    """
    base = callback_base()
    if base is None:
        return dict(meta) if meta else None
    return callback_meta(meta, base=base, gateway=gateway, tag=tag, now=datetime.now(UTC))


def callback_base() -> str | None:
    """Return the public URL of the API server; None when there is none or callbacks are switched off."""
    if not callbacks_wanted():
        return None
    base = str(settings.callback_base_url() or airflow_conf().get("api", "base_url", fallback="") or "").strip()
    if base.startswith(("http://", "https://")):
        return base
    _warn_of_missing_base(base)
    return None


@cache
def _warn_of_missing_base(base: str) -> None:
    log.warning(
        "ITSM will not call back, decisions are found by polling: neither [bkitsm] callback_base_url nor [api]"
        " base_url is an http(s) address (%r)",
        base,
    )
