# SPDX-License-Identifier: Apache-2.0
"""The gate for any service on a running Airflow: every way to wait, mapped tickets, deadlines."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.itsm.idempotency import unmarked_title
from demo.airflow_api import wait_until

TITLES = ("First", "Second")
MODES = ("poke", "reschedule", "deferrable")


@pytest.fixture(scope="module")
def runs(airflow) -> dict[str, str]:
    """Start a run for each test at once."""
    conf = {"content": "two minutes down"}
    return {dag: airflow.api.trigger(dag, conf) for dag in ("any_service", "mapped_tickets", "timed_out")}


def test_one_ticket_is_waited_for_in_every_mode(airflow, itsm, runs):
    api, run = airflow.api, runs["any_service"]
    for mode, state in zip(MODES, ("running", "up_for_reschedule", "deferred"), strict=True):
        api.wait_for_task("any_service", run, mode, state)
    sn = api.xcom("any_service", run, "ask")
    fields = itsm.control.call("GET", "get_ticket_info", params={"sn": sn})["fields"]
    assert "two minutes down" in [one["value"] for one in fields]
    itsm.decide(sn, "approve", "go")
    assert api.wait_for_run("any_service", run) == "success"
    for mode in MODES:
        verdict = api.xcom("any_service", run, mode)
        assert "approved" in str(verdict)
        assert "go" in str(verdict)


def test_mapped_tickets_are_waited_for_each(airflow, itsm, control, runs):
    run = runs["mapped_tickets"]
    path = f"dags/mapped_tickets/dagRuns/{run}/taskInstances"
    waits = {"task_id": "wait"}

    def states() -> list[str]:
        listed = airflow.api.call("GET", path, params=waits)["task_instances"]
        return sorted(str(one["state"]) for one in listed if one["map_index"] >= 0)

    wait_until(lambda: states() == ["deferred", "deferred"], states)
    first, second = (
        next(one["sn"] for one in control.tickets() if unmarked_title(one["title"]) == title) for title in TITLES
    )
    itsm.decide(first, "approve", "")
    itsm.decide(second, "reject", "no")
    assert airflow.api.wait_for_run("mapped_tickets", run) == "success"
    assert states() == ["skipped", "success"]


def test_p5_a_deadline_fails_the_wait_for_good_and_the_ticket_is_withdrawn(airflow, itsm, runs):
    api, run = airflow.api, runs["timed_out"]
    assert api.wait_for_run("timed_out", run) == "success"
    assert api.task_states("timed_out", run) == {"ask": "success", "wait": "failed", "withdraw": "success"}
    assert "nobody decided" in api.log("timed_out", run, "wait")
    sn = api.xcom("timed_out", run, "ask")
    assert itsm.control.ticket(sn)["status"] == "REVOKED"
