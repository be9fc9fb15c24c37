# SPDX-License-Identifier: Apache-2.0
"""The routes that read: JSON, each answer limited to the DAGs the signed-in person may read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from airflow_provider_bkitsm.approvals.listing import LARGEST_PAGE, PAGE_SIZE, Sort, View, Wanted
from airflow_provider_bkitsm.approvals.rows import TaskKey
from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.plugins.access import SignedIn, readable_dags
from airflow_provider_bkitsm.plugins.collector_views import shown
from airflow_provider_bkitsm.plugins.threads import in_thread
from airflow_provider_bkitsm.plugins.views import Views


def router(views: Views) -> APIRouter:
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
