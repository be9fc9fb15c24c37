# SPDX-License-Identifier: Apache-2.0
"""The JSON API of the pages: what they read, and what a person may do there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from pydantic import BaseModel, Field

from airflow_provider_bkitsm.approvals.list_page import LARGEST_PAGE, PAGE_SIZE, Sort, View, Wanted
from airflow_provider_bkitsm.approvals.rows import ApprovalWait, TaskKey
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
    check_storable,
    itsm_name,
    readable_dags,
    signed_in,
)
from airflow_provider_bkitsm.plugins.views import ApprovalViews, collector_row
from airflow_provider_bkitsm.tickets.ownership_records import read_another_dialect

T = TypeVar("T")

# As every database can hold it.
_Number = Annotated[int, Query(ge=0, lt=2**63)]


def read_routes(views: ApprovalViews) -> APIRouter:
    """Return the routes below ``/bkitsm/api`` that read."""
    routes = APIRouter(prefix="/api", dependencies=[Depends(signed_in), Depends(check_storable)])

    @routes.get("/approvals")
    async def approvals(user: SignedIn, wanted: Annotated[Wanted, Depends(_wanted)]) -> dict[str, Any]:
        return await views.listed(user, wanted)

    @routes.get("/ticket")
    async def ticket(request: Request, user: SignedIn, task: Annotated[TaskKey, Depends(_task)]) -> dict[str, Any]:
        return await views.ticket(request, user, task)

    @routes.get("/collectors")
    async def collectors(user: SignedIn) -> dict[str, Any]:
        dags = await in_thread(readable_dags, user)
        rows = await _or_unavailable(in_thread(views.collectors.listed, dags))
        return {"rows": [collector_row(row) for row in rows], "now": datetime.now(UTC).isoformat()}

    @routes.get("/collector")
    async def collector(user: SignedIn, bklog_conn_id: str, collector_config_id: _Number) -> dict[str, Any]:
        dags = await in_thread(readable_dags, user)
        detail = await _or_unavailable(
            in_thread(views.collectors.detail, bklog_conn_id, collector_config_id, dags)
        )
        if detail is None:
            raise HTTPException(404, "No such collector")
        return {**detail, "now": datetime.now(UTC).isoformat()}

    return routes


async def _or_unavailable(read: Awaitable[T]) -> T:
    """Await a read of the collectors' store.

    :raises HTTPException: 503, the store's database cannot be used.
    """
    try:
        return await read
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


class TicketTarget(BaseModel):
    """A ticket and the task instance whose page shows it."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    sn: str

    @property
    def task(self) -> TaskKey:
        """The key of the task instance."""
        return TaskKey(dag_id=self.dag_id, run_id=self.run_id, task_id=self.task_id, map_index=self.map_index)


class Withdrawal(TicketTarget):
    """A ticket to withdraw, and why."""

    reason: Reason


def action_routes(views: ApprovalViews) -> APIRouter:
    """Return the routes below ``/bkitsm/api`` that change something."""
    routes = APIRouter(
        prefix="/api", dependencies=[Depends(signed_in), Depends(check_own_page), Depends(check_storable)]
    )
    reminders = Reminders()

    @routes.post("/ticket/withdraw")
    async def withdraw(request: Request, user: SignedIn, target: Withdrawal) -> dict[str, Any]:
        wait = await _wait_of(views, request, user, target)
        return await _withdraw(views, wait, operator=itsm_name(user), reason=target.reason)

    @routes.post("/ticket/remind")
    async def remind(request: Request, user: SignedIn, target: TicketTarget) -> dict[str, Any]:
        wait, function = await _wait_of(views, request, user, target), await in_thread(reminder)
        if function is None:
            raise HTTPException(404, NOT_CONFIGURED)
        by, ticket = itsm_name(user), await _open_ticket(views, wait)
        await reminders.send(function, wait.ticket, **ticket, by=by)
        log.info("%s sent a reminder of ticket %s to %s", by, wait.sn, ", ".join(ticket["approvers"]))
        return {"approvers": ticket["approvers"]}

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
            status = await hook.run(operate(sn=wait.sn, **action))
    except ItsmError as error:
        raise HTTPException(409, str(error)) from None
    finally:
        views.forget_story(wait.ticket)
    log.info("ticket %s is %s: %s withdrew it from Airflow", wait.sn, status.current_status, operator)
    return {"current_status": status.current_status}


async def _open_ticket(views: ApprovalViews, wait: ApprovalWait) -> dict[str, Any]:
    """Read an open ticket from ITSM, and return what the reminder function gets.

    :raises HTTPException: ITSM does not answer, or the ticket has ended or waits for nobody.
    """
    try:
        async with asyncio.timeout(_ITSM_SECONDS), await _hook(views, wait) as hook:
            status, info = await asyncio.gather(
                hook.run(read_status(wait.sn)), hook.run(ask(lambda itsm: itsm.info(wait.sn)))
            )
    except (ItsmError, TimeoutError) as error:
        raise HTTPException(503, str(error) or "ITSM does not answer") from None
    if status.progress.has_ended:
        raise HTTPException(409, NOT_OPEN)
    if not status.waits_for:
        raise HTTPException(409, NOBODY)
    ticket = {"sn": wait.sn, "title": info.title, "ticket_url": info.ticket_url}
    return {**ticket, "approvers": list(status.waits_for), "waiting_since": info.created_at}


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
