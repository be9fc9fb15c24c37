# SPDX-License-Identifier: Apache-2.0
"""Store and ITSM compared, with every way they can disagree made in the sandbox."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import DagRunStateResult, ErrorResponse

from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.collectors.store import CollectorStore
from airflow_provider_bkitsm.hooks.store import open_store
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.operators.collector import CollectorApplyOperator, CollectorReconcileOperator
from airflow_provider_bkitsm.tickets.approval_store import installation
from airflow_provider_bkitsm.tickets.waits import open_wait_store
from airflow_provider_bkitsm.version_compat import AirflowFailException
from tests.tickets.test_waits import WAIT

CLEAN = {
    "table_id": "app_runtime",
    "etl_config": "bk_log_text",
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
}
KEY = ("bklog_default", 1001)
NOW = timedelta(0)


class Job:
    """The job's task, and what it looks at."""

    def __init__(self, task) -> None:
        self._task = task
        self.runs: dict[str, str] = {}
        self.tasks: dict[str, dict[str, str | None]] = {}
        self.outage = self.tasks_outage = False
        self.meanwhile: Callable[[], object] | None = None
        self.told: Any = None

    def apply(self, number: int = 1001, **more: Any) -> str:
        operator = CollectorApplyOperator(
            task_id="apply", collector_config_id=number, bk_biz_id=2, clean_config=CLEAN, approvers="alice", **more
        )
        self.tasks[f"run_{number}"] = {"apply": "success"}
        return operator.execute(self._task("apply", run_id=f"run_{number}").context)

    def run(self, **parameters: Any) -> dict[str, Any]:
        task = self._task("reconcile")
        context = task.context
        context["ti"].get_dagrun_state = lambda _dag_id, run_id: self._state(run_id)
        context["ti"].get_task_states = self._task_states
        try:
            return CollectorReconcileOperator(task_id="reconcile", **parameters).execute(context)
        finally:
            self.told = task.xcom.get("return_value")

    def one(self, **parameters: Any) -> tuple[str, str]:
        """Run, and return the kind and the action of the only difference."""
        [found] = self.run(**parameters)["differences"]
        return found["kind"], found["action"]

    def _state(self, run_id: str) -> str:
        if self.meanwhile is not None:
            self.meanwhile()
        if self.outage:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 500}))
        if run_id not in self.runs:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 404}))
        # As Airflow hands it to a task: an enum, whose text is not the state.
        return DagRunStateResult(state=self.runs[run_id]).state

    def _task_states(self, *, run_ids: list[str], task_ids: list[str], **_more: Any) -> Any:
        if self.tasks_outage:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 500}))
        found = {run: self.tasks[run] for run in run_ids if run in self.tasks}
        return {run: {name: tasks[name] for name in tasks if name in task_ids} for run, tasks in found.items()}

    def wait(self, sn: str, **record: Any) -> None:
        """Store that the gate of the application's run waits."""
        known = {"installation": installation(), "run_id": "run_1001", "sn": sn}
        open_wait_store().begin(replace(WAIT, **(known | record)))

    @property
    def row(self):
        return open_store().get(*KEY)


@pytest.fixture
def job(sandbox, connections, task) -> Job:
    job = Job(task)
    job.runs["run_1001"] = "running"
    return job


def _asked(sandbox) -> list[list[str]]:
    return [one["body"]["sn"] for one in sandbox.requests("ticket_approval_result")]


def test_nothing_under_way_asks_nobody(job, sandbox):
    assert job.run() == {"applying": 0, "kinds": {}, "differences": [], "closed": []}
    assert sandbox.requests() == []


def test_an_open_ticket_is_no_difference(job, sandbox):
    sandbox.wait_for_step(job.apply())
    assert job.run() == {"applying": 1, "kinds": {"still_waiting": 1}, "differences": [], "closed": []}


def test_p6_a_ticket_of_another_itsm_is_left_to_that_ones_task(job, sandbox, connections):
    """Its number may be another ticket's here."""
    sandbox.reject(job.apply())
    login = {"login": "sandbox", "password": "sandbox-secret"}
    connections("itsm_two", conn_type="bkitsm", host=sandbox.itsm_url, **login)
    assert job.run(bkitsm_conn_id="itsm_two", grace=NOW)["applying"] == 0
    assert (_asked(sandbox), job.row.state) == ([], "applying")
    assert job.run(grace=NOW)["closed"] == [job.row.ticket_sn]


