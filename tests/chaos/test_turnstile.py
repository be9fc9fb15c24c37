# SPDX-License-Identifier: Apache-2.0
"""A held request stands still until it may go on, or is cut."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import requests

from tests.chaos.turnstile import Turnstile

SECONDS = 20


@pytest.fixture
def turnstile(sandbox) -> Iterator[Turnstile]:
    with Turnstile(sandbox.url) as running:
        yield running


@pytest.fixture
def put(turnstile) -> Iterator:
    """Return what puts a collector through the turnstile."""
    with ThreadPoolExecutor(4) as pool:

        def send(number: int) -> Future:
            url = f"{turnstile.url}/sandbox/collectors/{number}"
            return pool.submit(requests.put, url, json={"bk_biz_id": 7}, timeout=SECONDS)

        yield send
        turnstile.release()


def about(number: int):
    return lambda seen: seen.path.endswith(f"/{number}")


def test_what_nobody_holds_passes(turnstile, put):
    assert put(1).result(SECONDS).json()["bk_biz_id"] == 7
    assert turnstile.count(about(1)) == 1


@pytest.mark.parametrize("after", [False, True])
def test_held_it_is_carried_out_now_or_then_and_goes_on_when_released(turnstile, put, sandbox, after):
    hold = turnstile.hold(about(1), after=after)
    answer = put(1)
    assert hold.reached.wait(SECONDS)
    assert (requests.get(f"{sandbox.url}/sandbox/collectors/1", timeout=SECONDS).status_code == 200) is after
    assert not answer.done()
    turnstile.release()
    assert answer.result(SECONDS).ok


@pytest.mark.parametrize("after", [False, True])
def test_cut_it_is_never_answered(turnstile, put, after):
    hold = turnstile.hold(about(1), after=after)
    answer = put(1)
    assert hold.reached.wait(SECONDS)
    turnstile.release(cut=True)
    with pytest.raises(requests.ConnectionError):
        answer.result(SECONDS)


def test_one_hold_holds_one_request(turnstile, put):
    hold = turnstile.hold(about(1))
    first = put(1)
    assert hold.reached.wait(SECONDS)
    assert put(1).result(SECONDS).ok
    assert put(2).result(SECONDS).ok
    assert not first.done()


def test_a_worker_is_told_from_a_triggerer_by_its_client(turnstile):
    import httpx

    requests.get(f"{turnstile.url}/sandbox/tickets", timeout=SECONDS)
    httpx.get(f"{turnstile.url}/sandbox/tickets", timeout=SECONDS, trust_env=False)
    assert [turnstile.count(lambda seen, want=want: seen.by_worker is want) for want in (True, False)] == [1, 1]
