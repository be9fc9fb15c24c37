# SPDX-License-Identifier: Apache-2.0
"""When a demo's run is as it should be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from demo.result import Result, problems

TASKS = ("apply", "wait", "provision_etl", "complete")
APPROVED = Result(
    run_state="success",
    task_states=dict.fromkeys(TASKS, "success"),
    collector_state="success_apply",
    outcome="approved",
    table_id="2_bklog.app",
    completion_log="",
)
REFUSED = Result(
    run_state="failed",
    task_states=dict(zip(TASKS, ("success", "failed", "upstream_failed", "failed"), strict=True)),
    collector_state="fail_apply",
    outcome="rejected",
    table_id=None,
    completion_log="admin refused: too big",
)


def test_a_good_end_has_no_problems():
    assert list(problems(APPROVED, approved=True)) == []
    assert list(problems(REFUSED, approved=False, said="too big")) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"run_state": "failed"},
        {"collector_state": "applying"},
        {"table_id": None},
        {"task_states": APPROVED.task_states | {"complete": "skipped"}},
    ],
)
def test_an_approval_that_went_wrong_is_told(wrong):
    assert len(list(problems(replace(APPROVED, **wrong), approved=True))) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"run_state": "success"},
        {"collector_state": "success_apply"},
        {"table_id": "2_bklog.app"},
        {"task_states": REFUSED.task_states | {"provision_etl": "success"}},
        {"completion_log": "something else"},
    ],
)
def test_a_refusal_that_went_wrong_is_told(wrong):
    assert len(list(problems(replace(REFUSED, **wrong), approved=False, said="too big"))) == 1
