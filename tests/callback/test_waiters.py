# SPDX-License-Identifier: Apache-2.0
"""How a waiting task registers itself."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from airflow_provider_bkitsm.callback.waiters import Waiter, ends_here, wait_key, xcoms_of
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict

WAITER = Waiter(ti_id="01a20d5b-e52e-7d97-8d82-4612038db7fd", conn_id="itsm", verdict_field="ok", ends_task=True)
VERDICT = Verdict(sn="REQ1", outcome=Outcome.APPROVED, reason="approved", current_status="FINISHED")


def test_a_registration_survives_the_database():
    assert Waiter.from_value(json.loads(json.dumps(WAITER.as_dict()))) == WAITER


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "",
        7,
        [],
        {},
        WAITER.as_dict() | {"ti_id": "no"},
        WAITER.as_dict() | {"more": 1},
        {"ti_id": 7, "conn_id": ""},
        WAITER.as_dict() | {"conn_id": None},
    ],
)
def test_what_is_no_registration_is_nobody(wrong):
    assert Waiter.from_value(wrong) is None


def test_an_approval_without_a_worker_leaves_what_the_worker_would_have_left():
    verdict = replace(VERDICT, ticket_url="https://itsm.example.com/1")
    assert xcoms_of(verdict) == {
        "return_value": verdict.as_dict(),
        "bkitsm_ticket_url": "https://itsm.example.com/1",
    }


def test_the_key_fits_airflows_column_for_any_number():
    assert len(wait_key("R" * 64)) < 512


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("may", [True, False])
def test_p3_only_an_approval_ends_a_task_without_a_worker(outcome, may):
    ends = ends_here(replace(WAITER, ends_task=may), replace(VERDICT, outcome=outcome))
    assert ends == (may and outcome is Outcome.APPROVED)
