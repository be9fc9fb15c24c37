# SPDX-License-Identifier: Apache-2.0
"""A connection's extra, whoever wrote it: a form, a JSON text or the query of a URI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

# Beside what Airflow knows by its name. A path is no secret, but a key pasted in its place is.
_SECRET = ("access_token", "bk_token", "bk_ticket", "bk_ticket_secret", "client_key")
_SECRETS = ("callback_signing_secret", "callback_signing_keys")


def read_extra(text: str | None) -> dict[str, Any]:
    """Return the entries that are given; a prefix as old forms wrote it (``extra__bkitsm__``) is dropped.

    :raises ValueError: the text is no JSON object.
    """
    if text is None or not text.strip():
        return {}
    try:
        extra = json.loads(text)
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise ValueError("extra must be a JSON object")
    given = {name: value for name, value in extra.items() if not is_blank(value)}
    prefixed = [name for name in given if name.startswith("extra__")]
    return {name.split("__", 2)[-1]: given.pop(name) for name in prefixed} | given


def is_blank(value: object) -> bool:
    """Whether an entry says nothing: forms write null, URIs and JSON texts also an empty text."""
    return value is None or (isinstance(value, str) and not value.strip())


def secrets_of(extra: Mapping[str, Any]) -> list[str]:
    """Return the texts of an extra that no log may show."""
    found = [extra.get(name) for name in _SECRET]
    found += [one for name in _SECRETS for one in _each(extra.get(name))]
    proxy = extra.get("proxy")
    if isinstance(proxy, str):
        found += _proxy_secrets(proxy.strip())
    return [str(one).strip() for one in found if not is_blank(one) and not isinstance(one, dict | list)]


def _each(value: object) -> list[Any]:
    """Return the entries of a list, or of a text with commas."""
    if isinstance(value, list):
        return value
    return value.split(",") if isinstance(value, str) else [value]


def _proxy_secrets(proxy: str) -> list[str]:
    try:
        password = urlsplit(proxy).password
    except ValueError:
        return [proxy]
    return [proxy, password, unquote(password)] if password else []