@pytest.mark.parametrize("end", ["approve", "reject", None])
def test_p6_the_applications_of_another_airflow_that_shares_the_store_are_left_to_it(
    job, sandbox, monkeypatch, end
):
    """It has runs that this one knows nothing of, and perhaps another ITSM."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://staging.example.com")
    sn = job.apply()
    if end:
        getattr(sandbox, end)(sn)
    before = job.row
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://production.example.com")
    job.runs = {}
    assert job.run(grace=NOW) == {"applying": 0, "kinds": {}, "differences": [], "closed": []}
    assert (job.row, _asked(sandbox)) == (before, [])


def test_a_decision_that_takes_too_long_is_reported(job):
    job.apply()
    assert job.one(overdue_after=NOW) == ("overdue", "have_a_look")


@pytest.mark.parametrize("state", ["failed", "success"])
def test_an_open_ticket_nobody_waits_for_is_reported(job, state):
    job.apply()
    job.runs["run_1001"] = state
    assert job.one() == ("waiting_but_run_over", "clear_its_run")


@pytest.mark.parametrize("over", [True, False])
def test_p7_an_approved_collector_is_reported_and_never_completed_or_provisioned(job, sandbox, over, caplog):
    sandbox.approve(job.apply())
    before = job.row
    assert job.run()["kinds"] == {"approved_but_applying": 1}
    job.runs["run_1001"] = "failed" if over else "running"
    with caplog.at_level(logging.WARNING):
        assert job.one(grace=NOW) == ("approved_but_applying", "clear_its_run")
    assert "See to the run of task apply of run run_1001 of DAG dag" in caplog.text
    assert job.row == before
    assert sandbox.collector(1001)["etl_writes"] == 0


ENDS = {
    "refused_but_applying": ("rejected", lambda sandbox, sn: sandbox.reject(sn)),
    "withdrawn_but_applying": ("withdrawn", lambda sandbox, sn: sandbox.withdraw(sn)),
    "terminated_but_applying": (
        "terminated",
        lambda sandbox, sn: sandbox.operate(sn, "TERMINATE", operator="alice"),
    ),
}


@pytest.mark.parametrize("kind", ENDS)
def test_p1_a_refused_collector_whose_run_is_over_can_be_applied_for_again(job, sandbox, kind):
    sn = job.apply()
    outcome, end = ENDS[kind]
    end(sandbox, sn)
    job.runs["run_1001"] = "failed"
    result = job.run()
    assert (result["kinds"], result["closed"]) == ({kind: 1}, [sn])
    assert (job.row.state, job.row.outcome) == ("fail_apply", outcome)
    assert [entry.event for entry in open_store().history(*KEY)][-2:] == ["decided", "fail"]
    assert "ended by reconciliation" in str(job.row.last_error)
    assert job.run()["applying"] == 0


@pytest.mark.parametrize("kind", ENDS)
def test_a_refused_collector_is_left_to_its_run_for_a_while(job, sandbox, kind):
    outcome, end = ENDS[kind]
    end(sandbox, job.apply())
    for state in ("running", "queued", None):
        job.runs = {"run_1001": state} if state else {}
        assert job.run() == {"applying": 1, "kinds": {kind: 1}, "differences": [], "closed": []}
    assert job.run(grace=NOW)["closed"]
    assert job.row.outcome == outcome


def test_p5_an_approved_collector_whose_run_was_deleted_can_be_applied_for_again(job, sandbox):
    sn = job.apply()
    sandbox.approve(sn)
    job.runs = {}
    assert job.run() == {"applying": 1, "kinds": {"approved_but_applying": 1}, "differences": [], "closed": []}
    assert job.run(grace=NOW)["closed"] == [sn]
    assert (job.row.state, job.row.outcome) == ("fail_apply", "approved")
    assert sandbox.collector(1001)["etl_writes"] == 0
    assert job.run()["applying"] == 0


def test_p5_an_approved_collector_whose_waiting_task_was_deleted_can_be_applied_for_again(job, sandbox):
    """``airflow db clean`` deletes the row of a trigger, and Airflow the task instance with it."""
    sn = job.apply()
    sandbox.approve(sn)
    job.wait(sn)
    job.runs["run_1001"] = "failed"
    for _ in range(2):
        assert job.run(grace=NOW, close_refused=False)["differences"][0]["action"] == "close"
    assert job.run(grace=NOW)["closed"] == [sn]
    assert job.row.state == "fail_apply"
    job.run()
    assert open_wait_store().waiting(installation()) == []


@pytest.mark.parametrize("tasks", [{"gate": "removed"}, {"gate": "success"}, {"gate": None}])
def test_p7_an_approved_collector_that_a_clear_can_bring_on_is_left_to_its_run(job, sandbox, tasks):
    sn = job.apply()
    sandbox.approve(sn)
    job.wait(sn)
    job.runs["run_1001"], job.tasks["run_1001"] = "failed", {"apply": "success", **tasks}
    assert job.one(grace=NOW) == ("approved_but_applying", "clear_its_run")


@pytest.mark.parametrize("end", ["approve", "reject"])
def test_p5_a_collector_whose_applying_task_was_deleted_can_be_applied_for_again(job, sandbox, end):
    """``airflow db clean --tables task_instance`` deletes the tasks that have begun; their run then fails."""
    sn = job.apply()
    job.runs["run_1001"], job.tasks["run_1001"] = "failed", {"complete": None}
    assert job.one() == ("waiting_but_run_gone", "have_a_look")
    getattr(sandbox, end)(sn)
    assert job.run(grace=NOW)["closed"] == [sn]
    assert job.row.state == "fail_apply"


def test_a_task_that_airflow_cannot_tell_of_is_not_deleted(job, sandbox):
    sandbox.approve(job.apply())
    job.runs["run_1001"] = "failed"
    job.tasks_outage = True
    assert job.one(grace=NOW) == ("approved_but_applying", "clear_its_run")


def test_p5_an_open_ticket_whose_run_was_deleted_is_left_to_people_and_their_answer_ends_it(job, sandbox):
    sn = job.apply()
    job.runs = {}
    assert job.one(grace=NOW) == ("waiting_but_run_gone", "have_a_look")
    assert sandbox.ticket(sn)["status"] == "RUNNING"
    sandbox.reject(sn)
    assert job.run(grace=NOW)["closed"] == [sn]


def test_a_run_that_airflow_cannot_tell_of_is_not_gone(job, sandbox):
    sandbox.approve(job.apply())
    job.outage = True
    assert job.one(grace=NOW) == ("approved_but_applying", "clear_its_run")


def test_p2_a_lost_ticket_of_a_run_that_is_gone_is_found_before_the_application_ends(job, sandbox):
    _intent(sandbox, job)
    row = job.row
    form = row.request["fields"]
    fields = [{"key": key, "value": value} for key, value in form.items()]
    service = {name: row.request[name] for name in ("service_id", "creator") if name in row.request}
    body = {**service, "fields": fields, "tag": row.tag}
    appeared = sandbox.call("POST", "create_ticket", json=body)["sn"]
    job.runs = {}
    assert job.run(grace=NOW)["closed"] == []
    assert (job.row.ticket_sn, job.row.state) == (appeared, "applying")


def test_an_intent_of_a_run_that_is_gone_is_ended_where_no_ticket_is_found(job, sandbox):
    _intent(sandbox, job)
    job.runs = {}
    assert job.run(grace=NOW)["closed"] == [None]
    assert job.row.state == "fail_apply"


def test_p5_a_wait_that_was_ended_unseen_is_made_up_for_and_in_the_result(job, sandbox):
    sn = job.apply()
    sandbox.wait_for_step(sn)
    job.wait(sn)
    job.tasks["run_1001"] = {"gate": "failed"}
    result = job.run()
    assert result["withdrawn"] == [sn]
    assert sandbox.ticket(sn)["status"] == "REVOKED"
    assert "withdrawn" not in job.run()


def test_closing_can_be_switched_off(job, sandbox):
    sandbox.reject(job.apply())
    before = job.row
    assert job.one(grace=NOW, close_refused=False) == ("refused_but_applying", "close")
    assert job.row == before


@pytest.mark.parametrize("stored", ["rejected", "timed_out"])
def test_p3_a_verdict_that_was_stored_stands_and_is_not_asked_for_again(job, sandbox, stored):
    sn = job.apply()
    open_store().decided(*KEY, sn=sn, outcome=stored)
    assert job.run(grace=NOW)["closed"] == [sn]
    assert _asked(sandbox) == []


def test_p3_an_approval_that_was_stored_is_not_ended_by_a_later_refusal(job, sandbox):
    sn = job.apply()
    open_store().decided(*KEY, sn=sn, outcome="approved")
    sandbox.reject(sn)
    assert job.one(grace=NOW) == ("approved_but_applying", "clear_its_run")
    assert job.row.state == "applying"


def test_p3_an_end_without_any_persons_answer_closes_nothing(job, sandbox):
    sandbox.finish_without_evidence(job.apply())
    before = job.row
    assert job.one(grace=NOW) == ("verdict_unclear", "have_a_look")
    assert job.row == before


@pytest.mark.parametrize("more", [{}, {"require_evidence": True}, {"accept_automatic": False}])
def test_p2_an_application_is_read_as_it_was_applied_for(job, sandbox, more):
    """Evidence is waived in its own DAG only."""
    sn = job.apply(require_evidence=False)
    sandbox.wait_for_step(sn)
    sandbox.finish_without_evidence(sn)
    assert job.one(grace=NOW, **more) == ("approved_but_applying", "clear_its_run")
    assert job.row.state == "applying"


def test_p3_a_field_that_is_looked_for_in_vain_closes_nothing(job, sandbox):
    sandbox.reject(job.apply())
    assert job.one(grace=NOW, verdict_field="no_such_field") == ("verdict_unclear", "have_a_look")
    assert job.row.state == "applying"


def test_a_ticket_itsm_does_not_know_is_reported(job, sandbox):
    _intent(sandbox, job)
    open_store().ticket_opened(*KEY, tag=job.row.tag, sn="REQ20260101000099")
    assert job.run()["differences"] == []
    assert job.one(grace=NOW) == ("ticket_unknown", "have_a_look")


def test_p3_a_number_that_itsm_holds_twice_is_reported_and_decides_nothing(job, sandbox):
    sn = job.apply()
    sandbox.reject(sn)
    sandbox.forget_counters()
    assert _theirs(sandbox) == sn
    assert job.one(grace=NOW) == ("ambiguous", "have_a_look")
    assert job.row.outcome is None


def _theirs(sandbox) -> str:
    """Open another application's ticket."""
    form = {"title": "theirs", "APPROVER": "bob", "APPROVAL_CONTENT": "x"}
    fields = [{"key": key, "value": value} for key, value in form.items()]
    body = {"fast_approval": True, "creator": "eve", "fields": fields}
    return str(sandbox.call("POST", "create_ticket", json=body)["sn"])


