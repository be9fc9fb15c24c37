# SPDX-License-Identifier: Apache-2.0
"""The tickets of a page as rows: what is known of each wait, whose it is, which ticket is meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.outcome import Outcome, reason_code


def ticket_of(founds: Sequence[WaitRecord], task: TaskKey) -> WaitRecord | None:
    """Return the wait of a task instance; for one that only opened the ticket, its run's wait for the same ticket.

    Tasks that open a ticket keep its address alone; a number for ITSM comes from a registration only.
    """
    own = next((one for one in founds if one.task == task), None)
    if own is None or own.conn_id:
        return own
    same = (one for one in founds if one.conn_id and own.ticket_url and one.ticket_url == own.ticket_url)
    return next(same, own)


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Who looks.

    :param airflow_name: as Airflow writes it on the runs they start.
    :param itsm_name: as ITSM knows them.
    :param tickets: those that ITSM says wait for them, or were opened in their name.
    """

    airflow_name: str
    itsm_name: str
    tickets: frozenset[Ticket] = frozenset()

    def is_concerned(self, row: Row) -> bool:
        """Whether a row's ticket waits for them, was opened or decided by them, or its run started by them."""
        known = (*row.approvers, *row.decided_by, row.creator)
        return (
            (row.conn_id, row.sn) in self.tickets
            or bool(self.itsm_name and self.itsm_name in known)
            or bool(self.airflow_name and self.airflow_name == row.triggered_by)
        )


_DEFERRED = "deferred"
_AFTER_THE_WAIT = frozenset(
    {None, "scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule"}
)
_WEB = ("http://", "https://")


Ticket = tuple[str, str]
"""Connection and number."""


class Status(StrEnum):
    """How an approval stands, for a person who runs DAGs, as long as no verdict is known to the page."""

    WAITING = "waiting"
    SUSPENDED = "suspended"
    RESUMING = "resuming"
    ENDED = "ended"


OPEN = frozenset({Status.WAITING, Status.SUSPENDED, Status.RESUMING})


