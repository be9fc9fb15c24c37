# SPDX-License-Identifier: Apache-2.0
"""The JSON API ``/bkitsm/api/v1``, for the pages and any other client (docs/json-api.md)."""

from __future__ import annotations

from collections.abc import Awaitable
from copy import deepcopy
from datetime import UTC, datetime
from functools import cache, partial
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.openapi.utils import get_openapi

from airflow_provider_bkitsm.approvals.list_query import cut
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.plugins.api_actions import action_routes
from airflow_provider_bkitsm.plugins.api_errors import answer_in_one_shape, refusals
from airflow_provider_bkitsm.plugins.api_models import (
    ApprovalList,
    CollectorDetail,
    CollectorList,
    Ticket,
    TicketList,
)
from airflow_provider_bkitsm.plugins.api_parameters import (
    ApprovalsPage,
    CollectorsPage,
    ExportedTickets,
    RequestedTask,
    TicketsPage,
)
from airflow_provider_bkitsm.plugins.concurrency import in_thread
from airflow_provider_bkitsm.plugins.security import SignedIn, check_storable, readable_dags, signed_in
from airflow_provider_bkitsm.plugins.store_reader import collector_row
from airflow_provider_bkitsm.plugins.views import ApprovalViews

T = TypeVar("T")

PATH = "/api/v1"
"""Where the plugin's app mounts the API."""

# The major version is in the path. The minor one counts what was added to it.
_VERSION = "1.1"
_DESCRIPTION = """\
Approvals in BlueKing ITSM that tasks of this Airflow wait for, and the log collectors that are applied for.

Every request needs a token of this Airflow (`POST /auth/token`), and shows what its owner may read in Airflow: a
DAG that they may not read is in no answer. Times are RFC 3339, in UTC. A text without a value is empty, anything
else null. Fields, parameters and members of enumerations may be added within v1; a client ignores those that it
does not know.
"""
_SECURITY = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of this Airflow, as `POST /auth/token` returns it.",
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "_token",
        "description": "The same token as the cookie of Airflow's own pages.",
    },
}


