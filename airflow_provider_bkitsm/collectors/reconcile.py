# SPDX-License-Identifier: Apache-2.0
"""Comparing open applications of collectors with their tickets in ITSM.

The log platform has a job for this, every five minutes (docs/log-platform-behaviour.md#the-platforms-poll). This
comparison asks about our own tickets only (P6). Only an approval counts as an approval (P3). A ticket that ITSM
does not know is reported (docs/log-platform-behaviour.md#ticket-itsm-does-not-know). Nothing is completed: an
approved application goes on in its own run, where its ETL comes first (P7).

One thing may be changed: an application that would lock its collector for ever is ended. That is one whose ticket
was refused, withdrawn or terminated, and whose run is over or has had enough time. It is also one whose run
Airflow does not have any more, so that nobody can clear it, once its ticket has ended in whatever way.

Pure: rows and ITSM's answers in, findings out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from airflow_provider_bkitsm.collectors.row import CollectorRow
from airflow_provider_bkitsm.itsm.dialect import DialectFlow, ask
from airflow_provider_bkitsm.itsm.errors import (
    ItsmAmbiguousError,
    ItsmError,
    ItsmTicketNotFoundError,
    ItsmUnexpectedAnswerError,
)
from airflow_provider_bkitsm.itsm.idempotency import is_marked, marks
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import rows_by_ticket, verdict_of

Reading = Verdict | ItsmError
"""The result of reading one ticket."""


class Kind(StrEnum):
    """The real state of an application that is ``applying`` in the store."""

    STILL_WAITING = "still_waiting"
    OVERDUE = "overdue"
    WAITING_BUT_RUN_OVER = "waiting_but_run_over"
    WAITING_BUT_RUN_GONE = "waiting_but_run_gone"
    APPROVED = "approved_but_applying"
    REFUSED = "refused_but_applying"
    WITHDRAWN = "withdrawn_but_applying"
    TERMINATED = "terminated_but_applying"
    VERDICT_UNCLEAR = "verdict_unclear"
    TICKET_UNKNOWN = "ticket_unknown"
    AMBIGUOUS = "ambiguous"
    UNREAD = "unread"
    INTENT_WITHOUT_TICKET = "intent_without_ticket"
    BYPASSED = "bypassed_but_applying"


class Action(StrEnum):
    """What has to be done about an application. Only ``close`` is done by the operator itself."""

    NONE = "none"
    LEFT_TO_ITS_RUN = "left_to_its_run"
    CLOSE = "close"
    CLEAR_ITS_RUN = "clear_its_run"
    HAVE_A_LOOK = "have_a_look"


# Any other end is a ticket that was withdrawn: by a person, or because nobody had decided in time.
_KINDS = {
    Outcome.APPROVED: Kind.APPROVED,
    Outcome.REJECTED: Kind.REFUSED,
    Outcome.TERMINATED: Kind.TERMINATED,
}

_UNREAD: dict[type, Kind] = {
    ItsmTicketNotFoundError: Kind.TICKET_UNKNOWN,
    ItsmAmbiguousError: Kind.AMBIGUOUS,
}

# Actions taken at once, and actions taken once the run is over or has had enough time to act itself.
_AT_ONCE = {
    Kind.STILL_WAITING: Action.NONE,
    Kind.OVERDUE: Action.HAVE_A_LOOK,
    Kind.WAITING_BUT_RUN_OVER: Action.CLEAR_ITS_RUN,
    # People may still answer; their answer ends the application.
    Kind.WAITING_BUT_RUN_GONE: Action.HAVE_A_LOOK,
    Kind.AMBIGUOUS: Action.HAVE_A_LOOK,
    Kind.UNREAD: Action.HAVE_A_LOOK,
}
_LATER = {
    Kind.APPROVED: Action.CLEAR_ITS_RUN,
    Kind.REFUSED: Action.CLOSE,
    Kind.WITHDRAWN: Action.CLOSE,
    Kind.TERMINATED: Action.CLOSE,
    Kind.VERDICT_UNCLEAR: Action.HAVE_A_LOOK,
    Kind.TICKET_UNKNOWN: Action.HAVE_A_LOOK,
    Kind.INTENT_WITHOUT_TICKET: Action.CLEAR_ITS_RUN,
    Kind.BYPASSED: Action.CLEAR_ITS_RUN,
}
_GONE = "; Airflow does not have the run, or the task of it that applied or waited, any more"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Time limits of a comparison.

    :param grace: how long a run may take, after its ticket has ended, to end its application itself.
    :param overdue_after: how long approvers may take.
    """

    grace: timedelta = timedelta(hours=1)
    overdue_after: timedelta = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One application, its state, and what has to be done.

    :param reason: why, for people.
    """

    row: CollectorRow
    kind: Kind
    action: Action
    reason: str

    @property
    def is_difference(self) -> bool:
        """Whether store and ITSM disagree, and no run is about to resolve it."""
        return self.action not in (Action.NONE, Action.LEFT_TO_ITS_RUN)

    @property
    def advice(self) -> str:
        """Return what a person should do, with the name of the run."""
        return _ADVICE[self.action].format(owner=self.row.owner)

    def __str__(self) -> str:
        return f"{self.row.name}: {self.kind}: {self.reason}{self.advice}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values for XCom, without the ETL payload. ``said`` is the reason."""
        row = self.row
        return {
            "bklog_conn_id": row.bklog_conn_id,
            "collector_config_id": row.collector_config_id,
            "kind": self.kind.value,
            "action": self.action.value,
            "ticket_sn": row.ticket_sn,
            "ticket_url": row.ticket_url,
            "owner": asdict(row.owner) if row.owner else None,
            "applying_since": since(row).isoformat(),
            "said": self.reason,
        }


