# SPDX-License-Identifier: Apache-2.0
"""The signature a callback carries: made by the worker that opens the ticket, checked by the API server.

Both know nothing in common but the connection, so the key is derived from its app secret, or from its extra
``callback_signing_secret``. ITSM's own token proves neither ticket nor time
(docs/itsm-behaviour.md#callbacks-token); this binds both.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError

# The first given counts. Airflow hides an entry of the extra by words in its name, and "keys" is none of them.
EXTRAS = ("callback_signing_secret", "callback_signing_keys")
# A request header, not a part of the address: addresses end up in access logs (promise P8).
HEADER = "X-Bkitsm-Signature"
_VERSION = "v1"
_INFO = b"airflow-provider-bkitsm callback signature v1"
_KEY_BYTES = 32
_SHORTEST_KEY = 16


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a signature vouches for.

    :param conn_id: connection the ticket was opened with.
    :param tag: the approval, as :func:`~airflow_provider_bkitsm.itsm.opening.creation_tag` names it.
    :param expires: end of the signature's life, in seconds since 1970.
    """

    conn_id: str
    tag: str
    expires: int

    def as_bytes(self) -> bytes:
        """Return the one text of this claim; JSON keeps its parts apart whatever they hold."""
        return json.dumps([self.conn_id, self.tag, self.expires]).encode()


def signing_keys(gateway: Gateway) -> tuple[bytes, ...]:
    """Return a connection's keys: the first signs, all of them are believed, so that keys can be rotated.

    :raises ItsmConfigurationError: a key is blank or too short to be a secret.
    """
    name = next((one for one in EXTRAS if gateway.extra.get(one) not in (None, "")), None)
    if name is None:
        return (_derive(gateway.app_secret),)
    configured = gateway.extra[name]
    if isinstance(configured, str):
        configured = configured.split(",")
    if not isinstance(configured, list) or not configured:
        raise _wrong(gateway, name, "must be a list of texts, or one text with commas")
    return tuple(_derive(_checked(gateway, name, key)) for key in configured)


def sign(keys: Iterable[bytes], claim: Claim) -> str:
    """Return the signature of a claim, as it stands in the header."""
    first, *_ = keys
    return f"{_VERSION}={_mac(first, claim)}"


def is_signed(keys: Iterable[bytes], claim: Claim, signature: str) -> bool:
    """Whether one of the keys made this signature; takes as long whichever it was, or none."""
    given = signature.encode(errors="replace")
    matches = [hmac.compare_digest(sign([key], claim).encode(), given) for key in keys]
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
