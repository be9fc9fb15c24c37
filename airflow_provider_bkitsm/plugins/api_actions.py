# SPDX-License-Identifier: Apache-2.0
"""What a person may do to a ticket through the JSON API: withdraw it, and remind its approvers."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request

from airflow_provider_bkitsm.approvals.rows import ApprovalWait
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.itsm.actions import operate, read_own_info, read_status
from airflow_provider_bkitsm.itsm.errors import ItsmError, ItsmOutcomeUnknownError, ItsmTicketNotFoundError
from airflow_provider_bkitsm.itsm.idempotency import TicketIdentity, unmarked_title
from airflow_provider_bkitsm.itsm.models import TicketAction
from airflow_provider_bkitsm.plugins.api_errors import refusals
from airflow_provider_bkitsm.plugins.api_models import Reminded, TicketTarget, Withdrawal, Withdrawn
from airflow_provider_bkitsm.plugins.concurrency import in_thread
from airflow_provider_bkitsm.plugins.reminders import NOT_CONFIGURED, Reminders, page_senders, send_with
from airflow_provider_bkitsm.plugins.security import (
    HEADER,
    SignedIn,
    check_changes,
    check_own_page,
    check_storable,
    itsm_name,
    signed_in,
)
from airflow_provider_bkitsm.plugins.views import ApprovalViews
from airflow_provider_bkitsm.tickets.ownership_records import read_another_dialect, read_identity
from airflow_provider_bkitsm.tickets.reminder import Reminder
from airflow_provider_bkitsm.tickets.round_end import WaitingTask, ticket_tab

log = logging.getLogger(__name__)

NOT_OPEN = "The ticket is no longer open; nobody was reminded"
NOBODY = "The ticket waits for nobody at the moment; nobody was reminded"
_ITSM_SECONDS = 5.0
_HEADER = {
    "parameters": [
        {
            "name": HEADER,
            "in": "header",
            "required": True,
            "description": "Anything. A page of another site cannot send it.",
            "schema": {"type": "string"},
            "example": "1",
        }
    ]
}


def action_routes(views: ApprovalViews) -> APIRouter:
    """Return the API's routes that change something."""
    routes = APIRouter(
        dependencies=[Depends(signed_in), Depends(check_own_page), Depends(check_storable)], tags=["actions"]
    )
    reminders = Reminders()

    @routes.post(
        "/ticket/withdraw",
        summary="Withdraw an open ticket",
        response_model=Withdrawn,
        responses=refusals(403, 404, 409, 415, 422, 500, 503),
        openapi_extra=_HEADER,
    )
    async def withdraw_ticket(request: Request, user: SignedIn, target: Withdrawal) -> dict[str, Any]:
        """Ask ITSM to withdraw a ticket, in the caller's own name. ITSM decides whether they may.

        The task that waits for it ends as with any withdrawn ticket. A ticket that has ended stays as it is.
        """
        wait = await _wait_of(views, request, user, target)
        return await _withdraw(views, wait, operator=itsm_name(user), reason=target.reason)

    @routes.post(
        "/ticket/remind",
        summary="Remind the approvers",
        response_model=Reminded,
        responses=refusals(403, 404, 409, 415, 422, 429, 500, 502, 503, 504),
        openapi_extra=_HEADER,
    )
    async def remind_approvers(request: Request, user: SignedIn, target: TicketTarget) -> dict[str, Any]:
        """Send a reminder of an open ticket with the task's own sender, or else with that of `[bkitsm] remind`."""
        wait = await _wait_of(views, request, user, target)
        senders = await in_thread(page_senders, wait.task)
        if not senders:
            raise HTTPException(404, NOT_CONFIGURED)
        message = await _open_ticket(views, wait, by=itsm_name(user))
        await reminders.send(partial(send_with, senders, message), wait.ticket)
        log.info("%s sent a reminder of ticket %s to %s", message.by, wait.sn, ", ".join(message.recipients))
        return {"approvers": list(message.recipients)}

    return routes


async def _wait_of(views: ApprovalViews, request: Request, user: Any, target: TicketTarget) -> ApprovalWait:
    """Return the wait whose ticket the page showed; 404 where another round has begun since."""
    await in_thread(check_changes, request, user, target.dag_id)
    wait = await views.wait(request, user, target.task)
    if wait is None or not wait.conn_id or wait.sn != target.sn:
        raise HTTPException(404, "The task has no such ticket")
    return wait


async def _withdraw(views: ApprovalViews, wait: ApprovalWait, *, operator: str, reason: str) -> dict[str, Any]:
    action = {"action_type": TicketAction.WITHDRAW, "operator": operator, "action_message": reason}
    try:
        async with await _hook(views, wait) as hook:
            status = await hook.run(operate(sn=wait.sn, identity=await _identity(wait), **action))
    except ItsmError as error:
        # A withdrawal may be repeated: that of a withdrawn ticket is answered as the first one.
        may_repeat = error.retry_safe or isinstance(error, ItsmOutcomeUnknownError)
        raise HTTPException(503 if may_repeat else 409, str(error)) from None
    finally:
        views.forget_story(wait.ticket)
    log.info("ticket %s is %s: %s withdrew it from Airflow", wait.sn, status.current_status, operator)
    return {"current_status": status.current_status}


async def _open_ticket(views: ApprovalViews, wait: ApprovalWait, *, by: str) -> Reminder:
    """Read an open ticket from ITSM, and return the reminder of it.

    :param by: who sends it, by name in ITSM.

    :raises HTTPException: ITSM does not answer, or the ticket has ended or waits for nobody.
    """
    try:
        async with asyncio.timeout(_ITSM_SECONDS), await _hook(views, wait) as hook:
            own_info = read_own_info(wait.sn, await _identity(wait))
            status, info = await asyncio.gather(hook.run(read_status(wait.sn)), hook.run(own_info))
    except ItsmTicketNotFoundError as error:
        raise HTTPException(409, str(error)) from None
    except (ItsmError, TimeoutError) as error:
        raise HTTPException(503, str(error) or "ITSM does not answer") from None
    if status.progress.has_ended:
        raise HTTPException(409, NOT_OPEN)
    if not status.waits_for:
        raise HTTPException(409, NOBODY)
    where, seconds = asdict(wait.task), wait.approval_seconds
    return Reminder(
        sn=wait.sn,
        title=unmarked_title(info.title),
        step=status.step_names,
        recipients=status.waits_for,
        approvers=status.waits_for,
        waiting_since=info.created_at,
        deadline=None if seconds is None else info.created_at + timedelta(seconds=seconds),
        ticket_url=info.ticket_url,
        airflow_url=ticket_tab(WaitingTask(**where)),
        by=by,
        **where,
    )


async def _identity(wait: ApprovalWait) -> TicketIdentity | None:
    return await in_thread(partial(read_identity, wait.sn, wait.conn_id))


async def _hook(views: ApprovalViews, wait: ApprovalWait) -> ItsmAsyncHook:
    """Return the client for a wait's ticket.

    :raises HTTPException: there is none, or another ITSM has the ticket: a ticket of the same number is not ours.
    :raises ItsmError: the record of the ticket cannot be read.
    """
    gateway = await in_thread(views.metadata.gateway, wait.conn_id)
    if gateway is None:
        raise HTTPException(503, "The ITSM connection cannot be used")
    spoken = gateway.dialect.name
    if another := await in_thread(partial(read_another_dialect, wait.sn, wait.conn_id, spoken=spoken)):
        raise HTTPException(409, str(another))
    return ItsmAsyncHook.for_gateway(gateway)
