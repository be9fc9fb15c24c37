# SPDX-License-Identifier: Apache-2.0
"""The main job on a running Airflow: a collector goes live only after its ticket is approved."""

from __future__ import annotations

import pytest

from demo.airflow_api import AirflowApi, wait_until
from tests.e2e.conftest import DAG_ID

TASKS = ("apply", "wait", "provision_etl", "complete")
# One run for each test, and a collector of its own for each, so that none blocks another.
NAMES = ("approved", "rejected", "withdrawn", "etl_fails", "second_run", "killed", "run_failed")


@pytest.fixture(scope="module")
def runs(airflow, control) -> dict[str, Run]:
    """Start all runs at once."""
    for number, _ in enumerate(NAMES, 2001):
        control.put_collector(number, bk_biz_id=2)
    started = {name: Run(airflow.api, number) for number, name in enumerate(NAMES, 2001)}
    return {name: run.waits() for name, run in started.items()}


@pytest.fixture(scope="module")
def decided(runs, itsm) -> dict[str, Run]:
    """Decide at once on those whose end alone is looked at."""
    itsm.decide(runs["approved"].sn, "approve", "go ahead")
    itsm.decide(runs["rejected"].sn, "reject", "three days are enough")
    itsm.decide(runs["withdrawn"].sn, "withdraw", "not needed")
    runs["killed"].api.set_task_state(DAG_ID, runs["killed"].id, "wait", "failed")
    return runs


class Run:
    """A run for a collector."""

    def __init__(self, api: AirflowApi, collector: int, business: int = 2) -> None:
        self.api = api
        self.collector = collector
        self.id = api.trigger(DAG_ID, {"collector_config_id": collector, "bk_biz_id": business})
        self.sn = ""

    def waits(self) -> Run:
        """Wait until it has opened its ticket and waits in the triggerer."""
        self.api.wait_for_task(DAG_ID, self.id, "wait", "deferred")
        self.sn = self.api.xcom(DAG_ID, self.id, "apply")
        return self

    def end(self) -> tuple[str, tuple[str | None, ...]]:
        """Wait for the end; return the run's state and its tasks' states in order."""
        state = self.api.wait_for_run(DAG_ID, self.id)
        states = self.api.task_states(DAG_ID, self.id)
        return state, tuple(states[task] for task in TASKS)

    def log(self, task: str) -> str:
        return self.api.log(DAG_ID, self.id, task)


def test_p7_until_the_decision_the_collector_is_applying_and_the_etl_untouched(itsm, store, runs):
    run = runs["approved"]
    assert store.get("bklog_default", run.collector).state == "applying"
    assert itsm.control.collector(run.collector)["table_id"] is None
    address = [f"{itsm.url}/#/ticket/detail?id={itsm.control.ticket(run.sn)['id']}"]

    def button() -> bool:
        return list(run.api.links(DAG_ID, run.id, "wait").values()) == address

    # The triggerer makes the button appear with its first look.
    wait_until(button, lambda: "there is no button")


def test_approved_the_etl_is_provisioned_and_the_collector_complete(itsm, store, decided):
    run = decided["approved"]
    assert run.end() == ("success", ("success",) * 4)
    assert itsm.control.collector(run.collector)["table_id"] == "2_bklog.app_runtime"
    assert store.get("bklog_default", run.collector).state == "success_apply"
    assert [entry.event for entry in store.history("bklog_default", run.collector)] == [
        "apply",
        "ticket_opened",
        "decided",
        "provisioned",
        "complete",
    ]


def test_p3_rejected_the_etl_is_never_touched_and_the_log_says_who_and_why(itsm, store, decided):
    run = decided["rejected"]
    assert run.end() == ("failed", ("success", "failed", "upstream_failed", "failed"))
    for task in ("wait", "complete"):
        assert "admin refused: three days are enough" in run.log(task)
    row = store.get("bklog_default", run.collector)
    assert (row.state, row.outcome) == ("fail_apply", "rejected")
    assert itsm.control.collector(run.collector)["table_id"] is None
    assert run.api.task(DAG_ID, run.id, "wait")["try_number"] == 1


def test_p3_withdrawn_is_not_approved(itsm, store, decided):
    run = decided["withdrawn"]
    assert run.end() == ("failed", ("success", "failed", "upstream_failed", "failed"))
    row = store.get("bklog_default", run.collector)
    assert (row.state, row.outcome) == ("fail_apply", "withdrawn")
    assert itsm.control.collector(run.collector)["table_id"] is None


def test_p7_an_etl_that_failed_is_resumed_without_a_second_ticket(itsm, control, store, decided):
    run = decided["etl_fails"]
    # The only one with an ETL still to come.
    decided["approved"].end()
    control.fault("update_or_create_clean_config", "refuse", code="3631307")
    itsm.decide(run.sn, "approve", "fine")
    assert run.end() == ("failed", ("success", "success", "failed", "failed"))
    row = store.get("bklog_default", run.collector)
    assert (row.state, row.outcome, row.provisioned_at) == ("fail_apply", "approved", None)
    assert "3631307" in run.log("complete")
    run.api.clear(DAG_ID, run.id, ["provision_etl"])
    assert run.end() == ("success", ("success",) * 4)
    row = store.get("bklog_default", run.collector)
    assert (row.state, row.ticket_sn, row.application) == ("success_apply", run.sn, 1)


def test_p2_a_second_run_for_a_collector_that_is_applying_opens_no_ticket(airflow, itsm, control, store, runs):
    run = runs["second_run"]
    second = airflow.api.trigger(DAG_ID, {"collector_config_id": run.collector})
    assert airflow.api.wait_for_run(DAG_ID, second) == "failed"
    assert run.sn in airflow.api.log(DAG_ID, second, "apply")
    assert tickets_of(control, run.collector) == [run.sn]
    assert store.get("bklog_default", run.collector).state == "applying"
    itsm.decide(run.sn, "approve", "")
    assert run.end()[0] == "success"


def test_p5_a_wait_killed_by_a_person_leaves_no_open_ticket(itsm, store, decided):
    run = decided["killed"]
    assert run.end()[0] == "failed"
    assert itsm.control.ticket(run.sn)["status"] == "REVOKED"
    assert store.get("bklog_default", run.collector).state == "fail_apply"


def test_p5_a_run_that_a_person_failed_does_not_lock_its_collector(airflow, itsm, store, runs):
    run = runs["run_failed"]
    airflow.api.call("PATCH", f"dags/{DAG_ID}/dagRuns/{run.id}", json={"state": "failed"})
    assert store.get("bklog_default", run.collector).state == "applying"
    itsm.decide(run.sn, "withdraw", "obsolete")
    second = Run(airflow.api, run.collector).waits()
    assert second.sn != run.sn
    itsm.decide(second.sn, "approve", "")
    assert second.end()[0] == "success"
    assert store.get("bklog_default", run.collector).state == "success_apply"


def test_p8_no_log_shows_the_app_secret(airflow):
    logs = [path for path in (airflow.home / "logs").rglob("*.log") if path.is_file()]
    assert len(logs) > len(TASKS)
    assert not [path for path in logs if "sandbox-secret" in path.read_text(errors="replace")]


def tickets_of(control, collector: int) -> list[str]:
    return [one["sn"] for one in control.tickets() if f"collector-{collector}" in one["title"]]
