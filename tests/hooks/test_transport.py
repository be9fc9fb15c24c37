# SPDX-License-Identifier: Apache-2.0
"""Both transports send the same, and say alike whether anything left."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from airflow.sdk import Connection

from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.hooks.exchange import NoAnswerError, Reply
from airflow_provider_bkitsm.hooks.transport import AsyncTransport, SyncTransport
from airflow_provider_bkitsm.itsm import calls
from airflow_provider_bkitsm.itsm.protocol import Call

READ = calls.ticket_approval_result(["REQ1"])
WRITE = calls.operate_ticket(sn="REQ1", action_type="WITHDRAW", operator="a", action_message="m")
LOGIN = {"login": "sandbox", "password": "sandbox-secret"}


@pytest.fixture(params=["sync", "async"])
def send(request):
    """Return a function that sends one call and closes the transport."""

    def sync(gateway: Gateway, call: Call) -> Reply:
        transport = SyncTransport(gateway)
        try:
            return transport.send(call)
        finally:
            transport.close()

    async def in_loop(gateway: Gateway, call: Call) -> Reply:
        transport = AsyncTransport(gateway)
        try:
            return await transport.send(call)
        finally:
            await transport.close()

    return sync if request.param == "sync" else lambda gateway, call: asyncio.run(in_loop(gateway, call))


def gateway(host: str, **extra) -> Gateway:
    fields = {"host": host, "extra": json.dumps(extra), **LOGIN}
    return read_gateway(Connection(conn_id="itsm", conn_type="bkitsm", **fields))


def test_a_reply_is_brought_back_as_it_came(send, sandbox):
    reply = send(gateway(sandbox.itsm_url), READ)
    assert (reply.status_code, reply.content_type) == (200, "application/json")
    assert reply.body.startswith(b"{")


def test_a_cut_read_is_sent_again_and_a_cut_write_is_not(send, sandbox):
    sandbox.fault("ticket_approval_result", "drop_answer")
    assert send(gateway(sandbox.itsm_url), READ).status_code == 200
    sandbox.fault("operate_ticket", "drop_answer")
    with pytest.raises(NoAnswerError) as caught:
        send(gateway(sandbox.itsm_url), WRITE)
    assert (caught.value.sent, len(sandbox.requests("operate_ticket"))) == (True, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"root": "http://[::1"},
        {"extra_headers": {"X-Name": "\u7533\u8bf7"}},
        {"extra_headers": {"X-Name": "a\r\nb"}},
    ],
)
def test_what_never_left_is_known_not_to_have_left(send, wrong):
    with pytest.raises(NoAnswerError) as caught:
        send(replace(gateway("http://127.0.0.1:9"), **wrong), WRITE)
    assert (caught.value.sent, caught.value.dropped) == (False, False)


def test_p8_an_error_shows_no_proxy_credentials(send):
    with pytest.raises(NoAnswerError) as caught:
        send(gateway("http://127.0.0.1:9", proxy="http://user:s3cret@127.0.0.1:9"), READ)
    assert "s3cret" not in str(caught.value)
