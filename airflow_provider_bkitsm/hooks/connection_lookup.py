# SPDX-License-Identifier: Apache-2.0
"""Airflow's ids in requests to its Execution API, and connections found by them whatever characters they have.

Airflow puts ids into the path of a request as they are. In a triggerer it makes that request in its own process,
through WSGI, where a path has to be UTF-8 read as Latin-1 (PEP 3333): a2wsgi takes it so, but httpx does not give
it so. There an id that is not ASCII raises an error, after which a triggerer of Airflow 3.1 answers no trigger.
See docs/connections.md#names-and-ids.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.version_compat import AirflowNotFoundException, airflow_conf

if TYPE_CHECKING:
    from airflow.sdk import Connection

log = logging.getLogger(__name__)

# Characters that end a path or a part of it, or stand for others in it.
_ESCAPES = {ord("%"): "%25", ord("#"): "%23", ord("?"): "%3F", ord("/"): "%2F"}
# These parts of a path lead elsewhere.
_DOTS = {".": "%2E", "..": "%2E%2E"}


def path_segment(text: str, *, in_process: bool) -> str:
    """Return an id as a message to Airflow's supervisor has to hold it for the Execution API to read the id.

    No id leads to another address, whoever has chosen it.

    :param in_process: the supervisor is a triggerer's.
    """
    escaped = _DOTS.get(text) or text.translate(_ESCAPES)
    if in_process and not text.isascii() and not _wsgi_paths_are_latin_1():
        return escaped.encode().decode("latin-1")
    return escaped


@cache
def _wsgi_paths_are_latin_1() -> bool:
    """Whether httpx gives the path of a request to WSGI as PEP 3333 has it."""
    import httpx

    paths: list[str] = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        paths.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return []

    transport = httpx.WSGITransport(app=application)
    transport.handle_request(httpx.Request("GET", "http://in-process/é"))
    return paths == ["/é".encode().decode("latin-1")]


def find_connection(conn_id: str) -> Connection:
    """Return a connection, as ``BaseHook.get_connection`` does. Blocks.

    :raises AirflowNotFoundException: Airflow does not find it.
    """
    from airflow.sdk import BaseHook

    segment = path_segment(conn_id, in_process=_is_triggerer())
    if not _asks_supervisor() or segment == conn_id:
        try:
            return BaseHook.get_connection(conn_id)
        except AirflowNotFoundException as error:
            raise AirflowNotFoundException(f"{error}{_UNTOUCHED}") from None
    from airflow.sdk.execution_time.secrets.execution_api import ExecutionAPISecretsBackend
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    for backend in ensure_secrets_backend_loaded():
        try:
            found = backend.get_connection(segment if isinstance(backend, ExecutionAPISecretsBackend) else conn_id)
        except PermissionError:
            raise
        except Exception as error:
            log.debug("%s cannot be asked for a connection: %s", type(backend).__name__, type(error).__name__)
            continue
        if found:
            connection: Connection = found
            return connection
    raise AirflowNotFoundException(
        f"The conn_id `{conn_id}` isn't defined{_SLASH if '/' in conn_id else ''}{_UNTOUCHED}"
    )


async def afind_connection(conn_id: str) -> Connection:
    """Return a connection as ``find_connection`` does, for an event loop.

    :raises ItsmConfigurationError: it is a team's, which no triggerer can read.
    """
    try:
        return await _afind_connection(conn_id)
    except AirflowNotFoundException:
        if await _is_hidden_from_triggerers(conn_id):
            raise ItsmConfigurationError(f"The conn_id `{conn_id}` isn't defined{_TEAM}") from None
        raise


async def _afind_connection(conn_id: str) -> Connection:
    from airflow.sdk import BaseHook
    from asgiref.sync import sync_to_async

    if conn_id.isascii() and path_segment(conn_id, in_process=False) == conn_id:
        return await BaseHook.aget_connection(conn_id)
    # On Airflow 3.1 only asgiref's threads can ask the triggerer's supervisor.
    return await sync_to_async(find_connection, thread_sensitive=False)(conn_id)


async def _is_hidden_from_triggerers(conn_id: str) -> bool:
    """Whether Airflow says, with teams, that there is no such connection; an API that is down says nothing."""
    if not (_is_triggerer() and airflow_conf().getboolean("core", "multi_team", fallback=False)):
        return False
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection

    question = GetConnection(conn_id=path_segment(conn_id, in_process=True))
    answer = await _supervisor().asend(question)
    return isinstance(answer, ErrorResponse) and answer.error == ErrorType.CONNECTION_NOT_FOUND


_TEAM = (
    " for triggerers. With [core] multi_team they, and ITSM's callback, read connections of all teams only, not"
    " those of one. Define it for all teams, or wait on a worker (deferrable=False). The ticket is as it was"
)


_UNTOUCHED = ". No ticket was touched; a retry looks for the connection again"
_SLASH = (
    " where this process reads it. Tasks cannot read a connection with a slash in its id from Airflow's own"
    " database, only from environment variables or a secrets backend that workers and triggerers have themselves"
)


def _asks_supervisor() -> bool:
    """Whether this process reads connections through a supervisor, as workers and triggerers do."""
    return _supervisor() is not None


def _is_triggerer() -> bool:
    return type(_supervisor()).__name__ == "TriggerCommsDecoder"


def _supervisor() -> Any:
    from airflow.sdk.execution_time import task_runner

    return getattr(task_runner, "SUPERVISOR_COMMS", None)
