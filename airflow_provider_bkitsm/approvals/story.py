# SPDX-License-Identifier: Apache-2.0
"""A ticket's story: what was asked, what happened in which order, and whose turn it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from airflow_provider_bkitsm.approvals.form import Shown, shown_form
from airflow_provider_bkitsm.itsm.evidence import answer_of
from airflow_provider_bkitsm.itsm.models import FormField, LogEntry, TicketInfo, TicketLogs, TicketStatus


class Kind(StrEnum):
    """What an entry of the story is."""

    EVENT = "event"
    APPROVED = "approved"
    REFUSED = "refused"
    ANSWERED = "answered"
    PENDING = "pending"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that happened, or one step that waits (``pending``, without a time).

    ``automatic`` says that ITSM answered by itself, in a person's name or its own.
    """

    kind: Kind
    at: datetime | None
    people: tuple[str, ...]
    message: str
    remark: str = ""
    automatic: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "kind": str(self.kind), "at": self.at.isoformat() if self.at else None}


@dataclass(frozen=True, kw_only=True)
class Story:
    """What ITSM tells of one ticket."""

    title: str
    current_status: str
    creator: str
    created_at: datetime
    ended_at: datetime | None
    ticket_url: str
    iframe_ticket_url: str
    form: tuple[Shown, ...]
    entries: tuple[Entry, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **asdict(self),
            "created_at": self.created_at.isoformat(),
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
            "form": [one.as_dict() for one in self.form],
            "entries": [one.as_dict() for one in self.entries],
        }


def story_of(info: TicketInfo, logs: TicketLogs, status: TicketStatus) -> Story:
    """Put three answers of ITSM together; they may be a moment apart."""
    return Story(
        title=info.title,
        current_status=status.current_status,
        creator=info.creator,
        created_at=info.create_at,
        ended_at=info.end_at,
        ticket_url=info.ticket_url,
        iframe_ticket_url=info.iframe_ticket_url,
        form=shown_form(asked(info, logs)),
        entries=(*(entry_of(one) for one in logs.logs), *_pending(status)),
    )


def asked(info: TicketInfo, logs: TicketLogs) -> Iterable[FormField]:
    """Return the form as it was handed in: the log keeps it.

    ``get_ticket_info`` lists the approver's own fields too, with ``"true"`` before anybody has answered.
    """
    for entry in logs.logs:
        if entry.form_data and answer_of(entry) is None:
            return entry.form_data
    return info.fields


def entry_of(entry: LogEntry) -> Entry:
    """Read one line of the log, with the same reader that the verdict is read with."""
    answer = answer_of(entry)
    return Entry(
        kind=_KINDS[answer.approved] if answer else Kind.EVENT,
        at=entry.operate_at,
        people=(entry.operator,) if entry.operator else (),
        message=entry.message,
        remark=answer.remark if answer else "",
        automatic=answer is not None and answer.automatic,
    )


_KINDS = {True: Kind.APPROVED, False: Kind.REFUSED, None: Kind.ANSWERED}


def _pending(status: TicketStatus) -> tuple[Entry, ...]:
    steps = status.current_steps
    return tuple(Entry(kind=Kind.PENDING, at=None, people=one.processors, message=one.name) for one in steps)
