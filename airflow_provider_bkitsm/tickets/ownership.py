# SPDX-License-Identifier: Apache-2.0
"""Which ticket's approval a wait may take: its own ticket's only. Pure.

The number a sensor waits for usually comes from an XCom, which others can write. The records of approval rounds
and of collectors' applications say which task has opened which ticket, and they are written by that task only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.itsm.verdict import Verdict

ANYONE = "anyone"
"""As ``opened_by``: the ticket may be anybody's."""
NUMBER_LOST = (
    "ticket_sn is empty now; task {opener} opened ITSM ticket {sn} in this run, by its record in the store"
)
"""Why a wait goes on although nothing brings its number any more."""
# No task's id holds brackets.
_INDEXED = re.compile(r"(.+)\[(\d{1,9})\]\Z")


# A comma is between several; no task's id holds one.
_OR = ","


def one_of(openers: Iterable[str]) -> str:
    """Return the ``opened_by`` of a ticket that any one of several tasks has opened."""
    return _OR.join(openers)


def indexed(task_id: str, index: int) -> str:
    """Return the ``opened_by`` of one task of a mapped task."""
    return f"{task_id}[{index}]"


@dataclass(frozen=True, kw_only=True)
class AwaitedTicket:
    """A ticket, and the run that waits for it.

    :param opened_by: id of the task of the same run that opened the ticket, with the index of the one of its
        mapped tasks (see ``indexed``); several where one of them has (see ``one_of``); or ``ANYONE``. None: the
        DAG's author has the number from elsewhere.
    """

    sn: str
    bkitsm_conn_id: str
    dag_id: str
    run_id: str
    opened_by: str | None = None

    @property
    def of_each_opener(self) -> tuple[AwaitedTicket, ...]:
        """The ticket as that of each task that may have opened it."""
        openers = (self.opened_by or "").split(_OR)
        return tuple(replace(self, opened_by=one.strip() or None) for one in openers)

    @property
    def task_id(self) -> str | None:
        """The task that opened the ticket, mapped or not."""
        found = _INDEXED.match(self.opened_by or "")
        return found[1] if found else self.opened_by

    @property
    def map_index(self) -> int | None:
        """The index of the mapped task that opened the ticket; None: any of them."""
        found = _INDEXED.match(self.opened_by or "")
        return int(found[2]) if found else None


@dataclass(frozen=True, kw_only=True)
class TicketOwner:
    """The task that opened a ticket. ``run_id`` and ``task_id`` are empty for a shared approval.

    ``elsewhere`` is as :class:`TicketRecords` has it.
    """

    dag_id: str
    run_id: str
    task_id: str
    elsewhere: bool = False

    def __str__(self) -> str:
        return (
            f"task {self.task_id} of run {self.run_id} of DAG {self.dag_id}"
            if self.run_id
            else f"DAG {self.dag_id}"
        )


@dataclass(frozen=True, kw_only=True)
class TicketRecords:
    """What the store has about an awaited ticket.

    :param rounds: the ticket of the latest round of ``opened_by``, by map index; None where it is not open yet.
    :param elsewhere: whether those rounds are of an installation with another address than this process has.
    :param owner: who opened the awaited ticket; None where no record names it.
    :param request: what was sent to open the awaited ticket; None where no record says. ``joined_by`` in it are
        those who asked as well, in a run that has joined the ticket.
    :param since: when the store began to keep a record of each round (aware).
    :param complete: whether every worker writes into this store.
    """

    rounds: Mapping[int, str | None] = field(default_factory=dict)
    elsewhere: bool = False
    owner: TicketOwner | None = None
    request: Mapping[str, Any] | None = None
    since: datetime | None = None
    complete: bool = True


class OwnershipKind(StrEnum):
    """Whose an awaited ticket is."""

    OWN = "own"
    UNCLAIMED = "unclaimed"
    UNRECORDED = "unrecorded"
    FOREIGN = "foreign"


@dataclass(frozen=True, kw_only=True)
class Ownership:
    """Whose an awaited ticket is, and the sentence that says so.

    :param since: of an unrecorded ticket: what was opened before has no record.
    :param request: what was sent to open the ticket, which it has to show still; None where no record says.
    """

    kind: OwnershipKind
    text: str = ""
    request: Mapping[str, Any] | None = None
    since: datetime | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing more has to be asked: an unrecorded ticket may be one of before there were records."""
        return self.kind is not OwnershipKind.UNRECORDED

    @property
    def refusal(self) -> Reason | None:
        """Why an approval of the ticket does not count; None where it does."""
        return _REFUSALS.get(self.kind)

    @property
    def may_be_ended(self) -> bool:
        """Whether the task that waits may end the ticket: only one that may release the task (P6)."""
        return self.refusal is None

    def of_ticket_opened_at(self, opened_at: datetime) -> Ownership:
        """Return the ownership of an unrecorded ticket whose time of creation (aware) was read from ITSM.

        The version before kept no records; its tickets count as they did then.
        """
        is_older = self.kind is OwnershipKind.UNRECORDED and self.since is not None and opened_at < self.since
        return replace(self, kind=OwnershipKind.UNCLAIMED) if is_older else self

    def applied_to(self, verdict: Verdict) -> Verdict:
        """Return a verdict as it counts for the wait: another ticket's approval is none."""
        reason = self.refusal
        if verdict.outcome is not Outcome.APPROVED or reason is None:
            return verdict
        text = f"{reason.text}: {self.text}"
        return replace(verdict, outcome=Outcome.REJECTED, reason=text, reason_code=reason)