def create_api(views: ApprovalViews) -> FastAPI:
    """Return the app to be mounted at ``PATH``. It has no pages of documentation: those load foreign scripts."""
    api = FastAPI(
        title="BlueKing ITSM in Airflow",
        version=_VERSION,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    answer_in_one_shape(api)
    api.include_router(_read_routes(views))
    api.include_router(action_routes(views))

    document = cache(partial(openapi_document, api))

    @api.get("/openapi.json", include_in_schema=False, dependencies=[Depends(signed_in)])
    async def openapi(request: Request) -> dict[str, Any]:
        # A path prefix of Airflow's base_url is part of it.
        return document() | {"servers": [{"url": request.scope["root_path"]}]}

    return api


def openapi_document(api: FastAPI) -> dict[str, Any]:
    """Return the API's OpenAPI document, with the address that the API has without a path prefix."""
    document = get_openapi(
        title=api.title,
        version=api.version,
        description=api.description,
        routes=api.routes,
        servers=[{"url": f"/bkitsm{PATH}"}],
    )
    # What Airflow's own dependency says of the token differs between its versions.
    document["components"]["securitySchemes"] = deepcopy(_SECURITY)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["security"] = [{name: []} for name in _SECURITY]
    for schema in document["components"]["schemas"].values():
        # Of a docstring the first paragraph: what follows is for who changes the code.
        schema["description"] = schema["description"].partition("\n\n")[0].replace("``", "`")
    return document


def _read_routes(views: ApprovalViews) -> APIRouter:
    routes = APIRouter(dependencies=[Depends(signed_in), Depends(check_storable)])

    @routes.get(
        "/approvals",
        tags=["approvals"],
        summary="List approvals",
        response_model=ApprovalList,
        responses=refusals(403, 404, 422, 500),
    )
    async def list_approvals(user: SignedIn, wanted: ApprovalsPage) -> dict[str, Any]:
        """Return one page of the approvals that are open, and of those decided in the last 30 days.

        Of the open ones there are at most 5,000, of the others 2,000. ITSM is asked about the rows of this page
        alone, and waited for two seconds at most: `stale` says what it did not confirm.
        """
        return await views.listed(user, wanted)

    @routes.get(
        "/tickets",
        tags=["approvals"],
        summary="List tickets",
        response_model=TicketList,
        responses=refusals(403, 404, 422, 500),
    )
    async def list_tickets(
        request: Request,
        user: SignedIn,
        wanted: TicketsPage,
        wait: Annotated[
            bool, Query(description="With `false` ITSM is asked behind the answer, which has what is known.")
        ] = True,
    ) -> dict[str, Any]:
        """Return one page of tickets, each with the tasks that wait or waited for it: the approvals by ticket.

        A ticket is left by the filters if one of its tasks is; `status` and periods are those of the ticket.
        """
        return await views.listed_tickets(request, user, wanted, waits_for_itsm=wait)

    @routes.get(
        "/tickets.csv",
        tags=["approvals"],
        summary="Export tickets",
        response_class=Response,
        responses=refusals(403, 404, 422, 500) | _CSV_ANSWER,
    )
    async def export_tickets(
        user: SignedIn,
        wanted: ExportedTickets,
        language: Annotated[Literal["en", "zh"], Query(description="Of headings and statuses.")] = "en",
    ) -> Response:
        """Return all tickets that the filters leave as CSV for a spreadsheet: UTF-8 with a byte order mark.

        An apostrophe stands before what a spreadsheet would take for a formula. Tickets are as they were last
        read: ITSM is not asked for it. Times are in UTC.
        """
        headers = {"Content-Disposition": f'attachment; filename="approvals-{datetime.now(UTC):%Y-%m-%d}.csv"'}
        content = await views.exported(user, wanted, language)
        return Response(content, media_type="text/csv; charset=utf-8", headers=headers)

    @routes.get(
        "/ticket",
        tags=["approvals"],
        summary="Show the ticket of a task instance",
        response_model=Ticket,
        responses=refusals(403, 404, 422, 500),
    )
    async def get_ticket(request: Request, user: SignedIn, task: RequestedTask) -> dict[str, Any]:
        """Return the ticket that a task instance waits for, waited for or opened, with its story in ITSM."""
        return await views.ticket(request, user, task)

    @routes.get(
        "/collectors",
        tags=["collectors"],
        summary="List log collectors",
        response_model=CollectorList,
        responses=refusals(403, 404, 422, 500, 503),
    )
    async def list_collectors(user: SignedIn, wanted: CollectorsPage) -> dict[str, Any]:
        """Return one page of the log collectors that DAGs have applied for, the latest change first.

        Only the 2,000 collectors that were changed last are looked at.
        """
        dags = await in_thread(readable_dags, user)
        rows = await _or_unavailable(in_thread(views.collectors.listed, dags))
        found = [row for row in map(collector_row, rows) if wanted.matches(row)]
        shown, page, pages = cut(found, wanted.page, wanted.size)
        return {"rows": shown, "page": page, "pages": pages, "total": len(found), "now": datetime.now(UTC)}

    @routes.get(
        "/collector",
        tags=["collectors"],
        summary="Show a log collector",
        response_model=CollectorDetail,
        responses=refusals(403, 404, 422, 500, 503),
    )
    async def get_collector(
        user: SignedIn,
        bklog_conn_id: Annotated[str, Query(description="Airflow's connection to its log platform.")],
        collector_config_id: Annotated[int, Query(ge=0, lt=2**63, description="Its number there.")],
    ) -> dict[str, Any]:
        """Return a collector with payload and history, if a DAG that the caller may read has applied for it."""
        dags = await in_thread(readable_dags, user)
        detail = await _or_unavailable(
            in_thread(views.collectors.detail, bklog_conn_id, collector_config_id, dags)
        )
        if detail is None:
            raise HTTPException(404, "No such collector")
        return {**detail, "now": datetime.now(UTC)}

    return routes


async def _or_unavailable(read: Awaitable[T]) -> T:
    """Await a read of the collectors' store.

    :raises HTTPException: 503, the store's database cannot be used, or the one that is set is none that could.
    """
    try:
        return await read
    except ItsmError as error:
        raise HTTPException(503, str(error)) from None


_CSV_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "A line for each ticket.", "content": {"text/csv": {"schema": {"type": "string"}}}}
}
