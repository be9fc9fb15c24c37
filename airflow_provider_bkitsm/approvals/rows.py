# SPDX-License-Identifier: Apache-2.0
"""One row for each wait: the status of its approval, the people it concerns, and its ticket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_bkitsm.approvals.snapshot import TicketSnapshot, latest, text
from airflow_provider_bkitsm.itsm.idempotency import unmarked_title
from airflow_provider_bkitsm.itsm.models import Progress, web_address
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason, reason_code
from airflow_provider_bkitsm.itsm.verdict import SeenBy, moment

if TYPE_CHECKING:
    from airflow_provider_bkitsm.tickets.opening_records import SentTicket


def wait_of(waits: Sequence[ApprovalWait], task: TaskKey) -> ApprovalWait | None:
    """Return the wait of a task instance; for a task that only opened the ticket, the run's wait for that ticket.

    A task that opens a ticket stores the ticket's address alone. Only a registered wait has its number.
    """
    own = next((wait for wait in waits if wait.task == task), None)
    if own is None or own.conn_id:
        return own
    same = (wait for wait in waits if wait.conn_id and own.ticket_url and wait.ticket_url == own.ticket_url)
    return next(same, own)


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """The person who looks at a page.

    :param airflow_name: their name as Airflow writes it on the runs they start.
    :param itsm_name: their name in ITSM.
    :param tickets: tickets that wait for them or were opened in their name, by ITSM's answer.
    """

    airflow_name: str
    itsm_name: str
    tickets: frozenset[Ticket] = frozenset()

    def is_concerned(self, row: Row) -> bool:
        """Whether the ticket waits for the viewer, or the viewer opened it, decided it or started the run."""
        people = (*row.approvers, *row.decided_by, row.creator)
        return (
            (row.conn_id, row.sn) in self.tickets
            or bool(self.itsm_name and self.itsm_name in people)
            or bool(self.airflow_name and self.airflow_name == row.triggered_by)
        )


@dataclass(frozen=True, kw_only=True)
class Remark:
    """What a person wrote beside an answer."""

    person: str
    text: str


_DEFERRED = "deferred"
_AFTER_THE_WAIT = frozenset(
    {None, "scheduled", "queued", "running", "restarting", "up_for_retry", "up_for_reschedule", "awaiting_input"}
)


Ticket = tuple[str, str]
"""A ticket: its connection and its number."""


class Status(StrEnum):
    """How an approval stands that has no outcome, or none yet."""

    WAITING = "waiting"
    SUSPENDED = "suspended"
    RESUMING = "resuming"
    ENDED = "ended"


OPEN = frozenset({Status.WAITING, Status.SUSPENDED, Status.RESUMING})


@dataclass(frozen=True, kw_only=True, order=True)
class TaskKey:
    """A task instance; ``map_index`` is -1 for a task that is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