@dataclass(frozen=True, kw_only=True)
class TaskKey:
    """A task instance; ``map_index`` is -1 for one that is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


@dataclass(frozen=True, kw_only=True)
class WaitRecord:
    """What Airflow's database says about one wait. Times are aware.

    :param sn: the ticket's number; empty where the wait has not registered itself.
    :param conn_id: connection it asks ITSM with; empty likewise.
    :param state: of the task instance.
    :param registered_at: when the wait registered itself, or showed its ticket.
    :param triggered_by: who started the run, by their name in Airflow; empty for a schedule.
    :param approval_seconds: from the ticket's creation to the deadline; None: for ever, or not known.
    :param verdict: what the task returned or was refused with; None before that, or when it is none of ours.
    """

    task: TaskKey
    state: str | None
    sn: str = ""
    conn_id: str = ""
    ticket_url: str = ""
    registered_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    triggered_by: str = ""
    approval_seconds: float | None = None
    verdict: Mapping[str, Any] | None = None

    @property
    def ticket(self) -> Ticket:
        """What ITSM can be asked about."""
        return self.conn_id, self.sn


@dataclass(frozen=True, kw_only=True)
class TicketSnapshot:
    """What ITSM said about a ticket, and when. ``step`` and ``approvers`` are empty where they were not asked.

    ``stalled`` is that the ticket ran and asked nobody a minute or more after it was opened.
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


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the page. ``since`` is the ticket's creation, or the wait's start where ITSM has not said.

    ``polled_at`` is when a wait of this connection last had an answer, while this one waits; ``seen_by`` and
    ``seen_at`` are how and when its decision reached Airflow. ``creator`` is as ITSM has said.
    """

    task: TaskKey
    sn: str
    title: str
    ticket_url: str
    status: Status | Outcome
    step: str
    approvers: tuple[str, ...]
    decided_by: tuple[str, ...]
    reason: str
    since: datetime | None
    deadline: datetime | None
    decided_at: datetime | None
    registered_at: datetime | None
    read_at: datetime | None
    stale: bool
    conn_id: str
    stalled: bool = False
    collector: str = ""
    creator: str = ""
    triggered_by: str = ""
    polled_at: datetime | None = None
    seen_by: str = ""
    seen_at: datetime | None = None
    reason_code: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the run still has to learn of a decision."""
        return self.status in OPEN

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; times in ISO 8601."""
        values = asdict(self)
        task = values.pop("task")
        times = {key: one.isoformat() for key, one in values.items() if isinstance(one, datetime)}
        return {**task, **values, **times, "status": str(self.status), "open": self.is_open}


def row_of(
    found: WaitRecord, live: TicketSnapshot | None, *, collector: str = "", polled_at: datetime | None = None
) -> Row:
    """Join a wait and its ticket into a row.

    The verdict the DAG acted on stands, whatever ITSM says later
    (docs/itsm-behaviour.md#deleted-approval-step).

    :param polled_at: when a wait of the connection last had an answer.
    """
    verdict = found.verdict or {}
    since = (live and live.created_at) or found.registered_at or found.started_at
    status = status_of(found, live)
    waits = status in OPEN
    in_itsm = isinstance(status, Outcome) and status.progress is not None
    return Row(
        task=found.task,
        sn=found.sn or text(verdict.get("sn")),
        title=text(verdict.get("title")) or (live.title if live else ""),
        ticket_url=_address(found, live),
        status=status,
        step=live.step if live and waits else "",
        approvers=live.approvers if live and waits else (),
        stalled=live.stalled if live and status is Status.WAITING else False,
        decided_by=deciders(verdict),
        reason="" if waits else text(verdict.get("reason")),
        since=since,
        deadline=_deadline(since, found.approval_seconds) if waits else None,
        decided_at=None if waits else (moment(verdict.get("decided_at")) or found.ended_at),
        registered_at=found.registered_at,
        read_at=live.read_at if live else None,
        stale=waits and (live is None or live.stale),
        conn_id=found.conn_id,
        collector=collector,
        creator=live.creator if live else "",
        triggered_by=found.triggered_by,
        polled_at=polled_at if waits and _is_after(polled_at, found.registered_at) else None,
        seen_by=text(verdict.get("seen_by")) if in_itsm else "",
        seen_at=moment(verdict.get("seen_at")) if in_itsm else None,
        reason_code="" if waits else _reason_code(verdict),
    )


def status_of(found: WaitRecord, live: TicketSnapshot | None) -> Status | Outcome:
    """Say how an approval stands. Only a verdict the task ended with is called a decision."""
    if found.state == _DEFERRED:
        return _while_it_waits(live)
    outcome = outcome_of(found.verdict)
    if outcome is not None and outcome.is_final:
        return outcome
    return Status.RESUMING if found.state in _AFTER_THE_WAIT else Status.ENDED


def _while_it_waits(live: TicketSnapshot | None) -> Status:
    if live is None:
        return Status.WAITING
    if live.progress.has_ended:
        return Status.RESUMING
    return Status.SUSPENDED if live.progress is Progress.SUSPENDED else Status.WAITING


def outcome_of(verdict: Mapping[str, Any] | None) -> Outcome | None:
    """Read a verdict's outcome; None when there is none."""
    try:
        return Outcome(text((verdict or {}).get("outcome")))
    except ValueError:
        return None


def _reason_code(verdict: Mapping[str, Any]) -> str:
    """Return the code of a verdict's reason; the first version stored the text alone."""
    outcome = outcome_of(verdict)
    stored = text(verdict.get("reason_code"))
    return stored or ("" if outcome is None else str(reason_code(text(verdict.get("reason")), outcome)))


def deciders(verdict: Mapping[str, Any]) -> tuple[str, ...]:
    """Return who answered, each once."""
    listed = verdict.get("approvers")
    answers = listed if isinstance(listed, list | tuple) else ()
    people = (text(one.get("operator")) for one in answers if isinstance(one, Mapping))
    return tuple(dict.fromkeys(filter(None, people)))


def web_address(value: object) -> str:
    """Return an address a browser may open; empty for anything else, such as ``javascript:``."""
    address = text(value).strip()
    return address if address.lower().startswith(_WEB) else ""


def moment(value: object) -> datetime | None:
    """Read an aware time; None when it is none."""
    try:
        read = datetime.fromisoformat(text(value))
    except ValueError:
        return None
    return read if read.tzinfo else None


def text(value: object) -> str:
    """Return a text as it is; empty for anything else. Half a character, which no page can show, is replaced."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def _address(found: WaitRecord, live: TicketSnapshot | None) -> str:
    known = (found.ticket_url, (found.verdict or {}).get("ticket_url"), live.ticket_url if live else "")
    return next(filter(None, map(web_address, known)), "")


def _is_after(polled_at: datetime | None, registered_at: datetime | None) -> bool:
    """Whether a poll can have been about a wait: what came before says nothing of it."""
    return polled_at is not None and registered_at is not None and polled_at >= registered_at


def _deadline(since: datetime | None, seconds: float | None) -> datetime | None:
    try:
        return None if since is None or seconds is None else since + timedelta(seconds=seconds)
    except OverflowError:
        return None
