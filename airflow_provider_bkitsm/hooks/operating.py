# SPDX-License-Identifier: Apache-2.0
"""Operating on a ticket through a hook; see :mod:`airflow_provider_bkitsm.itsm.actions`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import actions
from airflow_provider_bkitsm.itsm.errors import (
    ItsmConflictError,
    ItsmError,
    ItsmOutcomeUnknownError,
    ItsmUnavailableError,
)
from airflow_provider_bkitsm.itsm.models import TicketAction, TicketStatus
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_source import read_verdict

log = logging.getLogger(__name__)

# A ticket that was just opened can be ended only once its flow has started.
_ATTEMPTS, _UNTIL_STARTED = 10, 1.0


def operate(
    hook: ItsmHook, *, sn: str, action_type: TicketAction | str, operator: str, action_message: str
) -> TicketStatus:
    """Operate on a ticket and return how it stands afterwards.

    :raises ItsmConflictError: ITSM refused and the ticket is not as wanted; it was not changed.
    :raises ItsmAmbiguousError: two tickets carry this number; ITSM changes neither.
    :raises ItsmOutcomeUnknownError: the answer was lost, and the ticket is not (yet) as wanted.
    """
    return hook.run(
        actions.operate(sn=sn, action_type=action_type, operator=operator, action_message=action_message)
    )


def call_off(hook: ItsmHook, *, sn: str, why: str, sleep: Callable[[float], None] = time.sleep) -> TicketStatus:
    """End a ticket nobody waits for any more; see :func:`airflow_provider_bkitsm.itsm.actions.call_off`.

    :param why: for the ticket's log.
    :raises ItsmConflictError: ITSM allows neither to withdraw nor to terminate it.
    :raises ItsmOutcomeUnknownError: ITSM's answers are lost; doing it again is safe.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _call_off(hook, sn, why)
        except (ItsmConflictError, ItsmOutcomeUnknownError, ItsmUnavailableError) as error:
            log.info("ticket %s cannot be ended yet: %s", sn, error)
            sleep(_UNTIL_STARTED)
    return _call_off(hook, sn, why)


def end_open_ticket(hook: ItsmHook, *, sn: str, why: str) -> bool:
    """Try once to end a ticket; False where it has ended before.

    :raises ItsmError: as ``call_off``.
    """
    if hook.run(actions.read_status(sn)).progress.has_ended:
        return False
    _call_off(hook, sn, why)
    return True


def give_up(hook: ItsmHook, *, sn: str, why: str, policy: VerdictPolicy) -> Verdict:
    """End a ticket for whose decision there is no more time; a decision that came first wins.

    A ticket that ITSM lets nobody end stays open, which the log says.
    """
    try:
        call_off(hook, sn=sn, why=why)
    except ItsmError as error:
        # To end a ticket twice does no harm, so what is not known to be done is done again.
        if error.retry_safe or isinstance(error, ItsmOutcomeUnknownError):
            raise
        log.warning("ticket %s STAYS OPEN, nobody waits for it any more: %s", sn, error)
    verdict = hook.run(read_verdict(sn, policy))
    return verdict if verdict.outcome.is_decision else verdict.timed_out()


def _call_off(hook: ItsmHook, sn: str, why: str) -> TicketStatus:
    status = hook.run(actions.call_off(sn=sn, account=hook.gateway.username, action_message=why))
    log.info("ticket %s is %s: %s", sn, status.current_status, why)
    telemetry.withdrawn(hook.bkitsm_conn_id, status)
    return status