@dataclass(frozen=True, kw_only=True)
class ApprovalWait:
    """One wait as Airflow's database holds it. Times are aware.

    :param sn: the ticket's number; empty where the wait has not registered itself.
    :param conn_id: connection to the ITSM of the ticket; empty likewise.
    :param state: of the task instance.
    :param registered_at: when the wait registered itself, or stored its ticket's address.
    :param triggered_by: who started the run, by their name in Airflow; empty for a schedule.
    :param approval_seconds: from the ticket's creation to the deadline; None: no deadline, or none is stored.
    :param verdict: the verdict that the task returned or failed with; None before that, or for another value.
    :param noted: the ticket as the triggerer last read it; None after the wait, and before it was read.
    :param reminders: what the waiting task says of reminders, as its trigger has it; empty: nothing.
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
    noted: TicketSnapshot | None = None
    reminders: str = field(default="", repr=False)

    @property
    def ticket(self) -> Ticket:
        """The key of the ticket in ITSM."""
        return self.conn_id, self.sn


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the page. ``since`` is the ticket's creation, or the wait's start until that is known.

    ``order_since`` and ``order_deadline`` sort the list: what an answer of ITSM adds does not move a row.
    ``read_at`` and ``step_at`` are as of when ITSM showed status and step. ``polled_at`` is when a poll of this
    connection last had an answer; only an open row has it. ``seen_by`` and ``seen_at`` are how and when the
    decision reached Airflow. ``creator`` is the name that ITSM shows, ``asked_by`` the people who asked.
    ``seconds_to_decide`` is from the ticket's creation to its decision; None where nobody decided.
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
    asked_by: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()
    seconds_to_decide: float | None = None
    polled_at: datetime | None = None
    seen_by: str = ""
    seen_at: datetime | None = None
    reason_code: str = ""
    step_at: datetime | None = None
    step_stale: bool = False
    order_since: datetime | None = None
    order_deadline: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the run does not have the decision yet."""
        return self.status in OPEN

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; times in ISO 8601."""
        values = {**vars(self.task), **vars(self), "remarks": [asdict(remark) for remark in self.remarks]}
        del values["task"], values["order_since"], values["order_deadline"]
        times = {key: value.isoformat() for key, value in values.items() if isinstance(value, datetime)}
        return {**values, **times, "status": str(self.status), "open": self.is_open}


def row_of(
    wait: ApprovalWait,
    live: TicketSnapshot | None,
    *,
    collector: str = "",
    polled_at: datetime | None = None,
    sent: SentTicket | None = None,
    person: str = "",
) -> Row:
    """Join a wait and its ticket into a row.

    The verdict that the DAG acted on stands, whatever ITSM shows later
    (docs/itsm-behaviour.md#deleted-approval-step).

    :param live: the ticket as this process last read it; what the triggerer noted of it counts as well.
    :param polled_at: when a poll of the connection last had an answer.
    :param sent: what the record of its opening says of the ticket.
    :param person: who started the run, by their name in ITSM; without one, their name in Airflow is shown.
    """
    verdict = wait.verdict or {}
    live = latest(live, wait.noted)
    fixed = (sent and sent.opened_at) or wait.registered_at or wait.started_at
    since = (sent and sent.opened_at) or (live and live.created_at) or fixed
    status = status_of(wait, live)
    waits = status in OPEN
    step = live if live and waits else None
    title = text(verdict.get("title")) or (sent.title if sent else "") or (live.title if live else "")
    in_itsm = isinstance(status, Outcome) and status.progress is not None
    decided_at = None if waits else (moment(verdict.get("decided_at")) or wait.ended_at)
    creator = live.creator if live else ""
    return Row(
        task=wait.task,
        sn=wait.sn or text(verdict.get("sn")),
        title=unmarked_title(title, is_ours=sent is not None),
        ticket_url=_address(wait, live),
        status=status,
        step=step.step if step else "",
        approvers=step.approvers if step else (),
        stalled=live.stalled if live and status is Status.WAITING else False,
        decided_by=deciders(verdict),
        reason="" if waits else text(verdict.get("reason")),
        since=since,
        deadline=_deadline(since, wait) if waits else None,
        decided_at=decided_at,
        registered_at=wait.registered_at,
        read_at=live.read_at if live else None,
        stale=waits and (live is None or live.stale),
        conn_id=wait.conn_id,
        collector=collector,
        creator=creator,
        triggered_by=wait.triggered_by,
        asked_by=_names(sent.requester if sent else "") or _names(person or wait.triggered_by or creator),
        remarks=remarks(verdict),
        seconds_to_decide=seconds_between(since, decided_at) if _is_decision(status) else None,
        polled_at=polled_at if waits and _is_after(polled_at, wait.registered_at) else None,
        seen_by=_seen_by(verdict) if in_itsm else "",
        seen_at=moment(verdict.get("seen_at")) if in_itsm else None,
        reason_code="" if waits else _reason_code(verdict),
        step_at=step.step_at if step else None,
        step_stale=step is not None and step.step_stale,
        order_since=fixed,
        order_deadline=_deadline(fixed, wait) if waits else None,
    )


def status_of(wait: ApprovalWait, live: TicketSnapshot | None) -> Status | Outcome:
    """Return the status of an approval. Only the verdict that the task ended with is a decision."""
    if wait.state == _DEFERRED:
        return _status_while_waiting(live)
    outcome = _outcome_of(wait.verdict)
    if outcome is not None and outcome.is_final:
        return outcome
    return Status.RESUMING if wait.state in _AFTER_THE_WAIT else Status.ENDED


def _is_decision(status: Status | Outcome) -> bool:
    return isinstance(status, Outcome) and status.is_decision


def _status_while_waiting(live: TicketSnapshot | None) -> Status:
    if live is None:
        return Status.WAITING
    if live.progress.has_ended:
        return Status.RESUMING
    return Status.SUSPENDED if live.progress is Progress.SUSPENDED else Status.WAITING


def _outcome_of(verdict: Mapping[str, Any] | None) -> Outcome | None:
    """Read a verdict's outcome; None when there is none."""
    try:
        return Outcome(text((verdict or {}).get("outcome")))
    except ValueError:
        return None


def _reason_code(verdict: Mapping[str, Any]) -> str:
    """Return the code of a verdict's reason. Without a known code the text decides, as in the first version."""
    outcome = _outcome_of(verdict)
    stored = text(verdict.get("reason_code"))
    if stored in set(Reason):
        return stored
    return "" if outcome is None else str(reason_code(text(verdict.get("reason")), outcome))


def _seen_by(verdict: Mapping[str, Any]) -> str:
    stored = text(verdict.get("seen_by"))
    return stored if stored in get_args(SeenBy) else ""


def deciders(verdict: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the people who answered, each once."""
    people = (text(answer.get("operator")) for answer in _answers(verdict))
    return tuple(dict.fromkeys(filter(None, people)))


def remarks(verdict: Mapping[str, Any]) -> tuple[Remark, ...]:
    """Return what people wrote beside their answers, oldest first."""
    written = ((text(answer.get("operator")), text(answer.get("remark")).strip()) for answer in _answers(verdict))
    return tuple(Remark(person=person, text=remark) for person, remark in written if remark)


def _answers(verdict: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = verdict.get("approvers")
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list | tuple) else []


def _names(people: str) -> tuple[str, ...]:
    """Return the names of a text with commas between them."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, people.split(",")))))


def seconds_between(since: datetime | None, until: datetime | None) -> float | None:
    """Return the time between two moments; none below zero, since the clocks of two machines differ."""
    return None if since is None or until is None else max(0.0, (until - since).total_seconds())


def _address(wait: ApprovalWait, live: TicketSnapshot | None) -> str:
    addresses = (wait.ticket_url, (wait.verdict or {}).get("ticket_url"), live.ticket_url if live else "")
    return next(filter(None, map(web_address, addresses)), "")


def _is_after(polled_at: datetime | None, registered_at: datetime | None) -> bool:
    """Whether a poll came after a wait was registered: an earlier poll did not ask about its ticket."""
    return polled_at is not None and registered_at is not None and polled_at >= registered_at


def _deadline(since: datetime | None, wait: ApprovalWait) -> datetime | None:
    """Return until when a task waits; where it was given a template, what the triggerer has noted."""
    seconds = wait.approval_seconds
    if seconds is None:
        return wait.noted.deadline if wait.noted else None
    try:
        return None if since is None else since + timedelta(seconds=seconds)
    except OverflowError:
        return None
