# SPDX-License-Identifier: Apache-2.0
"""Connections of any id as a worker and a triggerer read them, through Airflow's own API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook, ItsmHook
from airflow_provider_bkitsm.hooks.store import store_engine
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.version_compat import AirflowNotFoundException
from tests.plugins.database import airflow_database
from tests.supervision import answer, execution_api

FIELDS = {"conn_type": "bkitsm", "host": "https://itsm.example.com", "login": "app", "password": "word"}
DATABASE = {"conn_type": "postgres", "host": "127.0.0.1", "port": 5, "schema": "s"}
IN_DATABASE = ("plain", "审批连接", "bk:itsm#1", "bk:itsm", "连接#1", "é", "c" * 200, "连" * 200, r"a\b!(c)")


@pytest.fixture(scope="module")
def api(tmp_path_factory) -> Iterator[Any]:
    """Airflow's Execution API with connections in its database."""
    from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    home = tmp_path_factory.mktemp("lookup")
    with airflow_database(home, f"sqlite:///{home / 'airflow.db'}"):
        with create_session(scoped=False) as session:
            session.add_all(Connection(conn_id=f"库{one}", **DATABASE, login=one) for one in IN_DATABASE)
            session.add_all(
                Connection(conn_id=one, **FIELDS, extra=json.dumps({"bk_username": f"of-{number}"}))
                for number, one in enumerate(IN_DATABASE)
            )
        yield InProcessExecutionAPI()


def supervised(monkeypatch: pytest.MonkeyPatch, name: str, transport: Any) -> None:
    """Let this process read connections as one that a supervisor with this transport has started.

    :param name: class of what it asks the supervisor through.
    """
    from airflow.sdk.execution_time import task_runner

    api = execution_api(transport)

    async def asend(_self: Any, message: Any) -> Any:
        return answer(api, message)

    comms = type(name, (), {"send": lambda _self, message: answer(api, message), "asend": asend})()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", comms, raising=False)


@pytest.fixture
def _triggerer(api, monkeypatch):
    supervised(monkeypatch, "TriggerCommsDecoder", api.transport)


@pytest.fixture
def _worker(api, monkeypatch):
    """A worker's supervisor asks an API server over HTTP."""
    from fastapi.testclient import TestClient

    over_http = TestClient(api.app)._transport
    supervised(monkeypatch, "CommsDecoder", over_http)


@pytest.mark.usefixtures("_triggerer")
@pytest.mark.parametrize("conn_id", IN_DATABASE)
async def test_p1_a_triggerer_reads_a_connection_of_airflows_database(conn_id):
    async with ItsmAsyncHook(conn_id) as hook:
        gateway = await hook.aread_gateway()
    assert (gateway.conn_id, gateway.username) == (conn_id, f"of-{IN_DATABASE.index(conn_id)}")


@pytest.mark.usefixtures("_worker")
@pytest.mark.parametrize("conn_id", IN_DATABASE)
def test_p6_a_worker_reads_this_connection_and_no_other(conn_id):
    gateway = ItsmHook(conn_id).gateway
    assert (gateway.conn_id, gateway.username) == (conn_id, f"of-{IN_DATABASE.index(conn_id)}")


@pytest.mark.parametrize("process", ["_worker", "_triggerer"])
@pytest.mark.parametrize("conn_id", [one for one in IN_DATABASE if len(one) < 200])
def test_p1_a_store_may_have_any_id_that_a_connection_may_have(conn_id, process, request):
    request.getfixturevalue(process)
    assert store_engine(f"库{conn_id}").url.username == conn_id


@pytest.mark.usefixtures("_worker")
@pytest.mark.parametrize("conn_id", ["team/itsm", "团队/审批 1", "a#b?c%41"])
def test_connections_of_the_environment_have_any_id(conn_id, monkeypatch):
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(FIELDS))
    assert ItsmHook(conn_id).gateway.conn_id == conn_id


@pytest.mark.usefixtures("_worker")
def test_where_an_id_with_a_slash_is_not_found_the_reason_says_why():
    with pytest.raises(AirflowNotFoundException, match="with a slash"):
        ItsmHook("team/itsm").get_conn()


@pytest.mark.parametrize("conn_id", ["missing", "没有", "team/missing"])
@pytest.mark.parametrize("process", ["_worker", None])
def test_where_no_connection_is_found_the_message_says_what_became_of_the_ticket(conn_id, process, request):
    if process:
        request.getfixturevalue(process)
    with pytest.raises(AirflowNotFoundException, match=r"isn't defined.*No ticket was touched; a retry looks for"):
        ItsmHook(conn_id).get_conn()


@pytest.mark.usefixtures("_triggerer")
@pytest.mark.since_airflow("3.3", "an earlier Airflow has no teams, or no triggers of them")
@pytest.mark.parametrize("conn_id", ["of_a_team", "团队的"])
async def test_a_teams_connection_is_refused_where_the_wait_begins(conn_id, monkeypatch):
    """Airflow tells its triggerers no team."""
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    monkeypatch.setenv(f"AIRFLOW_CONN__BLUE___{conn_id.upper()}", json.dumps(FIELDS))
    async with ItsmAsyncHook(conn_id) as hook:
        with pytest.raises(ItsmConfigurationError, match="all teams"):
            await hook.aread_gateway()


@pytest.mark.usefixtures("_triggerer")
@pytest.mark.parametrize("teams", ["True", "False"])
async def test_a_connection_of_all_teams_is_found(monkeypatch, teams):
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", teams)
    async with ItsmAsyncHook("审批连接") as hook:
        assert (await hook.aread_gateway()).conn_id == "审批连接"


@pytest.mark.usefixtures("_triggerer")
async def test_p1_without_teams_a_connection_that_is_missing_may_come_back():
    async with ItsmAsyncHook("missing") as hook:
        with pytest.raises(AirflowNotFoundException):
            await hook.aread_gateway()
