# SPDX-License-Identifier: Apache-2.0
"""Callback tokens: 88 characters that prove "sent by some ITSM of this kind" and nothing else.

See docs/itsm-behaviour.md#callbacks-token.

As in ITSM, the text under the encryption is a constant of the installation, and the key is a public default.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from airflow_provider_bkitsm.sandbox.refusals import unexpected

_START_BYTES, _BLOCK_BITS = 16, 128
_KEY = hashlib.sha256(b"the default that nobody changes").digest()


def new_installation() -> str:
    """Return what makes one installation's tokens its own."""
    return os.urandom(16).hex()


def issue(installation: str, *, start: bytes | None = None) -> str:
    """Return a token: different each time, bound to no ticket, decision or time.

    :param start: the 16 bytes it begins with, random if not given.
    """
    start = os.urandom(_START_BYTES) if start is None else start
    padder = PKCS7(_BLOCK_BITS).padder()
    padded = padder.update(_constant(installation)) + padder.finalize()
    sealer = _cipher(start).encryptor()
    return base64.b64encode(start + sealer.update(padded) + sealer.finalize()).decode()


def passes(installation: str, text: object) -> bool:
    """Whether a token is this installation's, see docs/itsm-behaviour.md#verifying-a-token.

    :raises Refusal: it is no text, or decodes to nothing but a start.
    """
    if not isinstance(text, str):
        raise unexpected("encoding without a string argument")
    try:
        raw = base64.b64decode(text.rstrip("\n "), validate=True)
    except (binascii.Error, ValueError):
        return False
    if len(raw) == _START_BYTES:
        raise unexpected("string index out of range")
    opened = open_token(raw)
    return opened is not None and hmac.compare_digest(opened, _constant(installation))


def open_token(raw: bytes) -> bytes | None:
    """Return the constant inside a token: whoever has seen one token can read it."""
    try:
        opener, unpadder = _cipher(raw[:_START_BYTES]).decryptor(), PKCS7(_BLOCK_BITS).unpadder()
        padded = opener.update(raw[_START_BYTES:]) + opener.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        return None


def _constant(installation: str) -> bytes:
    return f"bk_itsm:{installation[:31]}".encode()


def _cipher(start: bytes) -> Cipher[modes.CBC]:
    return Cipher(algorithms.AES(_KEY), modes.CBC(start))
