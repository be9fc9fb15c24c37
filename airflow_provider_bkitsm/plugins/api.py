# SPDX-License-Identifier: Apache-2.0
"""The JSON that the pages read, and what a person may do there."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from pydantic import BaseModel, Field

from airflow_provider_bkitsm.approvals.list_page import LARGEST_PAGE, PAGE_SIZE, Sort, View, Wanted
from airflow_provider_bkitsm.approvals.rows import TaskKey, WaitRecord
from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.itsm.actions import operate, read_status
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.models import TicketAction
from airflow_provider_bkitsm.plugins.concurrency import in_thread
from airflow_provider_bkitsm.plugins.reminders import NOT_CONFIGURED, Reminders, reminder
from airflow_provider_bkitsm.plugins.security import (
    SignedIn,
    check_changes,
    check_own_page,
    itsm_name,
    readable_dags,
    signed_in,
)
from airflow_provider_bkitsm.plugins.views import ApprovalViews, shown


def read_routes(views: ApprovalViews) -> APIRouter:
    """Return the routes below ``/bkitsm/api`` that read."""
    routes = APIRouter(prefix="/api")

    @routes.get("/approvals")
    async def approvals(user: SignedIn, wanted: Annotated[Wanted, Depends(_wanted)]) -> dict[str, Any]:
        return await views.listed(user, wanted)

    @routes.get("/ticket")
    async def ticket(request: Request, user: SignedIn, task: Annotated[TaskKey, Depends(_task)]) -> dict[str, Any]:
        return await views.ticket(request, user, task)

    @routes.get("/collectors")
    async def collectors(user: SignedIn) -> dict[str, Any]:
        dags = await in_thread(readable_dags, user)
        rows = await _stored(in_thread(views.collectors.listed, dags))
        return {"rows": [shown(row) for row in rows], "now": datetime.now(UTC).isoformat()}

    @routes.get("/collector")
    async def collector(user: SignedIn, bklog_conn_id: str, collector_config_id: int) -> dict[str, Any]:
        dags = await in_thread(readable_dags, user)
        found = await _stored(in_thread(views.collectors.one, bklog_conn_id, collector_config_id, dags))
        if found is None:
            raise HTTPException(404, "No such collector")
        return {**found, "now": datetime.now(UTC).isoformat()}

    return routes


async def _stored(asked: Any) -> Any:
    try:
        return await asked
    except StoreUnavailable as error:
        raise HTTPException(503, str(error)) from None


def _wanted(
    *,
    view: View = View.WAITING,
    search: Annotated[str, Query(max_length=200)] = "",
    dag_id: str = "",
    run_id: str = "",
    mine: bool = False,
    collector: str = "",
    sort: Sort = Sort.SINCE,
    descending: bool = True,
    page: Annotated[int, Query(ge=1)] = 1,
    size: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE_SIZE,
) -> Wanted:
    filters = {"search": search, "dag_id": dag_id, "run_id": run_id, "collector": collector}
    return Wanted(view=view, mine=mine, sort=sort, descending=descending, page=page, size=size, **filters)


def _task(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> TaskKey:
    return TaskKey(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)


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


def action_routes(views: ApprovalViews) -> APIRouter:
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


async def _found(views: ApprovalViews, request: Request, user: Any, asked: Ticketed) -> WaitRecord:
    """Return the wait whose ticket the page showed: another round may have begun meanwhile."""
    await in_thread(check_changes, request, user, asked.dag_id)
    found = await views.found(request, user, asked.task)
    if found is None or not found.conn_id or found.sn != asked.sn:
        raise HTTPException(404, "The task has no such ticket")
    return found


async def _withdraw(views: ApprovalViews, found: WaitRecord, *, operator: str, reason: str) -> dict[str, Any]:
    wish = {"action_type": TicketAction.WITHDRAW, "operator": operator, "action_message": reason}
    try:
        async with await _hook(views, found) as hook:
            status = await hook.run(operate(sn=found.sn, **wish))
    except ItsmError as error:
        raise HTTPException(409, str(error)) from None
    log.info("ticket %s is %s: %s withdrew it from Airflow", found.sn, status.current_status, operator)
    return {"current_status": status.current_status}


async def _open_ticket(views: ApprovalViews, found: WaitRecord) -> dict[str, Any]:
    """Ask ITSM how the ticket stands now; return what a reminder says of it."""
    try:
        async with asyncio.timeout(_ITSM_SECONDS), await _hook(views, found) as hook:
            status, info = await asyncio.gather(
                hook.run(read_status(found.sn)), hook.run(ask(lambda itsm: itsm.info(found.sn)))
            )
    except (ItsmError, TimeoutError) as error:
        raise HTTPException(503, str(error) or "ITSM does not answer") from None
    if status.progress.has_ended:
        raise HTTPException(409, NOT_OPEN)
    if not status.waits_for:
        raise HTTPException(409, NOBODY)
    about = {"sn": found.sn, "title": info.title, "ticket_url": info.ticket_url}
    return {**about, "approvers": list(status.waits_for), "waiting_since": info.created_at}


async def _hook(views: ApprovalViews, found: WaitRecord) -> ItsmAsyncHook:
    gateway = await in_thread(views.metadata.gateway, found.conn_id)
    if gateway is None:
        raise HTTPException(503, "The ITSM connection cannot be used")
    return ItsmAsyncHook.for_gateway(gateway)
