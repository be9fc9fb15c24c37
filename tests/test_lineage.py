# SPDX-License-Identifier: Apache-2.0
"""What OpenLineage is told of an approval; with a stand-in for its provider where that is not installed."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import ModuleType

import pytest
from attrs import asdict, define

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.operators.collector import CollectorApplyOperator, CollectorCompleteOperator
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from airflow_provider_bkitsm.version_compat import AirflowFailException
from tests.operators.test_collector import CLEAN

FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
PROVIDER, CLIENT = "airflow.providers.openlineage", "openlineage"


@define
class StandIn:
    """OpenLineage's facets are such classes, too."""


@dataclass
class Lineage:
    run_facets: dict = field(default_factory=dict)


@pytest.fixture
def openlineage(monkeypatch) -> None:
    if find_spec(CLIENT) is not None:
        return
    extractors, facets = ModuleType(f"{PROVIDER}.extractors"), ModuleType(f"{CLIENT}.client.facet_v2")
    extractors.OperatorLineage, facets.RunFacet = Lineage, StandIn
    for name, module in {
        PROVIDER: ModuleType(PROVIDER),
        f"{PROVIDER}.extractors": extractors,
        CLIENT: ModuleType(CLIENT),
        f"{CLIENT}.client": ModuleType(f"{CLIENT}.client"),
        f"{CLIENT}.client.facet_v2": facets,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "airflow_provider_bkitsm.lineage", raising=False)


@pytest.fixture
def sn(connections) -> str:
    return ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn


def facet(task) -> dict:
    (one,) = task.get_openlineage_facets_on_complete(None).run_facets.items()
    assert one[0] == "bkitsm_approval"
    return {name: value for name, value in asdict(one[1]).items() if not name.startswith("_")}


def test_an_approval_is_told_with_who_when_and_where(openlineage, sn, sandbox, task):
    sandbox.approve(sn, remark="not for everybody's eyes")
    sensor = ItsmTicketSensor(task_id="wait", ticket_sn=sn, deferrable=False)
    sensor.execute(task("wait").context)
    told = facet(sensor)
    (answer,) = told.pop("approvers")
    assert (answer.pop("operator"), answer.pop("approved")) == ("alice", True)
    assert answer == {"decided_at": told.pop("decided_at")}
    assert told == {
        "conn_id": "bkitsm_default",
        "sn": sn,
        "outcome": "approved",
        "reason": "approved",
        "title": "t",
        "ticket_url": f"{sandbox.url}/#/ticket/detail?id=1",
        "evidence_required": True,
        "service_id": None,
    }


def test_so_is_a_refusal_which_fails_the_task(openlineage, sn, sandbox, task):
    sandbox.reject(sn)
    sensor = ItsmTicketSensor(task_id="wait", ticket_sn=sn, deferrable=False)
    with pytest.raises(AirflowFailException):
        sensor.execute(task("wait").context)
    lineage = sensor.get_openlineage_facets_on_failure(None)
    assert lineage.run_facets["bkitsm_approval"].outcome == "rejected"


def test_a_service_that_the_task_names_is_told(openlineage, sn, sandbox, task):
    sandbox.approve(sn)
    gate = ItsmApprovalOperator(task_id="gate", title="t", service_id=7)
    event = ItsmTicketSensor(task_id="wait", ticket_sn=sn, deferrable=False).execute(task("wait").context)
    gate.execute_complete(task("gate").context, {"verdict": event})
    assert (facet(gate)["service_id"], facet(gate)["sn"]) == ("7", sn)


def test_a_task_that_has_seen_no_ticket_tells_nothing(openlineage):
    assert ItsmTicketSensor(task_id="wait", ticket_sn="x").get_openlineage_facets_on_complete(None) is None


def test_without_openlineage_a_wait_is_as_it_was(sn, sandbox, task, monkeypatch):
    for name in (PROVIDER, CLIENT, "airflow_provider_bkitsm.lineage"):
        monkeypatch.setitem(sys.modules, name, None)
    sandbox.approve(sn)
    sensor = ItsmTicketSensor(task_id="wait", ticket_sn=sn, deferrable=False)
    assert sensor.execute(task("wait").context)["outcome"] == "approved"


@pytest.mark.parametrize("sensor", [ItsmTicketSensor, ItsmApprovalOperator])
def test_airflow_takes_a_wait_beside_listeners(sensor):
    """It refuses every task that has this attribute set, which is for triggers that know of no worker."""
    more = {"ticket_sn": "x"} if sensor is ItsmTicketSensor else {"title": "t", "compare_parameters": False}
    assert not getattr(sensor(task_id="wait", **more), "end_from_trigger", False)


def test_a_collectors_application_tells_of_its_ticket_and_its_end_of_the_verdict(
    openlineage, connections, sandbox, task
):
    common = {"collector_config_id": 1001, "bk_biz_id": 2}
    apply = CollectorApplyOperator(task_id="apply", clean_config=CLEAN, approvers="alice", **common)
    sn = apply.execute(task("apply").context)
    assert (facet(apply)["sn"], facet(apply)["outcome"]) == (sn, "waiting")
    sandbox.reject(sn)
    complete = CollectorCompleteOperator(task_id="complete", on_not_approved="pass", **common)
    complete.execute(task("complete").context)
    told = facet(complete)
    assert (told["sn"], told["outcome"], told["approvers"][0]["operator"]) == (sn, "rejected", "alice")
