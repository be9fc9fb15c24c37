# SPDX-License-Identifier: Apache-2.0
"""``BkItsmPlugin``: the callback endpoint and the approvals pages in Airflow's API server.

Every component of Airflow loads all plugins. So this module imports nothing heavy before the first request; a
triggerer imports what waits need before its event loop runs.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from starlette.types import ASGIApp

log = logging.getLogger(__name__)

_PREFIX = "/bkitsm"


class _Apps(Sequence[dict[str, Any]]):
    """The app that Airflow mounts; made when Airflow asks for it, since only an API server has FastAPI loaded."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: Any) -> Any:
        return [{"app": _lazy_app(), "url_prefix": _PREFIX, "name": "BlueKing ITSM"}][index]


@cache
def _lazy_app() -> ASGIApp:
    from airflow_provider_bkitsm.plugins.lifetime import LazyApp

    return LazyApp(_app)


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
    app, approvals = create_app(metadata), views.ApprovalViews(metadata)
    app.include_router(pages.router())
    app.mount(api.PATH, api.create_api(approvals))
    _change_host()
    return Secured(app)


def _change_host() -> None:
    """Change Airflow's API server itself, only as an administrator demands it by options of ``[bkitsm]``."""
    from airflow_provider_bkitsm import settings, version_compat

    if settings.initialize_metrics():
        version_compat.initialize_metrics()
    if settings.freeze_gc():
        # An API server keeps a million objects for its whole life. A full garbage collection visits all of them,
        # which stops the server for a third of a second, every 25 s at 50 callbacks a second. Now it skips them.
        gc.collect()
        gc.freeze()


_APPS: Any = _Apps()
# Relative addresses, so that a path prefix of Airflow's base_url stays in front.
_MENU = {"destination": "nav", "category": "browse"}
_VIEWS: list[Any] = [
    {"name": "Approvals", "href": "bkitsm/approvals", "url_route": "bkitsm-approvals", **_MENU},
    {"name": "Collectors", "href": "bkitsm/collectors", "url_route": "bkitsm-collectors", **_MENU},
    {
        "name": "Approvals",
        "href": "bkitsm/approvals?dag_id={DAG_ID}",
        "url_route": "bkitsm-dag-approvals",
        "destination": "dag",
    },
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


def _react_apps() -> list[Any]:
    """Return the count of waiting approvals on Airflow's Home, unless an administrator wants none.

    Airflow 3.1 takes a relative address as relative to a script of its own. So this one is a path from the root.
    """
    from airflow_provider_bkitsm import settings
    from airflow_provider_bkitsm.version_compat import airflow_conf

    try:
        below = urlsplit(airflow_conf().get("api", "base_url", fallback="") or "").path.rstrip("/")
        wanted = settings.home_count()
    except Exception as error:
        # Without the plugin no callback would arrive.
        log.warning("Airflow's Home does not show how many approvals wait: %s", error)
        return []
    bundle = {"bundle_url": f"{below}{_PREFIX}/assets/home.js", "url_route": "bkitsm-home"}
    return [{"name": "BkItsmWaitingApprovals", "destination": "dashboard", **bundle}] if wanted else []


def requester(dag_run: Any, default: str = "") -> str:
    """Return who asks in a run; see :func:`airflow_provider_bkitsm.tickets.requester.requester`."""
    from airflow_provider_bkitsm.tickets.requester import requester

    return requester(dag_run, default)


_MACROS: list[Any] = [requester]

# What waits need. Airflow imports a trigger's module in the event loop, when the first trigger comes: that would
# stop all triggers of the process for a tenth of a second, and for seconds on a busy machine.
_OF_WAITS = (
    "airflow_provider_bkitsm.triggers.ticket",
    "airflow_provider_bkitsm.hooks.store",
    "airflow_provider_bkitsm.tickets.ownership_records",
    "airflow_provider_bkitsm.tickets.poller",
    "airflow_provider_bkitsm.hooks.loop_connections",
)


def _import_for_waits() -> None:
    """Import what waits need, and collect the garbage of all imports, which would come with the first waits."""
    for name in _OF_WAITS:
        try:
            import_module(name)
        except Exception:
            log.warning("%s could not be imported before the triggerer starts", name, exc_info=True)
    gc.collect()


class BkItsmPlugin(AirflowPlugin):
    """Mounts the provider's endpoints at ``/bkitsm``."""

    name = "bkitsm"
    fastapi_apps = _APPS
    external_views = _VIEWS
    macros = _MACROS

    @classmethod
    def on_load(cls, *_args: Any, **_kwargs: Any) -> None:
        """Read the options of the plugin; in a triggerer import what waits need.

        A triggerer loads its plugins before it forks the process of its loop. Not by a listener's ``on_starting``:
        while any listener is there, no wait ends without a worker.
        """
        cls.react_apps = _react_apps()
        if sys.argv[1:2] == ["triggerer"]:
            _import_for_waits()
