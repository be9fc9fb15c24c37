"""Operating on a ticket through a hook; see :mod:`airflow_provider_bkitsm.itsm.operating`."""

from __future__ import annotations

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import operating
from airflow_provider_bkitsm.itsm.calls import TicketAction
from airflow_provider_bkitsm.itsm.models import TicketStatus


def operate(
    hook: ItsmHook, *, sn: str, action_type: TicketAction | str, operator: str, action_message: str
) -> TicketStatus:
    """Operate on a ticket and return how it stands afterwards.

    :raises ItsmConflictError: ITSM refused and the ticket is not as wanted; it was not changed.
    :raises ItsmAmbiguousError: two tickets carry this number; ITSM changes neither.
    :raises ItsmOutcomeUnknownError: the answer was lost, and the ticket is not (yet) as wanted.
    """
    return hook.run(
        operating.operate(sn=sn, action_type=action_type, operator=operator, action_message=action_message)
    )
