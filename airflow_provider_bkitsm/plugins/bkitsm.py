# SPDX-License-Identifier: Apache-2.0
"""``BkItsmPlugin``: the callback endpoint and the approvals pages in Airflow's API server.

Every component of Airflow loads its plugins, so nothing heavy is imported before the first request.
"""

from __future__ import annotations

import gc
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_PREFIX = "/bkitsm"


class LazyApp:
    """The app, made when it is first asked."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await _app()(scope, receive, send)


@cache
def _app() -> ASGIApp:
    from airflow_provider_bkitsm.hooks.pool import keep_clients_open
    from airflow_provider_bkitsm.hooks.store import keep_connections_open
    from airflow_provider_bkitsm.plugins import api, pages, views
    from airflow_provider_bkitsm.plugins.callback_route import create_app
    from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata
    from airflow_provider_bkitsm.plugins.security import Secured

    keep_connections_open()
    keep_clients_open()
    metadata = AirflowMetadata()
    app, seen = create_app(metadata), views.ApprovalViews(metadata)
    for room in (pages.router(), api.read_routes(seen), api.action_routes(seen)):
        app.include_router(room)
    _change_host()
    return Secured(app)


def _change_host() -> None:
    """Change what belongs to Airflow's API server, as far as an administrator asks for it in ``[bkitsm]``."""
    from airflow_provider_bkitsm import settings, version_compat

    if settings.initialize_metrics():
        version_compat.initialize_metrics()
    if settings.freeze_gc():
        # An API server holds a million objects for as long as it lives. Going through all of them stops it for a
        # third of a second, every 25 s at 50 callbacks a second. What lives now is left out from here on.
        gc.collect()
        gc.freeze()


_APPS: list[Any] = [{"app": LazyApp(), "url_prefix": _PREFIX, "name": "BlueKing ITSM"}]
# Relative, so that a path prefix of Airflow's base_url stays in front.
_MENU = {"destination": "nav", "category": "browse"}
_VIEWS: list[Any] = [
    {"name": "Approvals", "href": "bkitsm/approvals", "url_route": "bkitsm-approvals", **_MENU},
    {"name": "Collectors", "href": "bkitsm/collectors", "url_route": "bkitsm-collectors", **_MENU},
    {
        "name": "Approvals",
        "href": "bkitsm/approvals?view=all&dag_id={DAG_ID}&run_id={RUN_ID}",
        "url_route": "bkitsm-run-approvals",
        "destination": "dag_run",
    },
    {
        "name": "Ticket",
        "href": "bkitsm/ticket?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}",
        "url_route": "bkitsm-ticket",
        "destination": "task_instance",
    },
]


class BkItsmPlugin(AirflowPlugin):
    """Mounts the provider's endpoints at ``/bkitsm``."""

    name = "bkitsm"
    fastapi_apps = _APPS
    external_views = _VIEWS
