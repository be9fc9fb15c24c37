# SPDX-License-Identifier: Apache-2.0
"""What a callback's verdict means for a task that waits: whether it counts, and what the task is told."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row

from airflow_provider_bkitsm.callback.waiters import WaitArguments, Waiter
from airflow_provider_bkitsm.itsm.confirmation import lacks_requester, was_joined
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.idempotency import shows_marker
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.plugins.metadata.waiting_tasks import arguments_of
from airflow_provider_bkitsm.tickets.ownership import AwaitedTicket, Ownership, OwnershipKind
from airflow_provider_bkitsm.tickets.ownership_records import TicketOpening, read_ownership

if TYPE_CHECKING:
    from airflow_provider_bkitsm.itsm.verdict import Verdict

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Message:
    """The message to a waiting task.

    :param waiter: the waiter with the values of the trigger's arguments.
    :param read: the verdict as it was read from ITSM.
    :param counts: whether this is the verdict for this task; if not, a worker has to read the task's ticket.
    :param sn: number in the trigger's arguments, for a wait whose worker stored none; None for a template.
    """

    waiter: Waiter
    read: Verdict
    counts: bool = False
    sn: str | None = None

    @property
    def verdict(self) -> Verdict | None:
        """The verdict, where it counts."""
        return self.read if self.counts else None

    @property
    def result(self) -> Verdict:
        """The result that replaces an earlier round's result until a worker has drawn the conclusion."""
        if self.counts and self.read.outcome is not Outcome.APPROVED:
            return self.read
        return replace(self.read, outcome=Outcome.WAITING, reason="", reason_code=Reason.OPEN, decided_at=None)

    @property
    def event(self) -> dict[str, Any]:
        """The event for ``execute_complete``. A worker of the version before reads a wake-up as an error."""
        if self.verdict is not None:
            return {"verdict": self.verdict.as_event()}
        refusal = {"error": "a callback came, and this worker cannot look again", "kind": "ItsmError"}
        return {"look": True, "sn": self.sn, **refusal}


def message_for(
    found: Row[Any], waiter: Waiter, verdict: Verdict, opening: TicketOpening | None
) -> Message | None:
    """Return the message to a task about a ticket; None where the task waits for another ticket."""
    arguments = arguments_of(found.encrypted_kwargs)
    if arguments is None:
        unknown = Waiter(ti_id=waiter.ti_id, conn_id=waiter.conn_id, after_worker=True)
        return Message(waiter=unknown, read=verdict)
    theirs = arguments.waiter(waiter)
    if not arguments.may_be_about(verdict.sn, waiter.conn_id):
        return None
    ownership = _ownership(found, arguments, waiter, verdict, opening)
    if not arguments.names_ticket and ownership is not None and ownership.kind is OwnershipKind.FOREIGN:
        return None
    # With a different policy, the verdict was read for an earlier wait of this task.
    same_policy = arguments.verdict_settings is not None and theirs.verdict_settings == waiter.verdict_settings
    if not same_policy or ownership is None or ownership.kind not in _COUNTING[arguments.names_ticket]:
        return Message(waiter=theirs, read=verdict, sn=arguments.sn)
    is_lost = ownership.request is None and theirs.after_worker and shows_marker(verdict.title)
    about = verdict, ownership.request, theirs.verdict_settings
    if is_lost or lacks_requester(*about) or was_joined(*about):
        # Without a record, only the worker that began the wait may have stored what was sent to open the ticket.
        # The verdict is the same for all who wait; who has joined the ticket, and asks as well, is of one run.
        theirs = replace(theirs, ends_task=False)
    return Message(waiter=theirs, read=ownership.applied_to(verdict), counts=True)


# By whether the trigger's arguments name the ticket. Where only an XCom names it, a record must too.
_COUNTING = {True: frozenset(OwnershipKind) - {OwnershipKind.UNRECORDED}, False: frozenset({OwnershipKind.OWN})}


def _ownership(
    found: Row[Any], arguments: WaitArguments, waiter: Waiter, verdict: Verdict, opening: TicketOpening | None
) -> Ownership | None:
    """Return which task the ticket belongs to; None where the store cannot be read: a worker tries again."""
    if arguments.names_ticket and verdict.outcome is not Outcome.APPROVED:
        return Ownership(kind=OwnershipKind.UNCLAIMED)
    ticket = AwaitedTicket(
        sn=verdict.sn,
        bkitsm_conn_id=waiter.conn_id,
        dag_id=found.dag_id,
        run_id=found.run_id,
        opened_by=arguments.opened_by,
    )
    try:
        return read_ownership(ticket, opening)
    except ItsmError as error:
        log.warning("%s", error)
        return None
