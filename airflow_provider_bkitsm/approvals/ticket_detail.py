# SPDX-License-Identifier: Apache-2.0
"""One ticket in detail: its form as the approver sees it, and its history step by step."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from airflow_provider_bkitsm.itsm.idempotency import unmarked_title
from airflow_provider_bkitsm.itsm.models import (
    FormField,
    LogEntry,
    LogSentence,
    TicketInfo,
    TicketLog,
    TicketStatus,
)
from airflow_provider_bkitsm.itsm.verdict import iso

# ITSM lists these fields with every ticket; they are no part of what is to be approved.
_ITSMS_OWN = frozenset({"title", "impact", "urgency", "priority", "current_status", "bk_biz_id"})

Line = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class FormRow:
    """A field of the form: its name, and a text or the rows of a custom form."""

    name: str
    text: str = ""
    rows: tuple[Line, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def form_rows(fields: Iterable[FormField]) -> tuple[FormRow, ...]:
    """Return a row for each field that is filled in, each key once."""
    filled = {field.key: field for field in fields if field.value not in (None, "", [], {})}
    return tuple(form_row(field) for key, field in filled.items() if key not in _ITSMS_OWN)


def form_row(field: FormField) -> FormRow:
    """Return the row of one field. A choice is shown by the text that ITSM displays, not by its key."""
    name = field.name or field.key
    rows = _custom_form(field.value)
    if rows:
        return FormRow(name=name, rows=rows)
    displayed = field.display_value if field.display_value not in (None, "") else field.value
    return FormRow(name=name, text=as_text(displayed))


def as_text(value: object) -> str:
    """Return a text as it is, anything else as JSON a person can read."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, default=str)


def _custom_form(value: object) -> tuple[Line, ...]:
    """Return the rows of a CUSTOM-FORM, an object or its JSON text.

    See docs/log-platform-behaviour.md#collectors-details.
    """
    blocks = _object(value).get("form_data")
    if not isinstance(blocks, list):
        return ()
    return tuple(_line(line) for block in blocks if isinstance(block, Mapping) for line in _lines(block))


def _object(value: object) -> Mapping[str, Any]:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def _lines(block: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    inner = block.get("children")
    lines = inner if isinstance(inner, list) and inner else [block]
    return [line for line in lines if isinstance(line, Mapping)]


def _line(line: Mapping[str, Any]) -> Line:
    value = line.get("value")
    label = as_text(line.get("label") or "").rstrip(":： ")
    return label, "" if value is None else as_text(value)


class Kind(StrEnum):
    """The kind of an entry in a ticket's history."""

    EVENT = "event"
    APPROVED = "approved"
    REFUSED = "refused"
    ANSWERED = "answered"
    PENDING = "pending"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One event in a ticket's history, or one step that waits (``pending``, without a time).

    ``automatic``: ITSM answered without a person, in a person's name or its own. ``sentence`` is the message taken
    apart, where it is known.
    """

    kind: Kind
    at: datetime | None
    people: tuple[str, ...]
    message: str
    remark: str = ""
    automatic: bool = False
    sentence: LogSentence | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "kind": str(self.kind), "at": iso(self.at)}


@dataclass(frozen=True, kw_only=True)
class TicketDetail:
    """One ticket as the page shows it."""

    title: str
    current_status: str
    creator: str
    created_at: datetime
    ended_at: datetime | None
    ticket_url: str
    iframe_ticket_url: str
    form: tuple[FormRow, ...]
    entries: tuple[Entry, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **asdict(self),
            "created_at": self.created_at.isoformat(),
            "ended_at": iso(self.ended_at),
            "form": [row.as_dict() for row in self.form],
            "entries": [entry.as_dict() for entry in self.entries],
        }


def ticket_detail(info: TicketInfo, log: TicketLog, status: TicketStatus) -> TicketDetail:
    """Join three answers of ITSM. They may have been read a moment apart."""
    return TicketDetail(
        title=unmarked_title(info.title),
        current_status=status.current_status,
        creator=info.creator,
        created_at=info.created_at,
        ended_at=info.ended_at,
        ticket_url=info.ticket_url,
        iframe_ticket_url=info.iframe_ticket_url,
        form=form_rows(submitted_form(info, log)),
        entries=(*(entry_of(entry) for entry in log.entries), *_pending(status)),
    )


def submitted_form(info: TicketInfo, log: TicketLog) -> Iterable[FormField]:
    """Return the form as it was submitted: the ticket's log keeps it.

    A ticket's own form also lists the approver's fields, with ``"true"`` before anybody has answered.
    """
    for entry in log.entries:
        if entry.fields and entry.answer is None:
            return entry.fields
    return info.fields


def entry_of(entry: LogEntry) -> Entry:
    """Return the history entry of one log entry. Its answer is the one the verdict is read from."""
    answer = entry.answer
    return Entry(
        kind=_KINDS[answer.approved] if answer else Kind.EVENT,
        at=entry.at,
        people=(entry.operator,) if entry.operator else (),
        message=entry.message,
        remark=answer.remark if answer else "",
        automatic=answer is not None and answer.automatic,
        sentence=entry.sentence,
    )


_KINDS = {True: Kind.APPROVED, False: Kind.REFUSED, None: Kind.ANSWERED}


def _pending(status: TicketStatus) -> tuple[Entry, ...]:
    steps = status.current_steps
    return tuple(Entry(kind=Kind.PENDING, at=None, people=step.processors, message=step.name) for step in steps)