def _intent(sandbox, job) -> None:
    sandbox.fault("create_ticket", "html")
    with pytest.raises(errors.ItsmOutcomeUnknownError):
        job.apply()


def test_p7_an_intent_without_a_ticket_is_reported_and_kept(job, sandbox):
    _intent(sandbox, job)
    assert job.run()["differences"] == []
    before = job.row
    assert job.one(grace=NOW) == ("intent_without_ticket", "clear_its_run")
    assert job.row == before
    assert _asked(sandbox) == []


def test_p6_itsm_is_asked_about_our_own_tickets_only_and_in_batches(job, sandbox, connections):
    extra = {"settle_seconds": 0.2, "read_retries": 0, "batch_size": 2}
    caller = {"login": "sandbox", "password": "sandbox-secret"}
    connections("bkitsm_default", conn_type="bkitsm", host=sandbox.itsm_url, extra=extra, **caller)
    ours = [job.apply(number) for number in (1001, 1002, 1003)]
    theirs = _theirs(sandbox)
    assert job.run()["applying"] == 3
    asked = _asked(sandbox)
    assert [len(one) for one in asked] == [2, 1]
    assert [sn for one in asked for sn in one] == ours
    assert theirs not in ours
    assert sandbox.requests("callback_failed_ticket") == []