def likeliest(ownerships: Sequence[Ownership]) -> Ownership:
    """Return which ownership counts, of one for each task that may have opened a ticket; a refusal names all."""
    found = min(ownerships, key=lambda one: _FROM_OWN.index(one.kind))
    texts = dict.fromkeys(one.text for one in ownerships if one.kind is found.kind and one.text)
    return replace(found, text="; ".join(texts))


_FROM_OWN = (OwnershipKind.OWN, OwnershipKind.UNCLAIMED, OwnershipKind.UNRECORDED, OwnershipKind.FOREIGN)
_REFUSALS = {OwnershipKind.FOREIGN: Reason.NOT_ITS_TICKET, OwnershipKind.UNRECORDED: Reason.NOT_RECORDED}


def ownership_of(ticket: AwaitedTicket, records: TicketRecords) -> Ownership:
    """Say whose an awaited ticket is.

    With ``opened_by`` the ticket has to be that of the task's latest round in this run. Without, a ticket that no
    record names is the author's own, and one that another run or DAG has opened is not.
    """
    return replace(_ownership(ticket, records), request=records.request)


def _ownership(ticket: AwaitedTicket, records: TicketRecords) -> Ownership:
    if ticket.opened_by == ANYONE:
        return Ownership(kind=OwnershipKind.UNCLAIMED)
    if ticket.opened_by is None:
        return _ownership_by_run(ticket, records.owner)
    if ticket.sn in _own(ticket, records):
        return _own_or_elsewhere(ticket.sn, f"task {ticket.opened_by}", elsewhere=records.elsewhere)
    if records.rounds or records.owner is not None:
        return Ownership(kind=OwnershipKind.FOREIGN, text=_differs(ticket, records))
    if not records.complete:
        return Ownership(kind=OwnershipKind.UNCLAIMED, text=_not_shared(ticket))
    return Ownership(kind=OwnershipKind.UNRECORDED, text=_unrecorded(ticket), since=records.since)


def opened_tickets(ticket: AwaitedTicket, records: TicketRecords) -> Collection[str | None]:
    """Return the tickets that ``opened_by`` has opened for the one that waits; none where no task is named."""
    if ticket.opened_by in (None, ANYONE) or records.elsewhere:
        return ()
    return _own(ticket, records)


def _own_or_elsewhere(sn: str, opener: str, *, elsewhere: bool) -> Ownership:
    if elsewhere:
        return Ownership(kind=OwnershipKind.UNRECORDED, text=_of_another_installation(sn, opener))
    return Ownership(kind=OwnershipKind.OWN)


def _own(ticket: AwaitedTicket, records: TicketRecords) -> Collection[str | None]:
    """Return the tickets whose approval a wait may take.

    Airflow leaves a mapped opener's instances without a result out when it numbers the results. So an index
    means one of two tickets: that of the instance with this index, or that at this place among all tickets.
    """
    index, rounds = ticket.map_index, records.rounds
    if index is None or -1 in rounds:
        return rounds.values()
    opened = [sn for _, sn in sorted(rounds.items()) if sn is not None]
    return {rounds.get(index), *opened[index : index + 1]}


def _ownership_by_run(ticket: AwaitedTicket, owner: TicketOwner | None) -> Ownership:
    if owner is None:
        return Ownership(kind=OwnershipKind.UNCLAIMED)
    if owner.dag_id == ticket.dag_id and owner.run_id in ("", ticket.run_id):
        return _own_or_elsewhere(ticket.sn, str(owner), elsewhere=owner.elsewhere)
    text = (
        f"{ticket.sn} was opened by {owner}, and the one that waits is run {ticket.run_id} of DAG {ticket.dag_id}."
        f' A sensor that is to wait for any ticket says opened_by="{ANYONE}"'
    )
    return Ownership(kind=OwnershipKind.FOREIGN, text=text)


def _differs(ticket: AwaitedTicket, records: TicketRecords) -> str:
    opened = sorted({sn for sn in _own(ticket, records) if sn is not None})
    of_task = f"task {ticket.opened_by} opened {', '.join(opened)}" if opened else _nothing_opened(ticket)
    owner = f", which {records.owner} opened" if records.owner is not None else ""
    return f"{of_task} in this run, and the number this task was given is {ticket.sn}{owner}"


def _nothing_opened(ticket: AwaitedTicket) -> str:
    return f"task {ticket.opened_by} has opened no ticket"


def _unrecorded(ticket: AwaitedTicket) -> str:
    return (
        f"there is no record that task {ticket.opened_by} opened {ticket.sn} in this run. Records are kept in the"
        " store that [bkitsm] store_conn_id names, else in a file of this machine. If another task opens the"
        f' ticket, name it as opened_by; opened_by="{ANYONE}" takes any ticket'
    )


def _of_another_installation(sn: str, opener: str) -> str:
    return (
        f"the record that {opener} opened {sn} is of an Airflow with another address. It may"
        " be another installation, whose approval releases nothing here; if it is this one, give all workers the"
        " same [api] base_url"
    )


def _not_shared(ticket: AwaitedTicket) -> str:
    return (
        f"whether task {ticket.opened_by} opened ITSM ticket {ticket.sn} cannot be checked: the records"
        " of approvals are in a file of one machine, and workers run on several. Name a database:"
        " [bkitsm] store_conn_id"
    )
