# SPDX-License-Identifier: Apache-2.0
"""Waits that a version before has begun end with this one, and none passes that would not have before."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from airflow.sdk import DAG
from airflow.triggers.base import TaskSuccessEvent

from airflow_provider_bkitsm.callback.receiver import CallbackRequest
from airflow_provider_bkitsm.callback.signature import HEADER
from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator, ItsmCreateTicketOperator
from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata, callback_message, resume
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from airflow_provider_bkitsm.tickets.approval_store import open_approval_store
from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger
from tests.callback.conftest import receiver_of, settled
from tests.plugins.database import airflow_database
from tests.plugins.rows import insert_dag, insert_waits
from tests.tickets.records import record_round
from tests.upgrade.conftest import Before
from tests.upgrade.record import FAST

CONN = "bkitsm_default"
_SINCE_3_3 = pytest.mark.since_airflow("3.3", "a wait begins on a worker before")
# ITSM dates tickets in whole seconds.
_TICK = 1.1
WAITS = {"id": "01a20d5b-e52e-7d97-8d82-4612038db7fd", "dag_id": "dag", "run_id": "run_1", "map_index": -1}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    async def push(_task_instance, _key, _value):
        pass

    monkeypatch.setattr("airflow_provider_bkitsm.triggers.task_instance.push_xcom", push)


@pytest.fixture(scope="module")
def dag_version(tmp_path_factory) -> Iterator[Any]:
    home = tmp_path_factory.mktemp("airflow")
    with airflow_database(home, f"sqlite:///{home / 'airflow.db'}"):
        yield insert_dag()


def gate(**parameters: Any) -> ItsmApprovalOperator:
    return ItsmApprovalOperator(task_id="gate", **FAST | parameters)


def sensor(sn: str, **parameters: Any) -> ItsmTicketSensor:
    """Return the sensor on a worker: the number is rendered, the DAG's code says where it comes from."""
    with DAG("dag", schedule=None):
        ask = ItsmCreateTicketOperator(task_id="ask", **FAST)
        waiting = ItsmTicketSensor(task_id="wait", ticket_sn=ask.output, **parameters)
    waiting.ticket_sn = sn
    return waiting


async def fired(arguments: dict[str, Any], sn: str) -> Any:
    """Run a stored trigger in this version's triggerer, templates rendered, until it fires."""
    trigger = ItsmTicketTrigger(**arguments)
    trigger.ticket_sn, trigger.task_instance = sn, SimpleNamespace(task_id="wait", **WAITS)
    (event,) = [event async for event in trigger.run()]
    return event


async def called_back(before: Before, request: dict[str, Any], sn: str) -> str:
    """Let ITSM post to the address that the version before has given it."""
    meta = request["meta"]
    *_, conn_id, tag, expires = urlsplit(meta["callback_url"]).path.split("/")
    body = json.dumps(before.sandbox.callback_body(sn)).encode()
    recorded = datetime.fromisoformat(before.left["at"]).timestamp()
    receiver = receiver_of(AirflowMetadata(), clock=lambda: recorded)
    signature = meta["headers"][HEADER]
    return await settled(
        receiver, CallbackRequest(conn_id=conn_id, tag=tag, expires=expires, signature=signature, body=body)
    )


@pytest.fixture
def handed_over(monkeypatch) -> list[dict[str, Any]]:
    """Events that workers are given by the API server."""
    events: list[dict[str, Any]] = []
    real = resume.handle_event_submit

    def hand_over(event, **where):
        events.append(json.loads(json.dumps(event.payload)))
        real(event, **where)

    monkeypatch.setattr(resume, "handle_event_submit", hand_over)
    return events


