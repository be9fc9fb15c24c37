# SPDX-License-Identifier: Apache-2.0
"""Separation of duties (promise P3) of an application for a collector."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_bkitsm.hooks.store import open_store
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError, ItsmInvalidRequestError
from airflow_provider_bkitsm.operators.collector import CollectorApplyOperator, CollectorProvisionEtlOperator
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import LOG_BUILT_IN
from tests.operators.test_collector import CLEAN, KEY

COLLECTOR = {"collector_config_id": "1001", "bk_biz_id": "2"}


@pytest.fixture
def applying(connections, task):
    def run(person="alice", **more):
        known = {"clean_config": CLEAN, "approvers": ["alice", "bob"], "reason": "new service", **COLLECTOR}
        operator = CollectorApplyOperator(task_id="apply", **known | more)
        return operator.execute(task("apply", person=person).context)

    return run


@pytest.fixture
def provisioning(connections, task):
    def run(**more):
        operator = CollectorProvisionEtlOperator(task_id="provision", **COLLECTOR, **more)
        return operator.execute(task("provision").context)

    return run


def test_the_approver_sees_and_the_store_keeps_who_asks(applying, sandbox):
    detail = sandbox.ticket(applying())["fields"]["collector_detail"]
    assert "申请人" in json.dumps(detail, ensure_ascii=False)
    assert open_store().get(*KEY).request["requester"] == "alice"


@pytest.mark.parametrize(("person", "creator"), [("alice", "alice"), (None, "admin")])
def test_the_ticket_is_opened_in_the_requesters_name(applying, sandbox, person, creator):
    assert sandbox.ticket(applying(person, creator="requester"))["creator"] == creator


def test_p3_a_yes_of_the_requester_alone_provisions_nothing(applying, provisioning, sandbox):
    sn = applying(forbid_self_approval=True)
    sandbox.approve(sn, operator="alice")
    with pytest.raises(AirflowFailException, match="alice asked; alice said yes"):
        provisioning()
    assert not sandbox.collector(1001)["table_id"]
    # Nobody's answer: the application stays as it is.
    assert open_store().get(*KEY).outcome is None


def test_another_persons_yes_provisions_it(applying, provisioning, sandbox):
    sandbox.approve(applying(forbid_self_approval=True), operator="bob")
    assert provisioning()["table_id"] == "2_bklog.app_runtime"


def test_p3_the_configuration_counts_as_it_was_when_it_was_asked(applying, provisioning, sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__FORBID_SELF_APPROVAL", "True")
    sn = applying()
    monkeypatch.delenv("AIRFLOW__BKITSM__FORBID_SELF_APPROVAL")
    sandbox.approve(sn, operator="alice")
    with pytest.raises(AirflowFailException, match="alice asked"):
        provisioning()


def test_p3_the_etls_task_may_be_stricter(applying, provisioning, sandbox):
    sandbox.approve(applying(), operator="alice")
    with pytest.raises(AirflowFailException, match="too few people"):
        provisioning(min_approvers=2)
    with pytest.raises(AirflowFailException, match="alice asked"):
        provisioning(forbid_self_approval=True)
    assert provisioning()["table_id"] == "2_bklog.app_runtime"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"approvers": "alice", "forbid_self_approval": True}, ItsmInvalidRequestError),
        ({"approvers": "alice,bob", "forbid_self_approval": True, "min_approvers": 2}, ItsmInvalidRequestError),
        ({"service_id": LOG_BUILT_IN, "approvers": (), "min_approvers": 2}, ItsmInvalidRequestError),
        ({"person": "Alice Smith", "forbid_self_approval": True}, ItsmConfigurationError),
    ],
)
def test_p3_what_nobody_could_approve_is_not_asked(applying, sandbox, wrong, error):
    with pytest.raises(error, match="o ticket was opened"):
        applying(**wrong)
    assert sandbox.tickets() == []
