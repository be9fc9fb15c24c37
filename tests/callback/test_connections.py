# SPDX-License-Identifier: Apache-2.0
"""Which connections a caller can make Airflow look up: hardly any."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from airflow_provider_bkitsm.callback import connections as module
from airflow_provider_bkitsm.callback.connections import Connections, TooManyLookupsError
from airflow_provider_bkitsm.callback.signature import signing_keys
from airflow_provider_bkitsm.hooks.connection import Gateway

HERE = Gateway(conn_id="here", root="https://itsm.example.com", app_code="app", app_secret="a secret")


@dataclass
class Airflow:
    """Airflow's secrets backends, and the clock."""

    there: dict[str, Gateway] = field(default_factory=lambda: {"here": HERE})
    read: list[str] = field(default_factory=list)
    now: float = 1000.0
    down: bool = False

    async def __call__(self, conn_id: str) -> Gateway | None:
        self.read.append(conn_id)
        await asyncio.sleep(0)
        if self.down:
            raise ConnectionError("no secrets backend")
        return self.there.get(conn_id)


@pytest.fixture
def airflow() -> Airflow:
    return Airflow()


@pytest.fixture
def connections(airflow) -> Connections:
    return Connections(airflow, clock=lambda: airflow.now)


async def test_a_connection_is_read_once_a_minute(airflow, connections):
    found = [await connections.get("here") for _ in range(400)]
    assert found == [found[0]] * 400
    assert (found[0].gateway, found[0].keys) == (HERE, signing_keys(HERE))
    assert airflow.read == ["here"]
    airflow.now += module.REMEMBERED_SECONDS
    await connections.get("here")
    assert airflow.read == ["here", "here"]


async def test_so_is_one_that_does_not_exist(airflow, connections):
    assert [(await connections.get("nowhere")).gateway for _ in range(400)] == [None] * 400
    assert airflow.read == ["nowhere"]


async def test_callers_at_the_same_time_share_one_look_up(airflow, connections):
    await asyncio.gather(*(connections.get("here") for _ in range(400)))
    assert airflow.read == ["here"]


async def test_made_up_ids_are_looked_up_a_few_times_and_no_more_until_a_minute_has_passed(airflow, connections):
    refused = 0
    for number in range(401):
        try:
            await connections.get(f"made-up-{number}")
        except TooManyLookupsError:
            refused += 1
    assert refused == 401 - module.UNKNOWN_LIMIT
    assert len(airflow.read) == module.UNKNOWN_LIMIT
    airflow.now += module.REMEMBERED_SECONDS
    assert (await connections.get("made-up-400")).gateway is None


async def test_made_up_ids_at_the_same_time_are_no_more(airflow, connections):
    each = (connections.get(f"made-up-{number}") for number in range(401))
    found = await asyncio.gather(*each, return_exceptions=True)
    assert sum(isinstance(one, TooManyLookupsError) for one in found) == 401 - module.UNKNOWN_LIMIT
    assert len(airflow.read) == module.UNKNOWN_LIMIT


async def test_p1_what_is_known_or_waited_for_is_found_in_a_flood_of_made_up_ids(airflow, connections):
    airflow.there["new"] = replace(HERE, conn_id="new")
    await connections.get("here")
    for number in range(module.UNKNOWN_LIMIT):
        await connections.get(f"made-up-{number}")
    airflow.now += module.REMEMBERED_SECONDS - 0.001
    with pytest.raises(TooManyLookupsError):
        await connections.get("new")
    assert (await connections.get("new", is_awaited=True)).gateway == airflow.there["new"]
    airflow.now += 0.002
    assert (await connections.get("here")).gateway == HERE


async def test_connections_that_exist_use_up_no_look_ups(airflow, connections):
    for number in range(3 * module.UNKNOWN_LIMIT):
        airflow.there[f"team/{number}"] = replace(HERE, conn_id=f"team/{number}")
        assert (await connections.get(f"team/{number}")).gateway is not None


async def test_p1_a_new_key_is_found_when_a_signature_doubts_the_old_one_and_no_sooner_than_seconds_later(
    airflow, connections
):
    old = await connections.get("here")
    airflow.there["here"] = replace(HERE, app_secret="another secret")
    assert await connections.get_doubted("here") == old
    airflow.now += module.REREAD_SECONDS
    doubted = [await connections.get_doubted("here") for _ in range(400)]
    assert {one.keys for one in doubted} == {signing_keys(airflow.there["here"])}
    assert airflow.read == ["here", "here"]


async def test_a_doubt_looks_the_same_where_there_is_no_connection(airflow, connections):
    for conn_id in ("here", "nowhere"):
        await connections.get(conn_id)
        airflow.now += module.REREAD_SECONDS
        connection = await connections.get_doubted(conn_id)
        assert connection.doubted_at == airflow.now
        assert (await connections.get_doubted(conn_id)).doubted_at == airflow.now
    assert airflow.read == ["here", "here", "nowhere"]


async def test_p1_an_outage_of_the_secrets_backend_leaves_what_was_read_before(airflow, connections):
    await connections.get("here")
    airflow.down = True
    airflow.now += module.REMEMBERED_SECONDS
    for _ in range(10):
        assert (await connections.get("here")).gateway == HERE
    assert len(airflow.read) == 2
    with pytest.raises(ConnectionError):
        await connections.get("never-read")
    airflow.now += module.REREAD_SECONDS
    await connections.get("here")
    assert airflow.read.count("here") == 3


async def test_keys_that_cannot_be_used_are_no_keys(airflow, connections):
    airflow.there["here"] = replace(HERE, extra={"callback_signing_keys": ["short"]})
    assert (await connections.get("here")).gateway is None


async def test_what_is_remembered_is_bounded(airflow, connections, monkeypatch):
    monkeypatch.setattr(module, "_REMEMBERED_LIMIT", 2)
    for number in range(4):
        airflow.there[str(number)] = replace(HERE, conn_id=str(number))
        await connections.get(str(number))
    await connections.get("3")
    await connections.get("0")
    assert airflow.read == ["0", "1", "2", "3", "0"]


@pytest.mark.parametrize("conn_id", ["here", "nowhere"])
@pytest.mark.parametrize("seconds", [0.02, 0.4])
async def test_p8_the_time_of_an_answer_does_not_tell_whether_a_connection_exists(
    airflow, monkeypatch, conn_id, seconds
):
    """However slow the secrets backend is: only a connection that exists is read anew."""
    slept = []

    async def sleep(left):
        slept.append(left)

    async def read(one):
        airflow.now += seconds
        return airflow.there.get(one)

    connections = Connections(read, clock=lambda: airflow.now)
    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    await connections.get(conn_id)
    airflow.now += module.REREAD_SECONDS
    began = airflow.now
    await connections.conceal(await connections.get_doubted(conn_id), 0.1)
    assert airflow.now - began + sum(slept) == pytest.approx(max(seconds, 0.1))
