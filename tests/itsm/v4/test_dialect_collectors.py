# SPDX-License-Identifier: Apache-2.0
"""A log collector's application with ITSM v4 behind the connection: the operators are those of v2."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_bkitsm.hooks.store import open_store
from airflow_provider_bkitsm.itsm.errors import ItsmOutcomeUnknownError
from airflow_provider_bkitsm.plugins.metadata.resume import AirflowMetadata
from tests.operators.test_collector import Flow


@pytest.fixture
def flow(itsm, task, changed) -> Flow:
    changed(workflow_key="collector", form_approvers="approvals")
    return Flow(itsm, task)


def test_the_whole_way(flow, itsm):
    sn = flow.apply()
    found = itsm.ticket(sn)
    assert found["fields"]["approvals"] == ["alice", "bob"]
    assert "app_runtime" in found["fields"]["collector_detail"]
    itsm.approve(sn)
    assert flow.provision()["table_id"] == "2_bklog.app_runtime"
    assert flow.complete()["state"] == "success_apply"


def test_p3_a_refused_application_provisions_nothing(flow, itsm):
    sn = flow.apply()
    itsm.reject(sn)
    with pytest.raises(AirflowFailException, match="refused"):
        flow.provision()
    assert itsm.collector(1001)["etl_writes"] == 0


def test_p2_a_lost_answer_opens_no_second_ticket(flow, itsm):
    itsm.fault("ticket/create", "drop_answer")
    sn = flow.apply()
    assert flow.apply() == sn
    assert len(itsm.tickets()) == 1


def test_p2_a_callback_names_the_ticket_of_a_lost_answer_that_no_list_shows(flow, itsm, changed):
    changed(workflow_key="collector", form_approvers="approvals", system_id=None)
    itsm.set_itsm_v4(visibility="nothing")
    itsm.fault("ticket/create", "drop_answer")
    with pytest.raises(ItsmOutcomeUnknownError):
        flow.apply()
    (ticket,) = itsm.tickets()
    row = open_store().get("bklog_default", 1001)
    assert AirflowMetadata().lost("0" * 32, "bkitsm_default") is None
    assert AirflowMetadata().lost(row.tag, "other") is None
    lost = AirflowMetadata().lost(row.tag, "bkitsm_default")
    assert lost.request == row.request
    lost.found(ticket["id"], "https://apps.example.com/ticket")
    lost.found("102000000000000000000000", "of another ticket, and later")
    assert AirflowMetadata().lost(row.tag, "bkitsm_default") is None
    assert flow.apply() == ticket["id"]
    assert len(itsm.tickets()) == 1
