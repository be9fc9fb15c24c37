# SPDX-License-Identifier: Apache-2.0
"""No answer takes more memory or time than the limits, whatever a server sends."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat

import pytest

from airflow_provider_bkitsm.hooks.bklog import BkLogHook, BkLogUnavailableError
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook, ItsmHook
from airflow_provider_bkitsm.hooks.limits import LARGEST_ANSWER, Body, UnreadableAnswerError, step_timeouts
from airflow_provider_bkitsm.hooks.transport import AsyncTransport, NoAnswerError
from airflow_provider_bkitsm.itsm.errors import ItsmOutcomeUnknownError, ItsmTimeoutError
from airflow_provider_bkitsm.itsm.v2 import calls
from tests.hooks.network import ANSWER, CLIENTS, Send, gateway_at, raw_server

READ = calls.ticket_approval_result(["REQ1"])
WRITE = calls.operate_ticket(sn="REQ1", action_type="WITHDRAW", operator="a", action_message="m")
# Far beyond what a call may take with these.
PATIENCE = {"connect_timeout": 0.5, "read_timeout": 0.5}
FOR_EVER = 60


@pytest.fixture(params=list(CLIENTS))
def send(request) -> Send:
    return CLIENTS[request.param]


def answering(head: str, *pieces: bytes, then: Callable[[], Iterator[bytes]] = lambda: iter(())):
    """Return what a raw server says: a head, pieces of the body, and then what may have no end."""

    def answer(client: socket.socket) -> None:
        client.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        for piece in chain(pieces, then()):
            client.sendall(piece)

    return answer


def endless(piece: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: repeat(piece)


def dripping(first: bytes, drip: bytes) -> Callable[[], Iterator[bytes]]:
    def drips() -> Iterator[bytes]:
        yield first
        for _ in range(FOR_EVER * 20):
            time.sleep(0.05)
            yield drip

    return drips


def only(pieces: Callable[[], Iterator[bytes]]) -> Callable[[socket.socket], None]:
    """Return what a raw server says that is no answer as a whole."""

    def answer(client: socket.socket) -> None:
        for piece in pieces():
            client.sendall(piece)

    return answer


def bomb(size: int) -> bytes:
    """Return gzip that is a thousandth of its content, whose parts are all alike."""
    part, check = bytes(1024**2), 0
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(part) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(size // len(part)):
        check = zlib.crc32(part, check)
    end = packer.flush() + check.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")
    return gzip.compress(b"")[:10] + packed * (size // len(part)) + end


@contextmanager
def closing_all() -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    yield sockets
    for one in sockets:
        one.close()


PLAIN, GZIP = "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\nContent-Encoding: gzip"
TOO_LARGE = {
    "endless": answering(PLAIN, then=endless(b" " * 65536)),
    "endless in chunks": answering(
        f"{PLAIN}\nTransfer-Encoding: chunked", then=endless(b"10000\r\n" + b" " * 65536 + b"\r\n")
    ),
    "long as it says": answering(f"{PLAIN}\nContent-Length: {10**12}", then=endless(b" " * 65536)),
    "an error": answering("HTTP/1.1 502 Bad Gateway", then=endless(b" " * 65536)),
    "gzip": answering(GZIP, bomb(512 * 1024**2)),
    "endless gzip": answering(GZIP, then=endless(bomb(1024**2)[:-8])),
    "endless gzip of nothing": answering(GZIP, gzip.compress(b"")[:10], then=endless(b"\0\0\0\xff\xff" * 13107)),
}


@pytest.mark.parametrize("answer", TOO_LARGE.values(), ids=TOO_LARGE)
def test_an_answer_that_is_too_large_is_given_up(send, answer):
    with raw_server(answer) as url:
        tracemalloc.start()
        try:
            with pytest.raises(NoAnswerError, match="the answer cannot be read") as caught:
                send(gateway_at(url), READ)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert caught.value.sent
    assert peak < 6 * LARGEST_ANSWER


PARTS = {
    "rows that cannot be read": b'{"sn":"a"}',
    "nested lists": b"[[[]]]",
    "empty objects": b"{}",
    "numbers": b"1.5",
    "texts": b'"a"',
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_an_answer_whose_parts_would_take_a_hundred_times_its_size_is_given_up(send, part):
    """Some 30 kB of gzip were 3 GB of rows, and two minutes of an event loop."""
    many = b",".join([part] * ((LARGEST_ANSWER - 100) // (len(part) + 1)))
    packed = gzip.compress(b'{"result":true,"code":0,"data":[' + many + b"]}", 1)
    answer = answering(f"{GZIP}\nContent-Length: {len(packed)}", packed)
    with raw_server(answer) as url, pytest.raises(NoAnswerError, match="it has too many parts") as caught:
        send(gateway_at(url), READ)
    assert caught.value.late


async def test_p1_an_answer_of_thousands_of_chunks_leaves_others_their_turns():
    chunks = answering(f"{PLAIN}\nTransfer-Encoding: chunked", b"1\r\n \r\n" * 20_000, b"0\r\n\r\n")
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    with raw_server(chunks) as url:
        others = asyncio.create_task(count_turns())
        transport = AsyncTransport(gateway_at(url))
        assert (await transport.send(READ)).body == b" " * 20_000
        await transport.close()
    others.cancel()
    assert turns > 100


SLOW = {
    "body": answering(PLAIN, then=dripping(b"", b" ")),
    "chunks": answering(f"{PLAIN}\nTransfer-Encoding: chunked", then=dripping(b"", b"1\r\n \r\n")),
    "status": only(dripping(b"HTTP/1.1 200 O", b"K")),
    "headers": only(dripping(b"HTTP/1.1 200 OK\r\n", b"X-More: yes\r\n")),
    "more to come": only(dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
    "gzip": answering(GZIP, then=dripping(gzip.compress(b"")[:10], b"\0\0\0\xff\xff")),
    "silence": lambda _client: time.sleep(FOR_EVER),
}


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW)
def test_an_answer_that_does_not_end_is_given_up(send, answer):
    with raw_server(answer) as url, pytest.raises(NoAnswerError) as caught:
        send(gateway_at(url, **PATIENCE), READ)
    assert (caught.value.sent, caught.value.late, caught.value.dropped) == (True, True, False)
    assert str(caught.value).endswith("(ReadTimeout)")


def test_headers_without_end_are_given_up(send):
    flood = only(lambda: chain([b"HTTP/1.1 200 OK\r\n"], repeat(b"X-More: yes\r\n" * 1000)))
    with raw_server(flood) as url, pytest.raises(NoAnswerError) as caught:
        send(gateway_at(url), READ)
    assert caught.value.sent


@pytest.mark.parametrize("answer", [TOO_LARGE["gzip"], SLOW["body"]], ids=["too large", "too slow"])
async def test_all_hooks_are_limited_alike(answer, connect):
    with raw_server(answer) as url:
        caller = {"login": "app", "password": "app-secret", "host": url}
        connect("bkitsm_default", conn_type="bkitsm", extra=PATIENCE | {"read_retries": 0}, **caller)
        connect("bklog_default", conn_type="bklog", extra=PATIENCE, **caller)
        with pytest.raises(ItsmTimeoutError, match=r"no answer from http.*; nothing was done"):
            ItsmHook().get_services()
        with pytest.raises(ItsmOutcomeUnknownError, match="may or may not have been done"):
            ItsmHook().send(WRITE)
        async with ItsmAsyncHook() as hook:
            with pytest.raises(ItsmTimeoutError, match=r"no answer from http.*; nothing was done"):
                await hook.get_services()
        with pytest.raises(BkLogUnavailableError, match="no answer from http"):
            next(BkLogHook().list_collectors(bk_biz_id=2))


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_gzip_is_read(send, encoding):
    head, body = f"HTTP/1.1 200 OK\nContent-Encoding: {encoding}", gzip.compress(ANSWER)
    with raw_server(answering(f"{head}\nContent-Length: {len(body)}", body)) as url:
        assert send(gateway_at(url), READ).body == ANSWER


BROKEN = {
    "not offered": ("br", ANSWER),
    "twice": ("gzip, gzip", gzip.compress(gzip.compress(ANSWER))),
    "no gzip": ("gzip", ANSWER),
    "cut": ("gzip", gzip.compress(ANSWER)[:-9]),
    "more behind it": ("gzip", gzip.compress(ANSWER) * 2),
    "another checksum": ("gzip", gzip.compress(ANSWER)[:-8] + bytes(8)),
}


@pytest.mark.parametrize(("encoding", "body"), BROKEN.values(), ids=BROKEN)
def test_p3_what_is_not_the_encoding_it_says_is_no_answer(send, encoding, body):
    head = f"HTTP/1.1 200 OK\nContent-Encoding: {encoding}\nContent-Length: {len(body)}"
    with (
        raw_server(answering(head, body)) as url,
        pytest.raises(NoAnswerError, match=r"\(the answer cannot be read: ") as caught,
    ):
        send(gateway_at(url), READ)
    assert (caught.value.sent, caught.value.late) == (True, False)


def test_p3_a_body_that_ends_too_early_is_no_answer(send):
    short = answering(f"{PLAIN}\nContent-Length: {len(ANSWER) + 1}", ANSWER)
    with raw_server(short) as url, pytest.raises(NoAnswerError) as caught:
        send(gateway_at(url), WRITE)
    assert caught.value.sent


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("size", "fits"), [(LARGEST_ANSWER, True), (LARGEST_ANSWER + 1, False)])
def test_the_largest_answer(packed, size, fits):
    sent = gzip.compress(bytes(size)) if packed else bytes(size)
    body = Body({"content-encoding": "gzip"} if packed else {})

    def read() -> int:
        for start in range(0, len(sent), 65536):
            body.add(sent[start : start + 65536])
        return len(body.whole())

    if fits:
        assert read() == size
    else:
        with pytest.raises(UnreadableAnswerError, match=r"^larger than 16 MiB$") as caught:
            read()
        assert caught.value.too_large


def test_what_cannot_be_packed_may_not_be_larger_either():
    body = Body({"content-encoding": "gzip"})
    sent = gzip.compress(os.urandom(LARGEST_ANSWER), 0)
    with pytest.raises(UnreadableAnswerError):
        body.add(sent)


def test_the_steps_of_a_call_share_its_time():
    steps = step_timeouts(5.0, 30.0)
    assert (steps["connect"], steps["read"], steps["write"], steps["pool"]) == (5.0, 30.0, 30.0, 35.0)
    assert steps["read"].left() == 30.0
    assert step_timeouts(0.0, 0.0)["read"].left() <= 0


def test_p1_a_host_is_reached_whose_first_address_is_dead(send, monkeypatch):
    """Its addresses share ``connect_timeout``; none of them takes all of it."""
    with raw_server(answering(f"{PLAIN}\nContent-Length: {len(ANSWER)}", ANSWER)) as url:
        port = int(url.rpartition(":")[2])

        def addresses(*_args, **_kwargs):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in ("127.0.0.2", "127.0.0.1")]

        # Nobody takes what it is asked there, once this many wait.
        with socket.create_server(("127.0.0.2", port), backlog=0), closing_all() as waiting:
            for _ in range(4):
                waiting.append(socket.socket())
                waiting[-1].setblocking(False)
                waiting[-1].connect_ex(("127.0.0.2", port))
            monkeypatch.setattr(socket, "getaddrinfo", addresses)
            assert send(gateway_at(f"http://itsm.example.com:{port}", connect_timeout=2), READ).body == ANSWER
