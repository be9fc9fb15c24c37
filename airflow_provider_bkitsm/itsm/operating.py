# SPDX-License-Identifier: Apache-2.0
"""Operating on a ticket: ITSM's only refusal is a catch-all, so the ticket's own state says what happened."""

from __future__ import annotations

from airflow_provider_bkitsm.itsm import calls
from airflow_provider_bkitsm.itsm.calls import TicketAction
from airflow_provider_bkitsm.itsm.errors import (
    ItsmConflictError,
    ItsmError,
    ItsmOutcomeUnknownError,
    ItsmRefusedError,
    ItsmUnavailableError,
)
from airflow_provider_bkitsm.itsm.models import TicketStatus
from airflow_provider_bkitsm.itsm.outcome import ENDED
from airflow_provider_bkitsm.itsm.protocol import Flow
from airflow_provider_bkitsm.itsm.verdict import only_row

_WANTED = {
    TicketAction.WITHDRAW: ENDED,
    TicketAction.TERMINATE: ENDED,
    TicketAction.SUSPEND: frozenset({"SUSPENDED"}),
    TicketAction.UNSUSPEND: frozenset({"RUNNING"}),
}
_CRASHED = "SERVER_500_ERROR"


def read_status(sn: str) -> Flow[TicketStatus]:
    """Ask for a ticket's status. ITSM's own call fails for a number that two tickets have.

    See docs/itsm-behaviour.md#get_ticket_status.

    :raises ItsmAmbiguousError: two tickets carry this number.
    """
    try:
        status: TicketStatus = yield calls.get_ticket_status(sn)
    except ItsmUnavailableError as crash:
        if crash.code == _CRASHED:
            yield from _refuse_two(sn)
        raise
    return status


def operate(*, sn: str, action_type: TicketAction | str, operator: str, action_message: str) -> Flow[TicketStatus]:
    """Operate on a ticket and return how it stands afterwards.

    A ticket that is already as wanted is a normal answer: WITHDRAW and TERMINATE of one that is over, however
    it ended, and a lost answer whose work was done.

    :raises ItsmConflictError: ITSM refused and the ticket is not as wanted; it was not changed.
    :raises ItsmAmbiguousError: two tickets carry this number; ITSM changes neither.
    :raises ItsmOutcomeUnknownError: the answer was lost, and the ticket is not (yet) as wanted.
    """
    action = TicketAction(action_type)
    refusal: ItsmRefusedError | ItsmOutcomeUnknownError | None = None
    try:
        yield calls.operate_ticket(sn=sn, action_type=action, operator=operator, action_message=action_message)
    except (ItsmRefusedError, ItsmOutcomeUnknownError) as error:
        refusal = error
    status = yield from read_status(sn)
    if refusal is None or status.current_status in _WANTED[action]:
        return status
    if isinstance(refusal, ItsmOutcomeUnknownError):
        raise ItsmOutcomeUnknownError(
            f"{refusal.message}; ticket {sn} is still {status.current_status} and may change yet"
        ) from refusal
    raise ItsmConflictError(
        f"{action} of ticket {sn} by {operator} was not done, the ticket is"
        f" {status.current_status}: {refusal.message}",
        code=refusal.code,
    ) from refusal


def call_off(*, sn: str, account: str, action_message: str) -> Flow[TicketStatus]:
    """End a ticket that nobody waits for any more, and return how it stands: a decision that came first stands.

    It is withdrawn in its creator's name; one whose flow does not allow that is terminated by ``account``.

    :param account: who calls ITSM; terminating takes a current approver or a manager of the service.
    :raises ItsmConflictError: neither is allowed (yet: a flow that has not started allows nothing). It says why
        ITSM refused the one and the other.
    """
    info = yield calls.get_ticket_info(sn)
    try:
        return (
            yield from operate(
                sn=sn, action_type=TicketAction.WITHDRAW, operator=info.creator, action_message=action_message
            )
        )
    except ItsmConflictError as refused:
        try:
            return (
                yield from operate(
                    sn=sn, action_type=TicketAction.TERMINATE, operator=account, action_message=action_message
                )
            )
        except ItsmConflictError as neither:
            raise ItsmConflictError(f"{refused.message}. {neither.message}", code=neither.code) from neither


def _refuse_two(sn: str) -> Flow[None]:
    try:
        rows = yield calls.ticket_approval_result([sn])
    except ItsmError:
        return
    only_row(sn, rows)
