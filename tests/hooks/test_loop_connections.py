# SPDX-License-Identifier: Apache-2.0
"""Connections of an event loop are kept for the next call, and only while nothing speaks against it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from airflow_provider_bkitsm.hooks.transport import AsyncTransport, NoAnswerError, Reply, SyncTransport
from airflow_provider_bkitsm.itsm.protocol import Front
from airflow_provider_bkitsm.itsm.v2 import calls
from tests.hooks.network import ANSWER, Authority, gateway_at

READ = calls.ticket_approval_result(["REQ1"])
WRITE = calls.operate_ticket(sn="REQ1", action_type="WITHDRAW", operator="a", action_message="m")
WHOLE = f"HTTP/1.1 200 OK\r\nContent-Length: {len(ANSWER)}\r\n\r\n".encode() + ANSWER


class Server:
    """Answers every request alike and counts connections.

    :param behind: bytes that it sends a moment after each answer; None ends the connection then.
    """

    def __init__(self, answer: bytes = WHOLE, behind: bytes | None = b"") -> None:
        self.answer, self.behind = answer, behind
        self.opened = self.open = self.seconds = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened, self.open = self.opened + 1, self.open + 1
        try:
            await self._answer(reader, writer)
        except ConnectionError:
            pass  # who has not read what is sent too much resets the connection
        finally:
            self.open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            await asyncio.sleep(self.seconds)
            writer.write(self.answer)
            await writer.drain()
            if self.behind is None:
                break
            await asyncio.sleep(0.02)
            writer.write(self.behind)


def address_of(listening: asyncio.Server) -> str:
    return f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def serving(server: Server, **extra: str) -> AsyncIterator[AsyncTransport]:
    async with await asyncio.start_server(server.talk, "127.0.0.1", 0) as listening:
        transport = AsyncTransport(gateway_at(address_of(listening), **extra))
        try:
            yield transport
        finally:
            await transport.close()
            await until(lambda: not server.open)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def sent_at_once(transport: AsyncTransport, times: int) -> list[Reply]:
    return await asyncio.gather(*(transport.send(READ) for _ in range(times)))


async def test_calls_one_after_the_other_share_a_connection():
    server = Server()
    async with serving(server) as transport:
        for _ in range(5):
            assert (await transport.send(READ)).body == ANSWER
    assert server.opened == 1


async def test_calls_at_the_same_time_have_connections_of_their_own():
    server = Server()
    async with serving(server) as transport:
        replies = await sent_at_once(transport, 30)
        assert [one.body for one in replies] == [ANSWER] * 30
        # A few of them are enough for what comes next.
        await until(lambda: server.open <= 20)
        await sent_at_once(transport, 20)
    assert server.opened == 30


@pytest.mark.parametrize("behind", [None, WHOLE, b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"])
async def test_p3_what_came_before_the_request_is_no_answer_to_it(behind):
    server = Server(behind=behind)
    async with serving(server) as transport:
        for _ in range(3):
            assert (await transport.send(READ)).body == ANSWER
            await asyncio.sleep(0.05)
    assert server.opened == 3


@pytest.mark.parametrize(
    "answer", [WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), b"HTTP/1.0 200 OK\r\n\r\n" + ANSWER]
)
async def test_a_connection_that_its_server_gives_up_is_not_used_again(answer):
    server = Server(answer, behind=None)
    async with serving(server) as transport:
        for _ in range(3):
            assert (await transport.send(READ)).body == ANSWER
    assert server.opened == 3


async def test_p2_a_write_on_a_connection_that_was_cut_counts_as_sent():
    server = Server(b"")
    async with serving(server) as transport:
        server.behind = None
        with pytest.raises(NoAnswerError) as caught:
            await transport.send(WRITE)
    assert (caught.value.sent, caught.value.dropped, server.opened) == (True, True, 1)


async def test_a_call_that_is_given_up_takes_its_connection_with_it():
    server = Server()
    async with serving(server) as transport:
        await transport.send(READ)
        server.seconds = 5
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(transport.send(READ), 0.1)
        server.seconds = 0
        assert (await transport.send(READ)).body == ANSWER
        assert server.opened == 2
        server.open -= 1  # it still sleeps


async def test_closing_lets_a_call_end_and_keeps_nothing_open():
    server = Server()
    async with serving(server) as transport:
        server.seconds = 0.2
        under_way = asyncio.create_task(transport.send(READ))
        await until(lambda: server.open == 1)
        await transport.close()
        assert (await under_way).body == ANSWER
        await until(lambda: server.open == 0)


@pytest.mark.parametrize("kind", [SyncTransport, AsyncTransport])
async def test_certificates_that_are_renewed_for_weeks_leave_no_connections_behind(kind, tmp_path):
    authority, server = Authority.make(tmp_path, "ca"), Server()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.server)
    async with await asyncio.start_server(server.talk, "127.0.0.1", 0, ssl=context) as listening:
        address = address_of(listening).replace("http:", "https:")
        transport = kind(gateway_at(address, verify=str(authority.bundle)))
        for _ in range(5):
            sent = transport.send(READ) if kind is AsyncTransport else asyncio.to_thread(transport.send, READ)
            assert (await sent).status_code == 200
            with authority.bundle.open("ab") as bundle:
                bundle.write(b"\n")
        assert server.opened == 5
        await until(lambda: server.open == 1)
        closed = transport.close()
        if closed is not None:
            await closed
        await until(lambda: not server.open)


async def test_a_call_for_the_esb_does_not_go_to_the_gateway_on_an_open_connection():
    gateway, esb = Server(), Server(WHOLE.replace(ANSWER, ANSWER[::-1]))
    async with await asyncio.start_server(esb.talk, "127.0.0.1", 0) as at_esb:
        async with serving(gateway, esb_url=f"{address_of(at_esb)}/api/c/compapi/v2/itsm") as transport:
            for _ in range(2):
                assert (await transport.send(READ)).body == ANSWER
                assert (await transport.send(replace(READ, door=Front.ESB))).body == ANSWER[::-1]
        await until(lambda: not esb.open)
    assert (gateway.opened, esb.opened) == (1, 1)


async def test_p3_what_came_with_an_answer_and_was_not_asked_for_is_no_answer_to_the_next_request():
    server = Server(WHOLE + WHOLE.replace(ANSWER, ANSWER[::-1]))
    async with serving(server) as transport:
        for _ in range(3):
            assert (await transport.send(READ)).body == ANSWER
    assert server.opened == 3


async def test_what_a_server_says_before_its_answer_is_not_the_answer():
    server = Server(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + WHOLE)
    async with serving(server) as transport:
        for _ in range(3):
            assert (await transport.send(READ)).body == ANSWER
    assert server.opened == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"no HTTP\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        WHOLE[:-1],
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000,
    ],
)
async def test_an_answer_that_is_none_is_not_believed(answer):
    server = Server(answer, behind=None)
    async with serving(server) as transport:
        with pytest.raises(NoAnswerError):
            await transport.send(READ)
