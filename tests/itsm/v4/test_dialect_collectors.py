# SPDX-License-Identifier: Apache-2.0
"""A log collector's application with ITSM v4 behind the connection: the operators are those of v2."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

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
