"""Operating on a ticket: ITSM's only refusal is a catch-all, so the ticket's own state says what happened."""

from __future__ import annotations

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.calls import TicketAction
from airflow_provider_bkitsm.itsm.errors import ItsmConflictError, ItsmOutcomeUnknownError, ItsmRefusedError
from airflow_provider_bkitsm.itsm.models import TicketStatus
from airflow_provider_bkitsm.itsm.outcome import ENDED

_WANTED = {
    TicketAction.WITHDRAW: ENDED,
    TicketAction.TERMINATE: ENDED,
    TicketAction.SUSPEND: frozenset({"SUSPENDED"}),
    TicketAction.UNSUSPEND: frozenset({"RUNNING"}),
}


def operate(
    hook: ItsmHook, *, sn: str, action_type: TicketAction | str, operator: str, action_message: str
) -> TicketStatus:
    """Operate on a ticket and return how it stands afterwards.

    A ticket that is already as wanted is a normal answer: WITHDRAW and TERMINATE of one that is over, however
    it ended, and a lost answer whose work was done.

    :raises ItsmConflictError: ITSM refused and the ticket is not as wanted; it was not changed.
    """
    action = TicketAction(action_type)
    refusal: ItsmRefusedError | ItsmOutcomeUnknownError | None = None
    try:
        hook.operate_ticket(sn=sn, action_type=action, operator=operator, action_message=action_message)
    except (ItsmRefusedError, ItsmOutcomeUnknownError) as error:
        refusal = error
    status = hook.get_ticket_status(sn)
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
