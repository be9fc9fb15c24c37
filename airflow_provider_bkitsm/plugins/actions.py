# SPDX-License-Identifier: Apache-2.0
"""What a person may do from Airflow about a ticket, in ITSM by their own name there. Nobody approves here.

Withdrawing: ITSM decides whether they may, as if they had asked it themselves. Reminding: a function sends it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, Field

from airflow_provider_bkitsm.approvals.rows import Found, TaskKey
from airflow_provider_bkitsm.callback.itsm import GatewayHook
from airflow_provider_bkitsm.itsm.calls import TicketAction
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.operating import operate
from airflow_provider_bkitsm.itsm.outcome import ENDED
from airflow_provider_bkitsm.plugins.access import (
    SignedIn,
    check_changes,
    check_own_page,
    itsm_name,
    signed_in,
)
from airflow_provider_bkitsm.plugins.reminding import NOT_CONFIGURED, Reminders, reminder
from airflow_provider_bkitsm.plugins.threads import in_thread
from airflow_provider_bkitsm.plugins.views import Views

log = logging.getLogger(__name__)

Reason = Annotated[str, Field(min_length=1, max_length=255, pattern=r"\S")]

NOT_OPEN = "The ticket is no longer open; nobody was reminded"
NOBODY = "The ticket waits for nobody at the moment; nobody was reminded"
_ITSM_SECONDS = 5.0


class Ticketed(BaseModel):
    """Which task instance's ticket."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    sn: str

    @property
    def task(self) -> TaskKey:
        """The task instance."""
        return TaskKey(dag_id=self.dag_id, run_id=self.run_id, task_id=self.task_id, map_index=self.map_index)


class Withdrawal(Ticketed):
    """Which one, and why."""

    reason: Reason


def router(views: Views) -> APIRouter:
    """Return the routes below ``/bkitsm/api`` that change something."""
    routes = APIRouter(prefix="/api", dependencies=[Depends(signed_in), Depends(check_own_page)])
    reminders = Reminders()

    @routes.post("/ticket/withdraw")
    async def withdraw(request: Request, user: SignedIn, asked: Withdrawal) -> dict[str, Any]:
        found = await _found(views, request, user, asked)
        return await _withdraw(views, found, operator=itsm_name(user), reason=asked.reason)

    @routes.post("/ticket/remind")
    async def remind(request: Request, user: SignedIn, asked: Ticketed) -> dict[str, Any]:
        found, function = await _found(views, request, user, asked), await in_thread(reminder)
        if function is None:
            raise HTTPException(404, NOT_CONFIGURED)
        by, what = itsm_name(user), await _open_ticket(views, found)
        await reminders.send(function, found.ticket, **what, by=by)
        log.info("%s sent a reminder of ticket %s to %s", by, found.sn, ", ".join(what["approvers"]))
        return {"approvers": what["approvers"]}

    return routes


async def _found(views: Views, request: Request, user: Any, asked: Ticketed) -> Found:
    """Return the wait whose ticket the page showed: another round may have begun meanwhile."""
    await in_thread(check_changes, request, user, asked.dag_id)
    found = await views.found(request, user, asked.task)
    if found is None or not found.conn_id or found.sn != asked.sn:
        raise HTTPException(404, "The task has no such ticket")
    return found


async def _withdraw(views: Views, found: Found, *, operator: str, reason: str) -> dict[str, Any]:
    wish = {"action_type": TicketAction.WITHDRAW, "operator": operator, "action_message": reason}
    try:
        async with await _hook(views, found) as hook:
            status = await hook.run(operate(sn=found.sn, **wish))
    except ItsmError as error:
        raise HTTPException(409, str(error)) from None
    log.info("ticket %s is %s: %s withdrew it from Airflow", found.sn, status.current_status, operator)
    return {"current_status": status.current_status}


async def _open_ticket(views: Views, found: Found) -> dict[str, Any]:
    """Ask ITSM how the ticket stands now; return what a reminder says of it."""
    try:
        async with asyncio.timeout(_ITSM_SECONDS), await _hook(views, found) as hook:
            status, info = await asyncio.gather(hook.get_ticket_status(found.sn), hook.get_ticket_info(found.sn))
    except (ItsmError, TimeoutError) as error:
        raise HTTPException(503, str(error) or "ITSM does not answer") from None
    if status.current_status in ENDED:
        raise HTTPException(409, NOT_OPEN)
    if not status.waits_for:
        raise HTTPException(409, NOBODY)
    about = {"sn": found.sn, "title": info.title, "ticket_url": info.ticket_url}
    return {**about, "approvers": list(status.waits_for), "waiting_since": info.create_at}


async def _hook(views: Views, found: Found) -> GatewayHook:
    gateway = await in_thread(views.metadata.gateway, found.conn_id)
    if gateway is None:
        raise HTTPException(503, "The ITSM connection cannot be used")
    return GatewayHook(gateway)