def test_p6_another_applications_ticket_with_the_same_number_closes_nothing(job, sandbox):
    sn = job.apply()
    sandbox.reject(sn)
    open_store().fail(*KEY, sn=sn, reason="gave up")
    _intent(sandbox, job)
    open_store().ticket_opened(*KEY, tag=job.row.tag, sn=sn)
    assert job.one(grace=NOW) == ("ambiguous", "have_a_look")
    assert job.row.state == "applying"


def test_only_one_log_platforms_collectors_can_be_looked_at(job):
    job.apply()
    assert job.run(bklog_conn_id="another")["applying"] == 0
    assert job.run(bklog_conn_id="bklog_default")["applying"] == 1


def test_p6_an_application_that_has_another_ticket_by_now_is_not_touched(job, sandbox, monkeypatch):
    """Compare-and-set: what the store shows when it is written counts, not what it showed when it was read."""
    first = job.apply()
    sandbox.reject(first)
    job.runs["run_1001"] = "failed"
    decided = CollectorStore.decided

    def meanwhile(store, *key, **more):
        monkeypatch.setattr(CollectorStore, "decided", decided)
        store.fail(*key, sn=first, reason="its run was faster")
        job.apply()
        return decided(store, *key, **more)

    monkeypatch.setattr(CollectorStore, "decided", meanwhile)
    assert job.run()["closed"] == []
    assert (job.row.state, job.row.application) == ("applying", 2)
    assert job.row.ticket_sn != first


