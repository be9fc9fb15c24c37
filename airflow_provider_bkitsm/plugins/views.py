"""What the approvals pages ask for: JSON, each answer limited to the DAGs the signed-in person may read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from airflow_provider_bkitsm.approvals.choosing import ticket_of
from airflow_provider_bkitsm.approvals.listing import LARGEST_PAGE, PAGE_SIZE, Page, Sort, View, Wanted, page_of
from airflow_provider_bkitsm.approvals.rows import Found, Row, TaskKey, row_of
from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.collectors.row import CollectorRow
from airflow_provider_bkitsm.plugins.access import SignedIn, check_reads, may_change, readable_dags
from airflow_provider_bkitsm.plugins.collector_views import Collectors, shown
from airflow_provider_bkitsm.plugins.live import LiveTickets
from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata, AirflowTickets
from airflow_provider_bkitsm.plugins.pages import secured
from airflow_provider_bkitsm.plugins.remembering import Remembering
from airflow_provider_bkitsm.plugins.stories import read_story

T = TypeVar("T")

_RECENT = timedelta(days=30)
# Seconds for which people who may read the same DAGs share what was read.
_SHARED = 3.0
# Pages get a few threads, and so database connections, of their own: callbacks and Airflow's pages keep theirs.
_THREADS = 2


class Views:
    """Where the answers come from."""

    def __init__(self, metadata: AirflowMetadata) -> None:
        self.metadata = metadata
        self.tickets = AirflowTickets()
        self.collectors = Collectors()
        self.live = LiveTickets(gateway=lambda conn_id: in_thread(metadata.gateway, conn_id))
        self._waits: Remembering[list[Found]] = Remembering(_SHARED)
        self._collectors: Remembering[list[CollectorRow]] = Remembering(_SHARED)

    async def listed(self, user: Any, wanted: Wanted) -> dict[str, Any]:
        """Return one page of the list, asking ITSM about its open tickets only."""
        dags = await in_thread(readable_dags, user)
        read = partial(self.tickets.waits, dags, since=datetime.now(UTC) - _RECENT)
        founds = await self._waits.get(dags, lambda: in_thread(read))
        names = await self._names(dags)
        first = await in_thread(self._page, founds, names, wanted)
        answered = await self.live.refresh((row.conn_id, row.sn) for row in first.rows if row.is_open)
        again = {one.task: one for one in founds}
        rows = [self._row(again[row.task], names).as_dict() for row in first.rows]
        return {**first.as_dict(), "rows": rows, "itsm": answered, "now": datetime.now(UTC).isoformat()}

    async def ticket(self, request: Request, user: Any, task: TaskKey) -> dict[str, Any]:
        """Return the ticket of a task instance and its story, as far as ITSM tells it."""
        found = await self.found(request, user, task)
        now = datetime.now(UTC).isoformat()
        if found is None:
            return {"ticket": None, "now": now}
        collector = await self._collector(found, frozenset({task.dag_id}))
        await self.live.refresh([(found.conn_id, found.sn)])
        row = self._row(found, {})
        story, problem = await self._story(found)
        return {
            "ticket": row.as_dict(),
            "story": story,
            "problem": problem,
            "collector": collector,
            "changes": await in_thread(may_change, request, user, task.dag_id),
            "now": now,
        }

    async def found(self, request: Request, user: Any, task: TaskKey) -> Found | None:
        """Return what is known of a task instance's ticket, to whom may read its DAG."""
        await in_thread(check_reads, request, user, task.dag_id)
        return ticket_of(await in_thread(self.tickets.of_run, task.dag_id, task.run_id), task)

    async def _story(self, found: Found) -> tuple[dict[str, Any] | None, str]:
        gateway = await in_thread(self.metadata.gateway, found.conn_id) if found.conn_id and found.sn else None
        if gateway is None:
            return None, ""
        return await read_story(gateway, found.sn)

    def _page(self, founds: Iterable[Found], names: Mapping[str, str], wanted: Wanted) -> Page:
        """Build thousands of rows for one page of them: not in the event loop, where callbacks would wait."""
        return page_of([self._row(one, names) for one in founds], wanted)

    def _row(self, found: Found, names: Mapping[str, str]) -> Row:
        live = self.live.known((found.conn_id, found.sn))
        return row_of(found, live, collector=names.get(found.sn, ""))

    async def _names(self, dags: frozenset[str]) -> dict[str, str]:
        """Return the collectors' names by ticket."""
        return {row.ticket_sn: _name(row) for row in await self._applied(dags) if row.ticket_sn}

    async def _collector(self, found: Found, dags: frozenset[str]) -> dict[str, Any] | None:
        """Return what was asked for a collector with this ticket."""
        rows = await self._applied(dags) if found.sn else []
        return next((shown(row) | {"payload": row.etl_payload} for row in rows if row.ticket_sn == found.sn), None)

    async def _applied(self, dags: frozenset[str]) -> list[CollectorRow]:
        """Return the collectors that these DAGs applied for; none while their store is down."""
        try:
            return await self._collectors.get(dags, lambda: in_thread(self.collectors.listed, dags))
        except StoreUnavailable:
            return []


def router(views: Views) -> APIRouter:
    """Return the routes below ``/bkitsm/api`` that read."""
    routes = APIRouter(prefix="/api", dependencies=[Depends(secured)])

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


async def in_thread(blocking: Callable[..., T], *arguments: Any) -> T:
    """Run a blocking function in one of the pages' threads."""
    return await asyncio.get_running_loop().run_in_executor(_threads(), partial(blocking, *arguments))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="bkitsm-pages")


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
    collector: str = "",
    sort: Sort = Sort.SINCE,
    descending: bool = True,
    page: Annotated[int, Query(ge=1)] = 1,
    size: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE_SIZE,
) -> Wanted:
    filters = {"search": search, "dag_id": dag_id, "run_id": run_id, "collector": collector}
    return Wanted(view=view, sort=sort, descending=descending, page=page, size=size, **filters)


def _task(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> TaskKey:
    return TaskKey(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)


def _name(row: CollectorRow) -> str:
    return f"{row.collector_config_id} ({row.bklog_conn_id})"
