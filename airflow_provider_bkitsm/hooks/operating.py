# SPDX-License-Identifier: Apache-2.0
"""Ends and changes a ticket through a hook; see :mod:`airflow_provider_bkitsm.itsm.actions`."""

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
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict

log = logging.getLogger(__name__)

# A new ticket can be ended only after its flow has started.
_ATTEMPTS, UNTIL_STARTED_SECONDS = 10, 1.0


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
    """End a ticket that nobody waits for any more; see :func:`airflow_provider_bkitsm.itsm.actions.call_off`.

    :param why: the reason, which the ticket's log shows.
    :raises ItsmConflictError: ITSM allows neither to withdraw nor to terminate it.
    :raises ItsmOutcomeUnknownError: ITSM's answers are lost; a retry is safe.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _call_off(hook, sn, why)
        except (ItsmConflictError, ItsmOutcomeUnknownError, ItsmUnavailableError) as error:
            log.info("ticket %s cannot be ended yet: %s", sn, error)
            sleep(UNTIL_STARTED_SECONDS)
    return _call_off(hook, sn, why)


def end_open_ticket(hook: ItsmHook, *, sn: str, why: str) -> bool:
    """Try once to end a ticket; return False for a ticket that had ended.

    :raises ItsmError: as ``call_off``.
    """
    if hook.run(actions.read_status(sn)).progress.has_ended:
        return False
    _call_off(hook, sn, why)
    return True


def give_up(hook: ItsmHook, *, sn: str, why: str, policy: VerdictPolicy) -> Verdict:
    """End a ticket whose time is over, and return its verdict. A decision that came first counts.

    A ticket that ITSM lets nobody end stays open; a warning is logged.
    """
    try:
        call_off(hook, sn=sn, why=why)
    except ItsmError as error:
        # Ending a ticket twice does no harm, so an uncertain end is retried.
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
