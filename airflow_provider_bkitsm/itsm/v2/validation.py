# SPDX-License-Identifier: Apache-2.0
"""What ITSM is known to refuse, or to take wrongly, checked before a call is sent: texts, sns, meta, filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict
from urllib.parse import urlsplit

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.v2.parsing import to_shanghai

TITLE_LIMIT = 128
"""Characters of a title ITSM accepts; its message says 120 (docs/itsm-behaviour.md#title-limit)."""
TAG_LIMIT = 32
"""Characters ITSM keeps of a ticket's ``tag`` (docs/itsm-behaviour.md#tag)."""
MESSAGE_LIMIT = 255
_DYNAMIC_TYPES = ("STRING", "INT", "LINK")
_LATIN_1_END = 256
_DYNAMIC_NAME_LIMIT, _DYNAMIC_VALUE_LIMIT = 32, 255


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


def check_sns(sns: str | Iterable[str]) -> list[str]:
    """Return ticket numbers, each once; refuse a list that is empty or holds an empty one."""
    listed = [sns] if isinstance(sns, str) else list(dict.fromkeys(sns))
    if not listed or not all(isinstance(one, str) and one.strip() for one in listed):
        raise ItsmInvalidRequestError("at least one ticket number is needed, and none empty; nothing was sent")
    return listed


def check_dynamic_fields(fields: Iterable[Mapping[str, Any]]) -> None:
    """Refuse display-only fields that ITSM would refuse after it has stored the ticket.

    See docs/itsm-behaviour.md#late-check-of-dynamic-fields.
    """
    for number, field in enumerate(fields):
        where = f"dynamic_fields[{number}]"
        if not isinstance(field, Mapping) or field.get("type") not in _DYNAMIC_TYPES:
            raise _bad(where, f"needs a type, one of {', '.join(_DYNAMIC_TYPES)}")
        if not isinstance(field.get("meta", {}), Mapping):
            raise _bad(f"{where}.meta", "must be an object")
        check_text(f"{where}.name", field.get("name"), _DYNAMIC_NAME_LIMIT)
        check_text(f"{where}.value", field.get("value"), _DYNAMIC_VALUE_LIMIT)


def check_meta(meta: Mapping[str, Any]) -> None:
    """Refuse a ``meta`` that ITSM takes, but which then silently sends no callback or asks nobody.

    See docs/itsm-behaviour.md#callback-that-is-never-sent.

    What is wrong is named and never shown: a callback's address and headers may be secrets.
    """
    if not isinstance(meta, Mapping):
        raise _bad("meta", "must be an object")
    known = without_none(meta)
    if "callback_url" in known and not _is_http_url(known["callback_url"]):
        raise _bad("meta.callback_url", "must be an http or https URL, or ITSM sends no callback")
    if not _all_texts(known.get("headers", {}), _is_header):
        raise _bad("meta.headers", "must map latin-1 texts to latin-1 texts, or ITSM sends no callback")
    if not _all_texts(known.get("state_processors", {}), str.strip):
        raise _bad("meta.state_processors", "must map state ids to names joined by commas, none empty")


def _bad(where: str, what: str) -> ItsmInvalidRequestError:
    return ItsmInvalidRequestError(f"{where} {what}; no ticket was opened")


def _is_http_url(value: object) -> bool:
    try:
        url = urlsplit(value) if isinstance(value, str) else None
        return url is not None and url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def _all_texts(values: object, test: Callable[[str], object]) -> bool:
    if not isinstance(values, Mapping):
        return False
    pairs = ((str(key), value) for key, value in values.items())
    return all(key and test(key) and isinstance(value, str) and test(value) for key, value in pairs)


def _is_header(text: str) -> bool:
    latin = all(ord(letter) < _LATIN_1_END for letter in text)
    return latin and not set("\r\n") & set(text) and not text[:1].isspace()


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was given."""
    return {key: value for key, value in values.items() if value is not None}


class TicketFilters(TypedDict, total=False):
    """All that is given must hold; None counts as not given. Times are aware.

    ``username`` finds running tickets that wait for this person; it never arrives through the ESB, which keeps
    a parameter of that name to itself.
    """

    sns: Sequence[str] | None
    creator: str | None
    tag: str | None
    username: str | None
    project_key: str | None
    service_id__in: Sequence[int | str] | None
    bk_biz_id__in: Sequence[int | str] | None
    current_status__in: Sequence[str] | None
    create_at__gte: datetime | None
    create_at__lte: datetime | None
    end_at__gte: datetime | None
    end_at__lte: datetime | None


def write_filters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filters as ITSM reads them. An unknown one is a mistake that ITSM would silently ignore.

    :raises ItsmInvalidRequestError: a filter is empty, and so would find everything, or there is none at all.
    """
    unknown = sorted(filters.keys() - TicketFilters.__annotations__.keys())
    if unknown:
        raise TypeError(f"get_tickets has no filter {', '.join(unknown)}")
    written = {name: _written(name, value) for name, value in filters.items() if value is not None}
    if not written:
        raise ItsmInvalidRequestError("get_tickets without any filter would read everybody's tickets")
    return written


def _written(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return to_shanghai(value)
    listed = _listed(value)
    if not listed or any(not str(one).strip() for one in listed):
        raise ItsmInvalidRequestError(f"get_tickets: an empty {name} filters nothing; nothing was sent to ITSM")
    return listed if name == "sns" or name.endswith("__in") else value


def _listed(value: str | int | Iterable[Any]) -> list[Any]:
    return [value] if isinstance(value, str | int) else list(dict.fromkeys(value))
