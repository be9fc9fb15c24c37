# SPDX-License-Identifier: Apache-2.0
"""The HTTP edge of the callback, with the sandbox as ITSM."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import quote

import pytest
import requests
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_provider_bkitsm.callback import checks
from airflow_provider_bkitsm.callback.receiver import Registrations
from airflow_provider_bkitsm.callback.signature import HEADER, callback_meta
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.plugins.callback_route import create_app
from demo.airflow_api import wait_until
from tests.callback.conftest import FORM, TAG, WAITER
from tests.serving import serving

ACCEPTED = {"result": True, "code": 0, "message": "success", "data": None}


@pytest.fixture
def client(metadata) -> TestClient:
    return TestClient(create_app(metadata, rest=0.0, retries=()))


def post(client: TestClient, arrived: Any, **more: Any) -> requests.Response:
    path = f"/callback/{quote(arrived.conn_id, safe='')}/{arrived.tag}/{arrived.expires}"
    return client.post(path, content=arrived.body, headers={HEADER: arrived.signature}, **more)


def test_an_approval_resumes_and_itsm_reads_delivered(client, sn, sandbox, arrive, metadata):
    sandbox.approve(sn)
    said = post(client, arrive(sn))
    assert (said.status_code, said.json()) == (200, ACCEPTED)
    assert len(metadata.resumed) == 1


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize(
    "conn_id", ["team/itsm", "/itsm/", "a/b/c", "bk:itsm#1", "审批连接", r"团队\\审批!(1)", "连" * 200, "c" * 250]
)
def test_p1_the_address_of_a_connection_of_any_id_is_taken(
    client, sn, sandbox, arrive, metadata, conn_id, escaped
):
    arrived = arrive(sn, signed={"conn_id": conn_id})
    metadata.gateways = {conn_id: replace(metadata.gateways["bkitsm_default"], conn_id=conn_id)}
    metadata.waits[sn] = Registrations(waiters=(replace(WAITER, conn_id=conn_id),), ever_registered=True)
    sandbox.approve(sn)
    part = quote(conn_id, safe="" if escaped else "/")
    path = f"/callback/{part}/{arrived.tag}/{arrived.expires}"
    said = client.post(path, content=arrived.body, headers={HEADER: arrived.signature})
    assert (said.status_code, said.json()) == (200, ACCEPTED)
    assert len(metadata.resumed) == 1


def test_p4_an_outsider_learns_nothing(client, sn, sandbox, arrive, metadata):
    sandbox.approve(sn)
    good = arrive(sn)
    forged = [
        replace(good, signature=""),
        replace(good, signature="v1=é"),
        replace(good, conn_id="nowhere"),
        replace(good, body=b"{}"),
        replace(good, body=b" " * 70_000),
        arrive("REQ_nobody", signed={"expires": 1}),
    ]
    said = [post(client, replace(one, signature=one.signature.encode())) for one in forged]
    assert {(one.status_code, one.text) for one in said} == {
        (403, '{"result":false,"code":1,"message":"refused","data":null}')
    }
    assert len({tuple(sorted(one.headers.items())) for one in said}) == 1
    assert metadata.resumed == []


def test_a_body_without_end_is_not_read_to_the_end(client, sn, arrive):
    sent = []

    def endless() -> Iterator[bytes]:
        for _ in range(10_000):
            sent.append(1)
            yield b" " * 1_000

    assert post(client, replace(arrive(sn), body=endless())).status_code == 403


def test_what_goes_wrong_inside_is_no_crash(client, sn, arrive, metadata, monkeypatch):
    monkeypatch.setattr(metadata, "gateway", lambda *_: 1 / 0)
    said = post(client, arrive(sn))
    assert (said.status_code, said.json()["code"]) == (503, 2)


def test_what_goes_wrong_after_the_answer_is_no_crash(client, sn, arrive, metadata, monkeypatch):
    monkeypatch.setattr(metadata, "waiting", lambda *_: 1 / 0)
    assert post(client, arrive(sn)).json() == ACCEPTED


def test_a_queue_that_is_full_answers_not_now(client, sn, arrive, monkeypatch):
    monkeypatch.setattr(checks, "TICKETS_LIMIT", 0)
    said = post(client, arrive(sn))
    assert (said.status_code, said.json()["code"]) == (503, 2)


@pytest.mark.parametrize("conn_id", ["with\x00nul", "x" * 251, "line\nbreak"])
def test_p4_an_id_that_no_connection_can_have_is_not_looked_up(client, sn, arrive, metadata, conn_id):
    assert post(client, replace(arrive(sn), conn_id=conn_id)).status_code in (403, 404)
    assert metadata.looked_up == []


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve the endpoint by one process with one event loop, as Airflow does."""
    root = FastAPI()
    root.mount("/bkitsm", app)
    with serving(root) as address:
        yield address


def test_p1_a_server_that_is_told_to_stop_settles_first_what_it_has_answered(sn, sandbox, arrive, metadata):
    sandbox.approve(sn)
    sandbox.fault("token/verify", "delay", seconds=1)
    good = arrive(sn)
    with served(create_app(metadata)) as airflow:
        path = f"/bkitsm/callback/{good.conn_id}/{good.tag}/{good.expires}"
        said = requests.post(airflow + path, data=good.body, headers={HEADER: good.signature}, timeout=10)
        assert (said.json(), metadata.resumed) == (ACCEPTED, [])
    assert [verdict.outcome for _, verdict in metadata.resumed] == ["approved"]


@contextmanager
def one_at_a_time(target: str) -> Iterator[str]:
    """Serve an ITSM that has a single worker."""

    class Worker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kept = {
                name: self.headers[name]
                for name in ("X-Bkapi-Authorization", "Content-Type")
                if self.headers[name]
            }
            got = requests.request(self.command, target + self.path, data=body, headers=kept, timeout=30)
            self.send_response(got.status_code)
            self.send_header("Content-Type", got.headers["Content-Type"])
            self.send_header("Content-Length", str(len(got.content)))
            self.end_headers()
            self.wfile.write(got.content)

        do_GET = do_POST

        def log_message(self, *_args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Worker) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(("action", "outcome"), [("WITHDRAW", "withdrawn"), ("TERMINATE", "terminated")])
def test_p1_our_own_withdraw_does_not_deadlock_with_a_single_worker_on_both_sides(
    sandbox, connections, connect, metadata, action, outcome
):
    with one_at_a_time(sandbox.url) as itsm, served(create_app(metadata)) as airflow:
        root = sandbox.itsm_url.replace(sandbox.url, itsm)
        metadata.gateways["bkitsm_default"] = gateway = replace(metadata.gateways["bkitsm_default"], root=root)
        meta = callback_meta(None, base=airflow, gateway=gateway, tag=TAG, now=datetime.now(UTC))
        sn = ItsmHook().create_ticket(creator="alice", fields=FORM, fast_approval=True, meta=meta).sn
        metadata.waits[sn] = Registrations(waiters=(WAITER,), ever_registered=True)
        sandbox.wait_for_step(sn)
        connect("slow_itsm", conn_type="bkitsm", host=root, login=sandbox.app_code, password=sandbox.app_secret)
        ItsmHook("slow_itsm").operate_ticket(sn=sn, action_type=action, operator="alice", action_message="m")
        wait_until(lambda: metadata.resumed, lambda: "the callback was not followed", seconds=20)
        assert [verdict.outcome for _, verdict in metadata.resumed] == [outcome]
        assert ItsmHook().callback_failed_ticket() == ()
