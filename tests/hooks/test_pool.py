# SPDX-License-Identifier: Apache-2.0
"""One client for all hooks of a connection in one event loop, for as long as one of them uses it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest

from airflow_provider_bkitsm.hooks import loop_connections, pool
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.hooks.loop_connections import LoopConnections
from airflow_provider_bkitsm.itsm import errors

LOGIN = {"login": "sandbox", "password": "sandbox-secret"}


class Client(LoopConnections):
    """An HTTP client that knows whether it was closed."""

    is_closed = False

    async def close(self) -> None:
        self.is_closed = True
        await super().close()


@pytest.fixture
def clients(monkeypatch) -> list[Client]:
    """Collect every HTTP client that is opened."""
    opened: list[Client] = []

    def open_client(**options) -> Client:
        opened.append(Client(**options))
        return opened[-1]

    monkeypatch.setattr(loop_connections, "LoopConnections", open_client)
    return opened


@pytest.fixture
def other(sandbox, connections) -> str:
    connections("other", conn_type="bkitsm", host=sandbox.itsm_url, **LOGIN)
    return "other"


async def use(conn_id: str = "bkitsm_default", together: asyncio.Barrier | None = None) -> bool:
    async with ItsmAsyncHook(conn_id) as hook:
        services = await hook.get_services()
        if together is not None:
            await together.wait()
        return bool(services)


async def test_fifty_hooks_open_one_client_and_the_last_closes_it(connections, clients):
    together = asyncio.Barrier(50)
    assert set(await asyncio.gather(*(use(together=together) for _ in range(50)))) == {True}
    assert len(clients) == 1
    assert clients[0].is_closed


async def test_fifty_hooks_read_the_connection_once(connections, monkeypatch):
    reads = []
    read = ItsmAsyncHook.aread_gateway

    async def counted(hook):
        reads.append(hook)
        return await read(hook)

    monkeypatch.setattr(ItsmAsyncHook, "aread_gateway", counted)
    together = asyncio.Barrier(50)
    await asyncio.gather(*(use(together=together) for _ in range(50)))
    assert len(reads) == 1


async def test_a_client_stays_open_while_one_hook_uses_it(connections, clients):
    async with ItsmAsyncHook() as staying:
        await staying.get_services()
        await use()
        assert not clients[0].is_closed
        assert await staying.get_services()
    assert len(clients) == 1
    assert clients[0].is_closed


async def test_connections_do_not_share(connections, other, clients):
    together = asyncio.Barrier(2)
    await asyncio.gather(use(together=together), use(other, together=together))
    assert len(clients) == 2


def test_event_loops_do_not_share(connections, clients):
    def thread() -> bool:
        return asyncio.run(use())

    with ThreadPoolExecutor(2) as pool:
        assert [one.result() for one in [pool.submit(thread), pool.submit(thread)]] == [True, True]
    assert len(clients) == 2
    assert all(client.is_closed for client in clients)


async def test_leaving_does_not_break_anothers_request(connections, sandbox, clients):
    sandbox.fault("get_services", "delay", seconds=0.3)
    async with ItsmAsyncHook() as leaving, ItsmAsyncHook() as staying:
        await leaving.aget_conn()
        request = asyncio.create_task(staying.get_services())
        await asyncio.sleep(0.05)
        await leaving.forget_connection()
        assert await request
    assert len(clients) == 1


async def test_forgetting_does_not_break_a_request_of_the_same_hook(connections, sandbox, clients):
    sandbox.fault("get_services", "delay", seconds=0.3)
    async with ItsmAsyncHook() as hook:
        request = asyncio.create_task(hook.get_services())
        await asyncio.sleep(0.05)
        await hook.forget_connection()
        assert not clients[0].is_closed
        assert await request
        assert clients[0].is_closed


async def test_a_rotated_secret_is_picked_up_and_nobody_else_is_disturbed(connections, sandbox, clients):
    connections("rotated", conn_type="bkitsm", host=sandbox.itsm_url, login="sandbox", password="old")
    async with ItsmAsyncHook("rotated") as one, ItsmAsyncHook("rotated") as two:
        for hook in (one, two):
            with pytest.raises(errors.ItsmAuthenticationError):
                await hook.get_services()
        connections("rotated", conn_type="bkitsm", host=sandbox.itsm_url, **LOGIN)
        await one.forget_connection()
        assert await one.get_services()
        with pytest.raises(errors.ItsmAuthenticationError):
            await two.get_services()
        await two.forget_connection()
        assert await two.get_services()
        assert [client.is_closed for client in clients] == [True, False]


async def test_forgetting_an_unchanged_connection_keeps_the_client(connections, clients):
    async with ItsmAsyncHook() as one, ItsmAsyncHook() as two:
        await one.get_services()
        await two.get_services()
        await one.forget_connection()
        await one.get_services()
    assert len(clients) == 1


async def test_a_connection_that_cannot_be_read_is_read_again_by_the_next(connections, sandbox, clients):
    connections("late", conn_type="bkitsm", host="")
    async with ItsmAsyncHook("late") as hook:
        with pytest.raises(errors.ItsmConfigurationError):
            await hook.get_services()
        connections("late", conn_type="bkitsm", host=sandbox.itsm_url, **LOGIN)
        assert await hook.get_services()


async def test_a_doubt_that_could_not_be_cleared_stays(connections, sandbox):
    async with ItsmAsyncHook() as staying, ItsmAsyncHook() as other:
        first = await staying.aget_conn()
        await other.aget_conn()
        await other.forget_connection()
        connections("bkitsm_default", conn_type="bkitsm", host="")
        with pytest.raises(errors.ItsmConfigurationError):
            await other.aget_conn()
        connections("bkitsm_default", conn_type="bkitsm", host=sandbox.itsm_url, **LOGIN)
        assert await other.aget_conn() is not first


def test_a_loop_that_died_without_closing_is_swept_out(connections):
    seen = []

    async def never_leave() -> None:
        hook = ItsmAsyncHook()
        await hook.get_services()
        seen.append(weakref.ref(asyncio.get_running_loop()))

    asyncio.run(never_leave())
    assert asyncio.run(use())
    asyncio.run(asyncio.sleep(0))
    gc.collect()
    assert seen[0]() is None


def test_nothing_is_kept_for_a_loop_after_its_last_hook(connections):
    asyncio.run(use())
    assert all(slot.current is None for slots in pool._slots.values() for slot in slots.values())


@pytest.fixture
def kept_open() -> Iterator[Callable[[float], None]]:
    """Keep clients open for a minute; return what makes it as many seconds."""
    pool.keep_clients_open(60.0)
    yield pool.keep_clients_open
    pool.keep_clients_open(0.0)


async def test_a_client_that_is_kept_open_serves_users_one_after_another(connections, clients, kept_open):
    for _ in range(5):
        assert await use()
    assert len(clients) == 1
    await asyncio.sleep(0.1)
    assert not clients[0].is_closed
    kept_open(0.1)
    assert await use()
    assert len(clients) == 1
    while not clients[0].is_closed:
        await asyncio.sleep(0.02)
    assert await use()
    assert len(clients) == 2


@pytest.mark.usefixtures("kept_open")
async def test_a_connection_that_was_changed_gets_a_client_of_its_own_and_the_old_one_is_closed(
    connections, sandbox, clients
):
    before = await ItsmAsyncHook().aread_gateway()
    for gateway in (before, replace(before, app_secret="another")):
        async with ItsmAsyncHook.for_gateway(gateway) as hook:
            assert (await hook.aget_conn()).gateway == gateway
            with suppress(errors.ItsmError):
                await hook.get_services()
    first, second = clients
    assert (first.is_closed, second.is_closed) == (True, False)


@pytest.mark.usefixtures("kept_open")
async def test_it_is_closed_after_its_last_user_where_it_is_in_use_meanwhile(connections, clients):
    before = await ItsmAsyncHook().aread_gateway()
    async with ItsmAsyncHook.for_gateway(before) as staying:
        await staying.get_services()
        async with ItsmAsyncHook.for_gateway(replace(before, app_secret="another")) as changed:
            await changed.aget_conn()
            assert not clients[0].is_closed
            assert await staying.get_services()
    assert clients[0].is_closed
