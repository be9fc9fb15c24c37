"""Callback tokens: 88 characters that prove "sent by this installation" and nothing else (reference 7)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os

from airflow_provider_bkitsm.sandbox.refusals import unexpected

_START_BYTES, _TOKEN_BYTES = 16, 64


def new_installation() -> str:
    """Return what makes one installation's tokens its own."""
    return os.urandom(16).hex()


def issue(installation: str) -> str:
    """Return a token: different each time, bound to no ticket, decision or time."""
    start = os.urandom(_START_BYTES)
    return base64.b64encode(start + _seal(installation, start)).decode()


def passes(installation: str, text: object) -> bool:
    """Whether a token is this installation's, by the table of reference 4.5.

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
    return len(raw) == _TOKEN_BYTES and hmac.compare_digest(
        raw[_START_BYTES:], _seal(installation, raw[:_START_BYTES])
    )


def _seal(installation: str, start: bytes) -> bytes:
    return hmac.new(installation.encode(), start, hashlib.sha384).digest()
