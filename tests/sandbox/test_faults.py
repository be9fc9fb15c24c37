# SPDX-License-Identifier: Apache-2.0
"""Faults of callbacks, and which request a fault strikes."""

from __future__ import annotations

from airflow_provider_bkitsm.sandbox.faults import Fault, Faults
from tests.sandbox.receiver import Receiver


def ended(client, server, receiver):
    sn = client.opened(meta={"callback_url": receiver.url})
    server.approve(sn)
    return sn


def test_faults_strike_in_order_and_as_often_as_asked():
    faults = Faults(pending=[Fault(kind="html", path="a", times=2), Fault(kind="delay", path="")])
    assert [faults.take("/a").kind, faults.take("/b").kind, faults.take("/a").kind] == ["html", "delay", "html"]
    assert faults.take("/a") is None


def test_callbacks_and_requests_have_their_own():
    faults = Faults(pending=[Fault(kind="callback_lost"), Fault(kind="html")])
    assert faults.take("/x").kind == "html"
    assert faults.take_of_callback("REQ1").kind == "callback_lost"
    assert not faults.pending


def test_a_lost_callback_is_on_no_list(client, server, receiver):
    server.fault("", "callback_lost")
    sn = ended(client, server, receiver)
    other = ended(client, server, receiver)
    assert receiver.wait().body["sn"] == other
    assert sn not in client.get("callback_failed_ticket")["data"]
    assert len(receiver.received) == 1


def test_a_late_callback_comes_later(client, server):
    server.fault("", "callback_late", seconds=1)
    with Receiver() as receiver:
        sn = ended(client, server, receiver)
        other = ended(client, server, receiver)
        assert receiver.wait().body["sn"] == other
        while len(receiver.received) < 2:
            receiver.wait()
    assert receiver.received[1].body["sn"] == sn


def test_a_callback_may_come_twice(client, server, receiver):
    server.fault("", "callback_twice")
    sn = ended(client, server, receiver)
    while len(receiver.received) < 2:
        receiver.wait()
    first, second = receiver.received
    assert first.body == second.body
    assert first.body["sn"] == sn


def test_a_callback_can_be_repeated_and_forged(client, server, receiver):
    sn = client.opened(meta={"callback_url": receiver.url})
    assert server.post_callback(sn, current_status="FINISHED", approve_result=True) is True
    assert (receiver.wait().body["approve_result"], client.verdict(sn)) == (True, ("RUNNING", False))
    assert client.post("token/verify", {"token": receiver.received[0].body["token"]})["data"]["is_passed"]
    server.post_callback(sn, token="forged")
    assert not client.post("token/verify", {"token": receiver.received[1].body["token"]})["data"]["is_passed"]