class TestGate:
    """``ItsmApprovalOperator``, deferred by a worker of the version before."""

    def test_p1_an_event_of_its_trigger_is_taken(self, before, task):
        left = before.begins("gate")
        before.sandbox.approve(left["sn"])
        result = gate().execute_complete(task("gate").context, left["approve"], **left["next_kwargs"])
        assert (result["sn"], result["outcome"]) == (left["sn"], "approved")

    def test_p3_a_rejection_by_its_trigger_is_one(self, before, task):
        left = before.begins("gate")
        before.sandbox.reject(left["sn"])
        with pytest.raises(AirflowFailException, match="rejected"):
            gate().execute_complete(task("gate").context, left["reject"], **left["next_kwargs"])

    @pytest.mark.parametrize(("decision", "outcome"), [("approve", "approved"), ("reject", "rejected")])
    async def test_p1_its_trigger_goes_on_in_the_new_triggerer(self, before, task, decision, outcome):
        left = before.begins("gate")
        getattr(before.sandbox, decision)(left["sn"])
        event = json.loads(json.dumps((await fired(left["trigger"], left["sn"])).payload))
        assert event["verdict"]["outcome"] == outcome
        who, done = gate(on_not_approved="pass"), task("gate").context
        assert who.execute_complete(done, event, **left["next_kwargs"])["outcome"] == outcome

    @pytest.mark.parametrize(("decision", "outcome"), [("approve", "approved"), ("reject", "rejected")])
    async def test_p1_its_ticket_calls_back(self, before, task, dag_version, handed_over, decision, outcome):
        left = before.begins("gate")
        insert_waits([left["sn"]], dag_version=dag_version, arguments=left["trigger"], conn_id=CONN)
        getattr(before.sandbox, decision)(left["sn"])
        assert await called_back(before, left["request"], left["sn"]) == "resumed"
        (event,) = handed_over
        who, done = gate(on_not_approved="pass"), task("gate").context
        assert who.execute_complete(done, event, **left["next_kwargs"])["outcome"] == outcome

    def test_p3_what_would_run_is_compared_with_what_was_asked_then(self, before, task):
        left = before.begins("gate")
        before.sandbox.approve(left["sn"])
        other = gate(fields={"APPROVER": "alice", "APPROVAL_CONTENT": "all of another one"})
        with pytest.raises(AirflowFailException, match="parameters are not those"):
            other.execute_complete(task("gate").context, left["approve"], **left["next_kwargs"])

    def test_p1_a_wake_up_finds_its_ticket_by_the_stored_arguments(
        self, before, task, dag_version, handed_over, monkeypatch
    ):
        """The version before stored no number for the worker, and the store is out of reach for a moment."""
        left = before.begins("gate")
        waits = insert_waits([left["sn"]], dag_version=dag_version, arguments=left["trigger"], conn_id=CONN)
        before.sandbox.approve(left["sn"])
        monkeypatch.setattr(callback_message, "read_ownership", Mock(side_effect=StoreUnavailable("down")))
        verdict = Verdict.from_dict(left["approve"]["verdict"])
        assert AirflowMetadata().resume(waits[0].waiter, verdict)
        result = gate().execute_complete(task("gate").context, handed_over[0], **left["next_kwargs"])
        assert result["outcome"] == "approved"


