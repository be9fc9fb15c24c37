# SPDX-License-Identifier: Apache-2.0
"""What has to do with the person who looks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_bkitsm.approvals.rows import ApprovalWait, TaskKey, Viewer, row_of

TASK = TaskKey(dag_id="d", run_id="r", task_id="t")
ROW = row_of(ApprovalWait(task=TASK, state="deferred", sn="REQ1", conn_id="itsm"), None)
ME = Viewer(airflow_name="Alice Doe", itsm_name="alice")
NOBODY = Viewer(airflow_name="", itsm_name="")


@pytest.mark.parametrize(
    "changes",
    [
        {"approvers": ("bob", "alice")},
        {"decided_by": ("alice",)},
        {"creator": "alice"},
        {"triggered_by": "Alice Doe"},
    ],
)
def test_a_row_is_mine_by_my_name_on_it(changes):
    assert ME.is_concerned(replace(ROW, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"approvers": ("alice2", "ALICE"), "creator": "malice"},
        {"creator": "Alice Doe", "triggered_by": "alice"},
        {"triggered_by": "Alice"},
    ],
)
def test_another_name_is_not_mine(changes):
    assert not ME.is_concerned(replace(ROW, **changes))


def test_a_ticket_that_itsm_calls_mine_is_mine():
    me = replace(ME, tickets=frozenset({("itsm", "REQ1")}))
    assert me.is_concerned(ROW)
    assert not me.is_concerned(replace(ROW, conn_id="other"))
    assert not me.is_concerned(replace(ROW, sn="REQ2"))


def test_who_has_no_name_has_no_rows():
    assert not NOBODY.is_concerned(replace(ROW, approvers=("",), creator="", triggered_by=""))
