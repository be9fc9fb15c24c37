# SPDX-License-Identifier: Apache-2.0
"""P3: every recorded end reads the same through hook, sensor, trigger and callback."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException

from airflow_provider_bkitsm.callback.messages import Result
from airflow_provider_bkitsm.callback.receiver import CallbackRequest, Registrations
from airflow_provider_bkitsm.callback.signature import Claim, sign, signing_keys
from airflow_provider_bkitsm.callback.waiters import Waiter
from airflow_provider_bkitsm.hooks import transport
from airflow_provider_bkitsm.hooks.connection import read_gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.transport import Reply
from airflow_provider_bkitsm.itsm.idempotency import marked_title
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger
from tests.callback.conftest import FakeMetadata, receiver_of, settled
from tests.record.ends import ENDS as OF_APPROVAL_STEPS
from tests.record.ends import YES, bodies, number

CALLER = {"host": "https://bkapi.example.com/api/bk-itsm/prod/v2/itsm", "login": "app", "password": "s" * 20}
TAG = "0123456789abcdef0123456789abcdef"
WAITER = Waiter(ti_id="01a20d5b-e52e-7d97-8d82-4612038db7fd", conn_id="bkitsm_default")
# The log platform's own service decides in a form field, which a wait finds in the ticket's own log.
ENDS = OF_APPROVAL_STEPS | {"log_search_approved": YES}
DECIDED = {name: end for name, end in ENDS.items() if end[0] is not Outcome.WAITING}
TOKEN = {"is_passed": True}


@pytest.fixture
def recorded(monkeypatch, tmp_path):
    """Answer every call as the real server has, whichever client makes it; a title carries a mark on demand."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", json.dumps({"conn_type": "bkitsm", **CALLER}))
    answers: dict[str, Any] = {"token/verify/": {"result": True, "code": 0, "data": TOKEN}}

    def reply(call: Call[Any]) -> Reply:
        body = json.dumps(answers[call.path]).encode()
        return Reply(status_code=200, content_type="application/json", body=body)

    async def areply(_transport: object, call: Call[Any]) -> Reply:
        return reply(call)

    monkeypatch.setattr(transport.SyncTransport, "send", lambda _transport, call: reply(call))
    monkeypatch.setattr(transport.AsyncTransport, "send", areply)

    def answer_as(situation: str, *, marked: bool = False) -> str:
        told = json.loads(json.dumps(bodies(situation)))
        if marked:
            told["ticket_approval_result/"]["data"][0]["title"] = marked_title("t", TAG)
        answers.update(told)
        return number(situation)

    return answer_as


def end(verdict: Verdict) -> tuple[str, str]:
    return verdict.outcome, str(verdict.reason_code)


@pytest.mark.parametrize("situation", ENDS)
def test_p3_the_hook_reads_it(situation, recorded):
    sn = recorded(situation)
    assert end(ItsmHook().run(read_verdict(sn, VerdictPolicy()))) == ENDS[situation]


@pytest.mark.parametrize("situation", DECIDED)
def test_p3_the_sensor_goes_on_after_an_approval_alone(situation, recorded):
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(start_date=None, xcom_push=lambda key, value: pushed.update({key: value}))
    sensor = ItsmTicketSensor(task_id="wait", ticket_sn=recorded(situation), deferrable=False)
    if DECIDED[situation][0] is Outcome.APPROVED:
        assert sensor.poke({"ti": ti}).xcom_value["reason_code"] == "approved"
        return
    with pytest.raises(AirflowException, match="Not approved; this task is not retried"):
        sensor.poke({"ti": ti})
    assert (pushed["verdict"]["outcome"], pushed["verdict"]["reason_code"]) == DECIDED[situation]


@pytest.mark.parametrize("situation", DECIDED)
async def test_p3_the_trigger_fires_with_it(situation, recorded):
    waiting = {"bkitsm_conn_id": "bkitsm_default", "poll_interval": 0.01, "approval_timeout": None}
    (event,) = [one async for one in ItsmTicketTrigger(ticket_sn=recorded(situation), **waiting).run()]
    assert end(Verdict.from_dict(json.loads(json.dumps(event.payload))["verdict"])) == DECIDED[situation]


@pytest.mark.parametrize("situation", ENDS)
async def test_p3_the_callback_resumes_with_it(situation, recorded):
    sn = recorded(situation, marked=True)
    gateway = read_gateway(Connection(conn_id="bkitsm_default", conn_type="bkitsm", **CALLER))
    metadata = FakeMetadata(gateways={"bkitsm_default": gateway})
    metadata.waits[sn] = Registrations(waiters=(WAITER,), ever_registered=True)
    claim = Claim(conn_id="bkitsm_default", tag=TAG, expires=int(time.time()) + 60)
    body = json.dumps({"sn": sn, "token": "t", "current_status": "FINISHED", "approve_result": True})
    request = CallbackRequest(
        conn_id=claim.conn_id,
        tag=TAG,
        expires=str(claim.expires),
        signature=sign(signing_keys(gateway), claim),
        body=body.encode(),
    )
    result = await settled(receiver_of(metadata), request)
    if situation not in DECIDED:
        assert (result, metadata.resumed) == (Result.STILL_OPEN, [])
        return
    assert result is Result.RESUMED
    assert [end(verdict) for _, verdict in metadata.resumed] == [DECIDED[situation]]
