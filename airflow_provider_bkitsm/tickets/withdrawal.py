# SPDX-License-Identifier: Apache-2.0
"""Ending a ticket that nobody waits for any more (promise P5).

A decision that came first stands. A ticket of another ITSM, or of another time, which may have the same number, is
never touched (P6).
What cannot be ended now is tried again by one retry policy.

What ends a ticket whose task was ended while it waited in a triggerer is in
:mod:`airflow_provider_bkitsm.triggers.on_kill`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_fixed,
)

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook, ItsmHook
from airflow_provider_bkitsm.hooks.store import call_store
from airflow_provider_bkitsm.itsm.actions import read_status, withdraw_or_terminate
from airflow_provider_bkitsm.itsm.dialect import DialectFlow
from airflow_provider_bkitsm.itsm.errors import (
    ItsmAnotherDialectError,
    ItsmConflictError,
    ItsmError,
    ItsmOutcomeUnknownError,
    ItsmUnavailableError,
)
from airflow_provider_bkitsm.itsm.idempotency import TicketIdentity
from airflow_provider_bkitsm.itsm.models import TicketStatus
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from airflow_provider_bkitsm.tickets.ownership_records import read_another_dialect, read_identity
from airflow_provider_bkitsm.tickets.round_end import record_withdrawal

log = logging.getLogger(__name__)

# ITSM ends a new ticket only once the ticket's flow has started, which takes a second or two. Airflow gives
# ``on_kill`` 30 s.
ATTEMPTS = 10
RETRY_SECONDS = 1.0


def retry_policy(sn: str) -> dict[str, Any]:
    """Return the arguments of tenacity for ending a ticket. A second end of the same ticket does no harm."""
    return {
        "retry": retry_if_exception_type((ItsmConflictError, ItsmOutcomeUnknownError, ItsmUnavailableError)),
        "stop": stop_after_attempt(ATTEMPTS),
        "wait": wait_fixed(RETRY_SECONDS),
        "before_sleep": partial(_log_failure, sn),
        "reraise": True,
    }


def _log_failure(sn: str, state: RetryCallState) -> None:
    log.info("ticket %s cannot be ended yet: %s", sn, state.outcome and state.outcome.exception())


def withdraw(hook: ItsmHook, *, sn: str, why: str, sleep: Callable[[float], None] = time.sleep) -> TicketStatus:
    """End a ticket; see :func:`~airflow_provider_bkitsm.itsm.actions.withdraw_or_terminate`.

    :param why: the reason, which the ticket's log shows.
    :raises ItsmAnotherDialectError: the ticket is of another ITSM; nothing was asked.
    :raises ItsmConflictError: ITSM allows neither to withdraw nor to terminate the ticket.
    :raises ItsmTicketNotFoundError: the ticket that has its number now is another one.
    :raises ItsmOutcomeUnknownError: ITSM's answers are lost; a retry is safe.
    """
    refuse_another_dialect(hook, sn)
    account, identity = hook.gateway.username, read_identity(sn, hook.bkitsm_conn_id)

    def withdraw_once() -> TicketStatus:
        return hook.run(withdraw_or_terminate(sn=sn, account=account, action_message=why, identity=identity))

    status = Retrying(**retry_policy(sn), sleep=sleep)(withdraw_once)
    _note_end(hook.bkitsm_conn_id, sn, why, status)
    record_withdrawal(hook.bkitsm_conn_id, sn, why=why, status=status)
    return status


def withdraw_on_timeout(hook: ItsmHook, *, sn: str, why: str, policy: VerdictPolicy) -> Verdict:
    """End a ticket whose time is over, and return its verdict. A decision that came first counts.

    A ticket that ITSM lets nobody end stays open; a warning is logged.

    :raises ItsmAnotherDialectError: the ticket is of another ITSM; nothing was asked.
    :raises ItsmError: whether the ticket has ended is not known; a retry is safe.
    """
    try:
        withdraw(hook, sn=sn, why=why)
    except ItsmAnotherDialectError:
        raise
    except ItsmError as error:
        if error.retry_safe or isinstance(error, ItsmOutcomeUnknownError):
            raise
        log.warning("ticket %s STAYS OPEN, nobody waits for it any more: %s", sn, error)
    verdict = hook.run(read_verdict(sn, policy))
    return verdict if verdict.outcome.is_decision else verdict.timed_out()


def withdraw_if_open(hook: ItsmHook, *, sn: str, why: str) -> bool:
    """Try once to end a ticket; return False for a ticket that had ended.

    :raises ItsmAnotherDialectError: the ticket is of another ITSM; nothing was asked.
    :raises ItsmError: as ``withdraw``.
    """
    refuse_another_dialect(hook, sn)
    identity = read_identity(sn, hook.bkitsm_conn_id)
    status = hook.run(_withdraw_open(sn=sn, account=hook.gateway.username, why=why, identity=identity))
    if status is not None:
        _note_end(hook.bkitsm_conn_id, sn, why, status)
        record_withdrawal(hook.bkitsm_conn_id, sn, why=why, status=status)
    return status is not None


async def async_withdraw_if_open(hook: ItsmAsyncHook, *, sn: str, why: str) -> None:
    """Try once to end a ticket in an event loop; see :func:`withdraw_if_open`."""
    gateway = (await hook.aget_conn()).gateway
    read = partial(read_another_dialect, sn, hook.bkitsm_conn_id, spoken=gateway.dialect.name)
    if another := await call_store(read):
        raise another
    identity = await call_store(partial(read_identity, sn, hook.bkitsm_conn_id))
    status = await hook.run(_withdraw_open(sn=sn, account=gateway.username, why=why, identity=identity))
    if status is not None:
        _note_end(hook.bkitsm_conn_id, sn, why, status)
        await call_store(partial(record_withdrawal, hook.bkitsm_conn_id, sn, why=why, status=status))


def refuse_another_dialect(hook: ItsmHook, sn: str) -> None:
    """Raise ``ItsmAnotherDialectError`` for a ticket of another ITSM: this ITSM may have the same number (P6)."""
    spoken = hook.gateway.dialect.name
    if another := read_another_dialect(sn, hook.bkitsm_conn_id, spoken=spoken):
        raise another


def _withdraw_open(
    *, sn: str, account: str, why: str, identity: TicketIdentity | None
) -> DialectFlow[TicketStatus | None]:
    """End a ticket; None for a ticket that had ended."""
    if (yield from read_status(sn)).progress.has_ended:
        return None
    return (yield from withdraw_or_terminate(sn=sn, account=account, action_message=why, identity=identity))


def _note_end(conn_id: str, sn: str, why: str, status: TicketStatus) -> None:
    """Log and count the end of a ticket."""
    log.info("ticket %s is %s: %s", sn, status.current_status, why)
    telemetry.withdrawn(conn_id, status)