_ADVICE = {
    Action.NONE: "",
    Action.LEFT_TO_ITS_RUN: "; left to {owner}",
    Action.CLOSE: "; the run of {owner} did not end the application, so it can be ended without it",
    Action.CLEAR_ITS_RUN: "; nothing was changed. See to the run of {owner}: cleared, it goes on with its ticket",
    Action.HAVE_A_LOOK: "; nothing was changed, {owner} still holds the collector. Have it looked at",
}


def since(row: CollectorRow) -> datetime:
    """Return the time since which a row is ``applying``."""
    return row.create_started_at or row.updated_at


def undecided(rows: Iterable[CollectorRow]) -> dict[str, CollectorRow]:
    """Return the rows to ask ITSM about, by ticket number: those whose ticket has no stored verdict yet."""
    return {row.ticket_sn: row for row in rows if row.ticket_sn is not None and row.outcome is None}


def read_all(policies: Mapping[str, VerdictPolicy]) -> DialectFlow[dict[str, Reading]]:
    """Read the verdicts of tickets in one question. A ticket that cannot be read does not stop the others.

    :param policies: each ticket's verdict policy, by the ticket's number.
    :raises ItsmError: ITSM did not answer the question.
    """
    if not policies:
        return {}
    unread = None
    try:
        rows = yield from ask(lambda itsm: itsm.states(list(policies)))
    except ItsmUnexpectedAnswerError as error:
        if error.rows is None:
            raise
        rows, unread = error.rows, error
    readings: dict[str, Reading] = {}
    for sn, row in rows_by_ticket(policies, rows, unread).items():
        try:
            readings[sn] = row if isinstance(row, ItsmError) else (yield from verdict_of(row, policies[sn]))
        except ItsmError as error:
            readings[sn] = error
    return readings


def find(
    row: CollectorRow,
    reading: Reading | None,
    *,
    run_is_over: bool | None,
    run_is_gone: bool = False,
    now: datetime,
    limits: Limits,
) -> Finding:
    """Compare one application with its ticket.

    :param reading: None where ITSM was not asked: there is no ticket yet, or its verdict is stored already.
    :param run_is_over: whether the run that applied has ended; None where Airflow does not say.
    :param run_is_gone: whether nobody can continue the application: Airflow does not have the run, or the run is
        over and the task that applied, or that waited for the ticket, was deleted.
    """
    kind, reason = _state_of(row, reading)
    if kind is Kind.STILL_WAITING:
        overdue = now - since(row) >= limits.overdue_after
        kind = _waiting_kind(run_is_over=run_is_over, run_is_gone=run_is_gone, overdue=overdue)
    # The grace holds for a deleted run too: a backup may bring it back.
    in_hand = (run_is_gone or not run_is_over) and now - _last_change(row, reading) < limits.grace
    action = _AT_ONCE.get(kind) or (Action.LEFT_TO_ITS_RUN if in_hand else _LATER[kind])
    if run_is_gone:
        reason += _GONE
        action = Action.CLOSE if action is Action.CLEAR_ITS_RUN else action
    return Finding(row=row, kind=kind, action=action, reason=reason)


def report(findings: Sequence[Finding], closed: Iterable[Finding]) -> dict[str, Any]:
    """Return the task's result as JSON: how many applications of each kind, all differences, closed tickets."""
    return {
        "applying": len(findings),
        "kinds": dict(sorted(Counter(one.kind.value for one in findings).items())),
        "differences": [one.as_dict() for one in findings if one.is_difference],
        "closed": [one.row.ticket_sn for one in closed],
    }


def _state_of(row: CollectorRow, reading: Reading | None) -> tuple[Kind, str]:
    """Return the kind of an application, and why. The first stored verdict counts, whatever ITSM says now (P3)."""
    if row.is_bypassed:
        return (
            Kind.BYPASSED,
            f"{row.standing}, but it is not complete ({row.last_error or 'no error is recorded'})",
        )
    if row.ticket_sn is None:
        mark = marks(str(row.tag))[0]
        return Kind.INTENT_WITHOUT_TICKET, f"no ticket is known since {since(row)}; its title would end in {mark}"
    if row.outcome is not None:
        kind = _KINDS.get(row.outcome, Kind.WITHDRAWN)
        return kind, f"ticket {row.ticket_sn} was {row.outcome} when it was read first"
    if isinstance(reading, Verdict):
        return _state_by_verdict(row, reading)
    return _UNREAD.get(type(reading), Kind.UNREAD), f"ticket {row.ticket_sn} could not be read: {reading}"


def _state_by_verdict(row: CollectorRow, verdict: Verdict) -> tuple[Kind, str]:
    if not is_marked(verdict.title, str(row.tag)):
        mark = marks(str(row.tag))[0]
        return Kind.AMBIGUOUS, f"the ticket with number {verdict.sn} is another one: its title lacks {mark}"
    if not verdict.outcome.is_final:
        return Kind.STILL_WAITING, f"{verdict.describe()}, applied for at {since(row)}"
    if not verdict.stands:
        return Kind.VERDICT_UNCLEAR, verdict.describe()
    return _KINDS.get(verdict.outcome, Kind.WITHDRAWN), verdict.describe()


def _waiting_kind(*, run_is_over: bool | None, run_is_gone: bool, overdue: bool) -> Kind:
    if run_is_gone:
        return Kind.WAITING_BUT_RUN_GONE
    if run_is_over:
        return Kind.WAITING_BUT_RUN_OVER
    return Kind.OVERDUE if overdue else Kind.STILL_WAITING


def _last_change(row: CollectorRow, reading: Reading | None) -> datetime:
    ended = reading.decided_at if isinstance(reading, Verdict) else None
    return max(row.updated_at, datetime.fromisoformat(ended)) if ended else row.updated_at
