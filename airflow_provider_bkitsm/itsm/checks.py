"""What is checked before anything is sent: ITSM would refuse it later, with a worse message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError

TITLE_LIMIT = 128
TAG_LIMIT = 32
MESSAGE_LIMIT = 255


def check_title(title: object) -> None:
    """Refuse what is no title of a ticket."""
    if not isinstance(title, str):
        raise ItsmInvalidRequestError("a ticket needs a title, as text; no ticket was opened")
    check_text("title", title, TITLE_LIMIT)


def check_text(name: str, value: object, limit: int | None = None) -> None:
    """Refuse an empty or too long text."""
    if not isinstance(value, str) or not value.strip():
        raise ItsmInvalidRequestError(f"{name} must not be empty; nothing was sent to ITSM")
    if limit is not None and len(value) > limit:
        raise ItsmInvalidRequestError(
            f"{name} has {len(value)} characters, ITSM takes at most {limit}; nothing was sent"
        )


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was given."""
    return {key: value for key, value in values.items() if value is not None}
