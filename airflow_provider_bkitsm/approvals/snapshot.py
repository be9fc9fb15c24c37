# SPDX-License-Identifier: Apache-2.0
"""A ticket as it was last read, with the moments of its reading, and the note of it that a waiting task keeps.

ITSM may be slow or down when a person looks. So a page shows the last snapshot at once, and says as of when it is.
The API server keeps snapshots in memory. The triggerer notes one as an XCom (``bkitsm_seen``) of the waiting task,
which every API server finds beside the registration. Others can write XComs: a note is shown, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.verdict import iso, moment

SEEN_KEY = "bkitsm_seen"
"""XCom of a waiting task: its ticket as the triggerer last read it."""

_LONGEST_TEXT, _MOST_APPROVERS = 1000, 100


@dataclass(frozen=True, kw_only=True)
class TicketSnapshot:
    """A ticket as ITSM showed it at ``read_at``. ``step`` and ``approvers`` are as of ``step_at``.

    :param stalled: a minute or more after it was opened, the ticket ran and waited for nobody.
    :param stale: that is some time ago, or ITSM has not answered since.
    :param step_at: None where no step was read.
    :param step_stale: as ``stale``, of step and approvers.
    :param deadline: until when the waiting task waits; None: for ever, or only the triggerer knows.
    """

    progress: Progress
    read_at: datetime
    title: str = ""
    ticket_url: str = ""
    created_at: datetime | None = None
    creator: str = ""
    step: str = ""
    approvers: tuple[str, ...] = ()
    stalled: bool = False
    stale: bool = False
    step_at: datetime | None = None
    step_stale: bool = False
    deadline: datetime | None = None

    def as_note(self, sn: str, conn_id: str) -> dict[str, Any]:
        """Return the note of an open ticket, in plain JSON values."""
        return {
            "sn": sn,
            "conn_id": conn_id,
            "at": self.read_at.isoformat(),
            "progress": str(self.progress),
            "title": self.title,
            "ticket_url": self.ticket_url,
            "step": self.step,
            "approvers": list(self.approvers),
            "stalled": self.stalled,
            "deadline": iso(self.deadline),
        }


def from_note(note: object, sn: str, conn_id: str) -> TicketSnapshot | None:
    """Read the note of a ticket, which this or another version has written; None for anything else.

    A note is never fresh. An ended ticket is none that a task waits for: whether it has ended is ITSM's to say.
    """
    if not isinstance(note, Mapping) or (note.get("sn"), note.get("conn_id")) != (sn, conn_id):
        return None
    read_at, progress = moment(note.get("at")), _progress(note.get("progress"))
    if read_at is None or progress.has_ended:
        return None
    listed = note.get("approvers")
    names = map(_short_text, listed[:_MOST_APPROVERS] if isinstance(listed, list | tuple) else ())
    return TicketSnapshot(
        progress=progress,
        read_at=read_at,
        title=_short_text(note.get("title")),
        ticket_url=_short_text(note.get("ticket_url")),
        step=_short_text(note.get("step")),
        approvers=tuple(filter(None, names)),
        stalled=note.get("stalled") is True,
        stale=True,
        step_at=read_at,
        step_stale=True,
        deadline=moment(note.get("deadline")),
    )


def latest(live: TicketSnapshot | None, noted: TicketSnapshot | None) -> TicketSnapshot | None:
    """Join what this process read with a task's note: of each part what was read last."""
    if live is None or noted is None:
        return live or noted
    if live.step_at is not None and (noted.step_at is None or live.step_at >= noted.step_at):
        return live
    step = {name: getattr(noted, name) for name in ("step", "approvers", "stalled", "step_at", "step_stale")}
    return replace(live, title=live.title or noted.title, **step)


def text(value: object) -> str:
    """Return a text; empty for anything else. Half a character, which no page can show, is replaced."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def _short_text(value: object) -> str:
    return text(value)[:_LONGEST_TEXT]


def _progress(value: object) -> Progress:
    try:
        return Progress(text(value))
    except ValueError:
        return Progress.OPEN