class TestSensor:
    """``ItsmTicketSensor``: no trigger of the version before says whose ticket it waits for."""

    @pytest.mark.parametrize("begun", ["trigger", pytest.param("start", marks=_SINCE_3_3)])
    async def test_p1_its_trigger_goes_on_in_the_new_triggerer(self, before, task, begun):
        left = before.begins("sensor")
        before.sandbox.approve(left["sn"])
        event = await fired(left[begun], left["sn"])
        if not isinstance(event, TaskSuccessEvent):
            sensor(left["sn"]).execute_complete(task("wait").context, event.payload, **left["next_kwargs"])

    @pytest.mark.parametrize("begun", ["trigger", pytest.param("start", marks=_SINCE_3_3)])
    async def test_p3_a_rejection_fails_it(self, before, task, begun):
        left = before.begins("sensor")
        before.sandbox.reject(left["sn"])
        event = await fired(left[begun], left["sn"])
        with pytest.raises(AirflowFailException, match="rejected"):
            sensor(left["sn"]).execute_complete(task("wait").context, event.payload)

    @_SINCE_3_3
    async def test_p3_with_a_templated_number_a_worker_ends_it(self, before, task):
        """Only the DAG's code says who opens the ticket, and the triggerer does not have that."""
        open_approval_store().records_since()
        time.sleep(_TICK)
        left = before.begins("sensor")
        before.sandbox.approve(left["sn"])
        event = await fired(left["start"], left["sn"])
        assert event.payload["verdict"]["outcome"] == "approved"
        with pytest.raises(AirflowFailException, match="nothing shows that it was opened for this task"):
            sensor(left["sn"]).execute_complete(task("wait").context, event.payload)

    @_SINCE_3_3
    async def test_a_recorded_ticket_ends_it_in_the_triggerer(self, before):
        left = before.begins("sensor")
        record_round(left["sn"], dag_id="dag", run_id="run_1")
        before.sandbox.approve(left["sn"])
        assert isinstance(await fired(left["start"], left["sn"]), TaskSuccessEvent)

    @pytest.mark.parametrize("begun", ["trigger", pytest.param("start", marks=_SINCE_3_3)])
    async def test_p1_its_ticket_calls_back(self, before, task, dag_version, handed_over, begun):
        left = before.begins("sensor")
        insert_waits([left["sn"]], dag_version=dag_version, arguments=left[begun], conn_id=CONN)
        before.sandbox.approve(left["sn"])
        assert await called_back(before, left["request"], left["sn"]) == "resumed"
        for event in handed_over:
            result = sensor(left["sn"]).execute_complete(task("wait").context, event)
            assert result["outcome"] == "approved"

    @_SINCE_3_3
    async def test_p3_called_back_about_a_ticket_of_after_the_records_it_is_not_approved(
        self, before, task, dag_version, handed_over
    ):
        open_approval_store().records_since()
        time.sleep(_TICK)
        left = before.begins("sensor")
        insert_waits([left["sn"]], dag_version=dag_version, arguments=left["start"], conn_id=CONN)
        before.sandbox.approve(left["sn"])
        assert await called_back(before, left["request"], left["sn"]) == "resumed"
        with pytest.raises(AirflowFailException, match="nothing shows that it was opened for this task"):
            sensor(left["sn"]).execute_complete(task("wait").context, handed_over[0])

    def test_p1_on_a_worker_the_ticket_of_before_the_records_counts(self, before, task):
        left = before.begins("sensor")
        open_approval_store().records_since()
        before.sandbox.approve(left["sn"])
        assert sensor(left["sn"], deferrable=False).execute(task("wait").context)["outcome"] == "approved"


class TestBothVersions:
    """Processes of both versions at once: the order of an upgrade is in ``docs/reliability.md``."""

    def test_an_older_triggerer_takes_the_gates_wait(self, before, task):
        with pytest.raises(TaskDeferred) as waits:
            gate().execute(task("gate").context)
        assert {*waits.value.trigger.serialize()[1]} <= {*before.left["parameters"]["trigger"]}

    def test_an_older_worker_refuses_the_gates_wait_since_it_checks_no_number(self, before, task):
        with pytest.raises(TaskDeferred) as waits:
            gate().execute(task("gate").context)
        assert {*waits.value.kwargs} - {*before.left["parameters"]["gate"]} == {"sent", "sn"}

    def test_p3_an_older_triggerer_refuses_a_bound_wait_and_only_that(self, before, task):
        """It would not look whose the ticket is: it fails the task, and a retry defers it anew."""
        sn = sensor("").opener() and before.begins("sensor")["sn"]
        with pytest.raises(TaskDeferred) as waits:
            sensor(sn).execute(task("wait").context)
        unknown = {*waits.value.trigger.serialize()[1]} - {*before.left["parameters"]["trigger"]}
        assert unknown == {"opened_by"}
        with pytest.raises(TaskDeferred) as unbound:
            ItsmTicketSensor(task_id="wait", ticket_sn=sn).execute(task("wait").context)
        assert {*unbound.value.trigger.serialize()[1]} <= {*before.left["parameters"]["trigger"]}

    @pytest.mark.parametrize("change", [{"outcome": "granted"}, {"reason_code": "by_proxy"}, {"sn": None}])
    def test_p3_an_approval_that_only_a_later_version_knows_is_none(self, before, task, change):
        left = before.begins("gate")
        before.sandbox.approve(left["sn"])
        event = {"verdict": left["approve"]["verdict"] | change}
        with pytest.raises(AirflowFailException, match="not one this version of the provider can read"):
            gate().execute_complete(task("gate").context, event, **left["next_kwargs"])

    async def test_a_registration_of_a_later_version_is_read(self, before, dag_version, handed_over):
        left = before.begins("gate")
        arguments = left["trigger"] | {"something_new": 1}
        insert_waits([left["sn"]], dag_version=dag_version, arguments=arguments, conn_id=CONN)
        before.sandbox.reject(left["sn"])
        assert await called_back(before, left["request"], left["sn"]) == "resumed"
        assert handed_over[0]["verdict"]["outcome"] == "rejected"