def test_p3_an_approval_stored_at_the_last_moment_wins(job, sandbox, monkeypatch):
    sn = job.apply()
    sandbox.reject(sn)
    decided = CollectorStore.decided
    monkeypatch.setattr(
        CollectorStore, "decided", lambda store, *key, **more: decided(store, *key, sn=sn, outcome="approved")
    )
    assert job.run(grace=NOW)["closed"] == []
    assert job.row.state == "applying"


def test_what_its_run_changed_in_the_meantime_is_no_difference(job, sandbox):
    """Between the look at the ticket and the one at the run."""
    sn = job.apply()
    sandbox.reject(sn)
    job.meanwhile = lambda: open_store().fail(*KEY, sn=sn, reason="its run was faster")
    assert job.run(grace=NOW)["differences"] == []
    assert job.row.last_error == "its run was faster"


@pytest.mark.parametrize("kind", ["status", "html"])
def test_an_outage_of_itsm_fails_for_a_retry_and_changes_nothing(job, sandbox, kind):
    sandbox.reject(job.apply())
    sandbox.fault("ticket_approval_result", kind)
    before = job.row
    with pytest.raises(errors.ItsmUnavailableError) as caught:
        job.run(grace=NOW)
    assert caught.value.retry_safe
    assert job.row == before
    assert job.run(grace=NOW)["closed"]


def test_an_outage_for_one_ticket_fails_after_the_others_were_dealt_with(job, sandbox):
    first, second = job.apply(), job.apply(1002)
    sandbox.reject(first)
    sandbox.reject(second)
    sandbox.fault("get_ticket_logs", "status")
    with pytest.raises(errors.ItsmUnavailableError):
        job.run(grace=NOW)
    states = {open_store().get("bklog_default", number).state.value for number in (1001, 1002)}
    assert states == {"applying", "fail_apply"}


def test_an_outage_of_the_store_fails_for_a_retry(job, connections):
    connections("down", conn_type="postgres", host="127.0.0.1", port=9, login="u", password="p", schema="s")
    with pytest.raises(StoreUnavailable) as caught:
        job.run(store_conn_id="down")
    assert caught.value.retry_safe


def test_differences_can_fail_the_task_which_still_tells_them(job):
    job.apply()
    job.run(fail_on_difference=True)
    with pytest.raises(AirflowFailException, match="overdue"):
        job.run(fail_on_difference=True, overdue_after=NOW)
    assert job.told["kinds"] == {"overdue": 1}


def test_what_was_ended_leaves_nothing_to_fail_for(job, sandbox):
    sandbox.reject(job.apply())
    assert job.run(fail_on_difference=True, grace=NOW)["closed"]


def test_p8_the_report_is_json_without_payload_or_secrets(job):
    job.apply()
    told = json.dumps(job.run(overdue_after=NOW))
    assert "app_runtime" not in told
    assert "sandbox-secret" not in told
