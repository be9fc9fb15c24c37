# SPDX-License-Identifier: Apache-2.0
"""Waiting for a ticket on a worker; the triggerer's half is in ``tests/triggers``."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred
from airflow.sdk import DAG
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import DeleteXCom, SetXCom

from airflow_provider_bkitsm.callback.waiters import Waiter
from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.idempotency import creation_tag
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.mixins import VERDICT_KEY
from airflow_provider_bkitsm.operators.ticket import ItsmCreateTicketOperator
from airflow_provider_bkitsm.plugins.metadata.callback_message import Message
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from airflow_provider_bkitsm.tickets.approval_store import open_approval_store
from tests.tickets.records import record_round

FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}


@pytest.fixture
def sn(connections) -> str:
    return ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn


@pytest.fixture
def who(task):
    return task("wait")


def sensor(sn: str, **parameters) -> ItsmTicketSensor:
    return ItsmTicketSensor(task_id="wait", ticket_sn=sn, **({"poke_interval": 0.05} | parameters))


def test_an_approved_ticket_is_a_json_object_at_once(sn, sandbox, who):
    sandbox.approve(sn, remark="fine")
    result = sensor(sn).execute(who.context)
    assert (result["sn"], result["outcome"], result["current_status"]) == (sn, "approved", "FINISHED")
    assert result["approvers"][0] | {"decided_at": ""} == {
        "operator": "alice",
        "approved": True,
        "remark": "fine",
        "decided_at": "",
    }
    assert result["decided_at"].endswith("+00:00")
    assert who.xcom["bkitsm_ticket_url"] == result["ticket_url"]


def test_an_open_ticket_is_deferred_after_one_look_and_its_button_is_there(sn, who):
    with pytest.raises(TaskDeferred) as deferred:
        sensor(sn, approval_timeout="90").execute(who.context)
    path, arguments = deferred.value.trigger.serialize()
    assert path == "airflow_provider_bkitsm.triggers.ticket.ItsmTicketTrigger"
    assert arguments["approval_timeout"] == 90
    assert "bkitsm_ticket_url" in who.xcom


def test_reschedule_gives_the_worker_back_between_looks(sn, who, sandbox):
    waiting = sensor(sn, deferrable=False, mode="reschedule")
    context = who.context
    context["ti"].get_first_reschedule_date = lambda _: None
    with pytest.raises(Exception, match=r".*") as rescheduled:
        waiting.execute(context)
    assert type(rescheduled.value).__name__ == "AirflowRescheduleException"
    sandbox.approve(sn)
    assert waiting.execute(context)["outcome"] == "approved"


def test_poke_waits_on_the_worker(sn, who, sandbox):
    threading.Timer(0.3, sandbox.approve, [sn]).start()
    assert sensor(sn, deferrable=False).execute(who.context)["outcome"] == "approved"


@pytest.mark.parametrize(
    ("end", "outcome"),
    [("reject", "rejected"), ("withdraw", "withdrawn"), ("terminate", "terminated"), ("no evidence", "rejected")],
)
@pytest.mark.parametrize(
    ("policy", "raised"), [("fail", AirflowFailException), ("skip", AirflowSkipException), ("pass", None)]
)
def test_p3_whatever_is_not_approved_ends_as_the_policy_says(sn, sandbox, who, end, outcome, policy, raised):
    actions = {
        "reject": lambda: sandbox.reject(sn, remark="no"),
        "withdraw": lambda: sandbox.withdraw(sn),
        "terminate": lambda: sandbox.operate(sn, "TERMINATE", operator="alice"),
        "no evidence": lambda: sandbox.finish_without_evidence(sn),
    }
    actions[end]()
    waiting = sensor(sn, on_not_approved=policy)
    if raised:
        with pytest.raises(raised, match=outcome):
            waiting.execute(who.context)
        assert who.xcom["verdict"]["outcome"] == outcome
    else:
        assert waiting.execute(who.context)["outcome"] == outcome


def test_the_deadline_counts_from_the_tickets_creation_not_from_this_try(sn, who):
    with pytest.raises(AirflowFailException, match="timed_out"):
        sensor(sn, approval_timeout=timedelta(0)).execute(who.context)


def test_p1_a_decision_wins_over_the_deadline(sn, sandbox, who):
    sandbox.approve(sn)
    assert sensor(sn, approval_timeout=0).execute(who.context)["outcome"] == "approved"


def test_without_a_timeout_the_wait_has_no_end(sn, who):
    with pytest.raises(TaskDeferred) as deferred:
        sensor(sn, approval_timeout=None).execute(who.context)
    assert deferred.value.trigger.serialize()[1]["approval_timeout"] is None


def test_an_outage_at_the_first_look_is_waited_out(sn, sandbox, who):
    sandbox.fault("ticket_approval_result", "html")
    with pytest.raises(TaskDeferred):
        sensor(sn).execute(who.context)


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 403}, {"kind": "refuse", "code": 1306000}])
def test_an_error_that_will_not_pass_fails_the_task(sn, sandbox, who, fault):
    sandbox.fault("ticket_approval_result", **fault)
    with pytest.raises(errors.ItsmError):
        sensor(sn).execute(who.context)


@pytest.mark.parametrize("empty", ["", "  ", None, "None"])
def test_p3_an_empty_number_is_an_error_never_a_wait(connections, who, empty):
    with pytest.raises(errors.ItsmConfigurationError, match="ticket_sn is empty"):
        sensor(empty).execute(who.context)


def test_a_number_itsm_does_not_know_is_not_approved(connections, who):
    with pytest.raises(TaskDeferred):
        sensor("REQ20000101000001").execute(who.context)


def test_on_a_worker_a_number_itsm_does_not_know_is_looked_for_three_times(connections, sandbox, who):
    with pytest.raises(errors.ItsmTicketNotFoundError):
        sensor("REQ20000101000001", deferrable=False, poke_interval=0.01).execute(who.context)
    assert len(sandbox.requests("ticket_approval_result")) == 3


def test_between_reschedules_it_is_looked_for_as_long(connections, who):
    context = who.context

    def look(began):
        context["ti"].get_first_reschedule_date = lambda _: began
        waiting = sensor("REQ20000101000001", deferrable=False, mode="reschedule", poke_interval=60)
        return waiting.poke(context).is_done

    now = datetime.now(UTC)
    assert look(None) is look(now - timedelta(seconds=61)) is False
    with pytest.raises(errors.ItsmTicketNotFoundError):
        look(now - timedelta(seconds=121))


def test_p1_a_ticket_that_is_missing_once_in_a_while_is_waited_for(sn, sandbox, who, monkeypatch):
    waiting = sensor(sn, deferrable=False)
    for _ in range(4):
        assert not waiting.poke(who.context).is_done
        with monkeypatch.context() as lagging:
            lagging.setattr(waiting, "ticket_sn", "REQ20000101000001")
            assert [waiting.poke(who.context).is_done for _ in range(2)] == [False, False]


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("soft", ["soft_fail", "never_fail"])
def test_soft_fail_skips_what_the_first_look_sees_refused(sn, sandbox, who, soft, deferrable):
    sandbox.reject(sn, remark="no")
    with pytest.raises(AirflowSkipException) as skipped:
        sensor(sn, deferrable=deferrable, **{soft: True}).execute(who.context)
    assert "alice refused: no" in f"{skipped.value} {skipped.value.__cause__}"


def test_only_never_fail_skips_an_error(sn, sandbox, who):
    sandbox.fault("ticket_approval_result", "status", status=403, times=2)
    with pytest.raises(errors.ItsmPermissionError):
        sensor(sn, soft_fail=True).execute(who.context)
    with pytest.raises(AirflowSkipException):
        sensor(sn, never_fail=True).execute(who.context)


@pytest.mark.parametrize("wrong", ["tomorrow", -1, timedelta(-1), timedelta.max])
def test_a_wrong_time_is_told_when_the_dag_is_parsed(wrong):
    with pytest.raises(errors.ItsmConfigurationError, match="approval_timeout"):
        sensor("REQ1", approval_timeout=wrong)
    assert sensor("REQ1", approval_timeout="{{ params.time }}").approval_timeout == "{{ params.time }}"


def test_a_deferrable_wait_needs_a_pause_between_two_looks():
    with pytest.raises(ValueError, match="poke_interval"):
        sensor("REQ1", poke_interval=0)
    assert sensor("REQ1", poke_interval=0, deferrable=False).poke_interval == 0


def test_a_timeout_that_is_no_number_is_named(sn, who):
    waiting = sensor(sn, approval_timeout="{{ params.time }}")
    waiting.approval_timeout = "tomorrow"
    with pytest.raises(errors.ItsmConfigurationError, match="approval_timeout"):
        waiting.execute(who.context)


def test_the_triggers_error_fails_the_task_and_says_what_a_retry_does(sn, who):
    with pytest.raises(errors.ItsmError, match="a retry waits for the same ticket"):
        sensor(sn).execute_complete(who.context, {"error": "broken", "kind": "ItsmError"})


def decided(sn: str, outcome: str = "approved") -> dict:
    verdict = {"sn": sn, "outcome": outcome, "reason": outcome, "current_status": "FINISHED", "approvers": []}
    return {"verdict": verdict}


def test_p3_an_event_about_another_ticket_ends_nothing_and_the_wait_goes_on(sn, who):
    with pytest.raises(TaskDeferred) as deferred:
        sensor(sn).execute_complete(who.context, decided("REQ_chairs"))
    assert deferred.value.trigger.serialize()[1]["ticket_sn"] == sn
    assert who.xcom == {}


@pytest.mark.parametrize("outcome", ["rejected", "withdrawn", "timed_out"])
def test_p3_nor_does_another_tickets_end(sn, sandbox, who, outcome):
    sandbox.wait_for_step(sn)
    with pytest.raises(TaskDeferred):
        sensor(sn, on_timeout="withdraw").execute_complete(who.context, decided("REQ_chairs", outcome))
    assert sandbox.ticket(sn)["status"] == "RUNNING"


def test_a_number_that_is_gone_since_the_wait_began_costs_no_decision(connections, who):
    assert sensor("None").execute_complete(who.context, decided("REQ1"))["outcome"] == "approved"


@pytest.mark.parametrize(("end", "raised"), [("approve", None), ("reject", AirflowFailException)])
def test_p3_a_callback_that_only_wakes_the_worker_has_it_read_its_own_ticket(sn, sandbox, who, end, raised):
    getattr(sandbox, end)(sn)
    if raised is None:
        assert sensor(sn).execute_complete(who.context, {"look": True})["outcome"] == "approved"
    else:
        with pytest.raises(raised, match="rejected"):
            sensor(sn).execute_complete(who.context, {"look": True})


@pytest.mark.parametrize("fault", [None, "html"])
def test_p1_a_ticket_that_is_open_or_cannot_be_read_is_waited_for_again(sn, sandbox, who, fault):
    if fault:
        sandbox.fault("ticket_approval_result", fault, times=9)
    with pytest.raises(TaskDeferred) as deferred:
        sensor(sn).execute_complete(who.context, {"look": True})
    assert deferred.value.trigger.serialize()[1]["ticket_sn"] == sn


@pytest.mark.parametrize("deferrable", [True, False])
def test_p1_an_approval_whose_ticket_cannot_be_read_back_yet_is_waited_for(sn, sandbox, who, deferrable):
    record_round(sn, request={"fields": FORM, "fast_approval": True})
    sandbox.approve(sn)
    sandbox.fault("get_ticket_info", "html", times=1)
    waiting = sensor(sn, opened_by="ask", deferrable=deferrable)
    if deferrable:
        with pytest.raises(TaskDeferred):
            waiting.execute(who.context)
    assert waiting.execute(who.context)["outcome"] == "approved"


def test_a_worker_of_the_version_before_takes_a_wake_up_for_an_error():
    waiter = Waiter(ti_id="01a20d5b-e52e-7d97-8d82-4612038db7fd", conn_id="c")
    message = Message(waiter=waiter, read=Verdict.from_dict(decided("REQ1")["verdict"]))
    assert {"look", "error"} <= message.event.keys()


WAYS = {
    "looks": lambda one, sn, context: one.execute(context),
    "is told": lambda one, sn, context: one.execute_complete(context, decided(sn)),
    "is woken": lambda one, sn, context: one.execute_complete(context, {"look": True}),
    "pokes": lambda one, sn, context: one.poke(context).xcom_value,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_p3_another_tasks_ticket_is_not_approved_however_the_worker_learns_of_it(sn, sandbox, who, way):
    """Whoever writes XComs has put the number of an approved ticket in the place of the gate's own."""
    sandbox.approve(sn)
    record_round("REQ_own")
    with pytest.raises(AirflowFailException, match="REQ_own") as failed:
        way(sensor(sn, opened_by="ask"), sn, who.context)
    assert sn in str(failed.value)
    assert who.xcom["verdict"]["reason_code"] == "not_its_ticket"
    assert who.xcom["return_value"]["outcome"] == "rejected"


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("opened_by", [None, "ask", "anyone"])
def test_p1_its_own_ticket_is(sn, sandbox, who, way, opened_by):
    sandbox.approve(sn)
    record_round(sn)
    assert way(sensor(sn, opened_by=opened_by), sn, who.context)["outcome"] == "approved"


LOST = {
    "its first look": lambda one, context: one.execute(context),
    "an event of the trigger's": lambda one, context: one.execute_complete(context, {"look": True}),
    "its trigger is gone": lambda one, context: one.execute_complete(context, None),
}


@pytest.mark.parametrize("way", LOST.values(), ids=LOST)
def test_p1_a_worker_whose_xcom_was_deleted_goes_on_with_its_own_ticket(sn, sandbox, who, way):
    sandbox.approve(sn)
    record_round(sn)
    assert way(sensor(None, opened_by="ask"), who.context)["sn"] == sn


@pytest.mark.parametrize("way", LOST.values(), ids=LOST)
def test_p1_and_waits_for_it_while_it_is_open(sn, who, way):
    record_round(sn)
    with pytest.raises(TaskDeferred) as deferred:
        way(sensor(None, opened_by="ask"), who.context)
    assert deferred.value.trigger.ticket_sn == sn


def begin_to_wait(sn: str, who) -> None:
    begun = sensor(sn)
    begun.pre_execute(who.context)
    with pytest.raises(TaskDeferred):
        begun.execute(who.context)


@pytest.mark.parametrize("call", [{"look": True}, None])
def test_p1_nor_does_a_worker_lose_the_ticket_of_a_number_from_elsewhere(sn, sandbox, who, call):
    """No opener's record brings the number, and Airflow's clean-up has deleted the XCom that brought it."""
    begin_to_wait(sn, who)
    sandbox.approve(sn)
    resumed = sensor(None)
    resumed.pre_execute(who.context)
    assert resumed.execute_complete(who.context, call)["sn"] == sn


def test_p3_a_retry_without_a_number_takes_no_ticket_of_an_earlier_try(sn, sandbox, who, task):
    begin_to_wait(sn, who)
    sandbox.approve(sn)
    retried, again = sensor(None), task("wait", try_number=2)
    retried.pre_execute(again.context)
    with pytest.raises(errors.ItsmConfigurationError, match="ticket_sn is empty"):
        retried.execute(again.context)


def test_p3_a_worker_without_a_number_takes_no_ticket_that_another_task_has_opened(sn, sandbox, who):
    sandbox.approve(sn)
    record_round(sn)
    with pytest.raises(errors.ItsmConfigurationError, match="ticket_sn is empty"):
        sensor(None, opened_by="other").execute(who.context)


def test_p3_a_number_from_another_run_is_refused_unless_the_sensor_says_otherwise(sn, sandbox, who):
    sandbox.approve(sn)
    record_round(sn, run_id="another")
    with pytest.raises(AirflowFailException, match='opened_by="anyone"'):
        sensor(sn).execute(who.context)
    assert sensor(sn, opened_by="anyone").execute(who.context)["outcome"] == "approved"


def test_p3_without_a_record_nothing_shows_whose_the_ticket_is(sn, sandbox, who):
    open_approval_store().of_run("dag", "run_1")
    time.sleep(1.1)  # ITSM tells times to the second
    later = ItsmHook().create_ticket(creator="robot", fields=FORM, fast_approval=True).sn
    sandbox.approve(later)
    with pytest.raises(AirflowFailException, match="there is no record"):
        sensor(later, opened_by="ask").execute(who.context)
    assert who.xcom["verdict"]["reason_code"] == "not_recorded"


def opened_before_records(*of_task: object) -> str:
    """Open a ticket as a version without records did."""
    tag = creation_tag("bkitsm_default", "dag", *of_task)
    fields = FORM | {"title": f"t #{tag[:8]}"}
    return ItsmHook().create_ticket(creator="robot", fields=fields, fast_approval=True, tag=tag).sn


@pytest.mark.parametrize(
    ("of_task", "counts"),
    [
        (("run_1", "ask", -1, 0), True),
        (("run_1", "ask", 3, 2), True),
        (("run_2", "ask", -1, 0), False),
        (("run_1", "chairs", -1, 0), False),
        (("approval_key", "k"), False),
    ],
)
def test_p3_a_ticket_of_before_there_were_records_counts_as_it_did(connections, sandbox, who, of_task, counts):
    """By its mark; and a later ticket, whose record is lost together with its store, is none of before."""
    sn = opened_before_records(*of_task)
    sandbox.approve(sn)
    time.sleep(1.1)
    if counts:
        assert sensor(sn, opened_by="ask").execute(who.context)["outcome"] == "approved"
    else:
        with pytest.raises(AirflowFailException, match="there is no record"):
            sensor(sn, opened_by="ask").execute(who.context)


def test_p1_so_does_one_that_tasks_shared(connections, sandbox, who):
    with DAG("dag", schedule=None):
        ask = ItsmCreateTicketOperator(
            task_id="ask", title="t", fields=FORM, fast_approval=True, approval_key="{{ ti.run_id }}"
        )
        wait = sensor(opened_before_records("approval_key", "run_1"), opened_by="ask")
        ask >> wait
    sandbox.approve(wait.ticket_sn)
    time.sleep(1.1)
    assert wait.execute(who.context)["outcome"] == "approved"


def test_p3_a_ticket_whose_record_is_lost_with_its_store_is_not_approved(
    connections, sandbox, who, task, tmp_path
):
    ask = ItsmCreateTicketOperator(task_id="ask", title="t", fields=FORM, fast_approval=True)
    sn = ask.execute(task("ask").context)
    sandbox.approve(sn)
    time.sleep(1.1)
    for one in tmp_path.glob("bkitsm.db*"):
        one.unlink()
    with pytest.raises(AirflowFailException, match="there is no record"):
        sensor(sn, opened_by="ask").execute(who.context)


def test_p3_a_store_that_cannot_be_read_is_an_error_for_a_retry(sn, sandbox, who, monkeypatch):
    def locked(_conn_id=None):
        raise RuntimeError("locked")

    monkeypatch.setattr("airflow_provider_bkitsm.hooks.store.store_engine", locked)
    sandbox.approve(sn)
    with pytest.raises(StoreUnavailable, match="untouched"):
        sensor(sn).execute(who.context)
    assert who.xcom.keys() <= {"bkitsm_ticket_url"}


@pytest.mark.parametrize("opened_by", ["ask", None])
def test_p6_a_wait_that_timed_out_withdraws_no_ticket_of_another_task(sn, sandbox, who, opened_by):
    sandbox.wait_for_step(sn)
    record_round("REQ_own")
    record_round(sn, dag_id="chairs")
    waiting = sensor(sn, on_timeout="withdraw", opened_by=opened_by)
    with pytest.raises(AirflowFailException, match="timed_out"):
        waiting.execute_complete(who.context, timed_out(sn))
    assert sandbox.ticket(sn)["status"] == "RUNNING"


@pytest.mark.parametrize(("how", "raised"), [("fail", AirflowFailException), ("skip", AirflowSkipException)])
def test_p3_a_round_that_is_refused_leaves_no_earlier_approval_behind(sn, who, how, raised):
    """Airflow clears XComs only for tries that begin on a worker."""
    who.xcom["return_value"] = decided("REQ_before")["verdict"]
    with pytest.raises(raised):
        sensor(sn, on_not_approved=how).execute_complete(who.context, decided(sn, "rejected"))
    assert (who.xcom["return_value"]["sn"], who.xcom["return_value"]["outcome"]) == (sn, "rejected")


@pytest.mark.parametrize(
    ("event", "raised"),
    [({"look": True}, TaskDeferred), (None, TaskDeferred), ({"error": "no", "kind": "ItsmError"}, ItsmError)],
)
def test_p3_nor_does_a_round_that_a_worker_begins_or_that_an_error_ends(sn, who, monkeypatch, event, raised):
    sent = []
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=sent.append), raising=False)
    with pytest.raises(raised):
        sensor(sn).execute_complete(who.context, event)
    deleted = [one for one in sent if isinstance(one, DeleteXCom)]
    assert {one.key for one in deleted} == {"return_value", "verdict", VERDICT_KEY}
    assert {one.task_id for one in deleted} == {who.task_id}


def test_a_task_that_returns_nothing_leaves_no_result_of_a_refusal_either(sn, who):
    with pytest.raises(AirflowFailException):
        sensor(sn, do_xcom_push=False).execute_complete(who.context, decided(sn, "rejected"))
    assert "return_value" not in who.xcom


@pytest.mark.parametrize("decision", ["approved", "rejected"])
def test_beside_an_xcom_backend_the_pages_find_the_verdict_in_airflows_table(
    sn, sandbox, who, monkeypatch, decision
):
    sent = []
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", "somewhere.References")
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=sent.append), raising=False)
    waits = sensor(sn, on_not_approved="pass", opened_by="anyone")
    (sandbox.approve if decision == "approved" else sandbox.reject)(sn)
    result = waits.execute(who.context)
    (note,) = (one for one in sent if isinstance(one, SetXCom) and one.key == VERDICT_KEY)
    assert (note.value, note.task_id) == (result, who.context["ti"].task_id)
    assert note.value["outcome"] == decision


def test_a_waived_evidence_is_accepted_and_said(sn, sandbox, who, caplog):
    sandbox.finish_without_evidence(sn)
    assert sensor(sn, require_evidence=False).execute(who.context)["outcome"] == "approved"


@pytest.mark.parametrize(("written", "deferrable"), [(None, True), ("False", False), ("True", True)])
def test_deferrable_unless_airflows_default_was_set(monkeypatch, written, deferrable):
    if written:
        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", written)
    assert sensor("REQ1").deferrable is deferrable
    assert sensor("REQ1", deferrable=not deferrable).deferrable is not deferrable


def test_airflows_own_sensor_timeout_comes_after_the_deadline():
    assert sensor("REQ1", approval_timeout=timedelta(days=30)).timeout > timedelta(days=30).total_seconds()
    assert sensor("REQ1", approval_timeout=60).timeout > 60
    assert sensor("REQ1", approval_timeout="{{ x }}").timeout > timedelta(days=30).total_seconds()


def test_an_unknown_policy_is_refused_when_the_dag_is_parsed():
    with pytest.raises(ValueError, match="on_not_approved"):
        sensor("REQ1", on_not_approved="ignore")


def timed_out(sn: str) -> dict:
    return {
        "verdict": {"sn": sn, "outcome": "timed_out", "reason": "r", "current_status": "RUNNING", "approvers": []}
    }


@pytest.mark.parametrize(("policy", "status"), [({}, "RUNNING"), ({"on_timeout": "withdraw"}, "REVOKED")])
def test_p5_somebody_elses_ticket_outlives_the_wait_unless_the_task_says_otherwise(
    sn, sandbox, who, policy, status
):
    sandbox.wait_for_step(sn)
    with pytest.raises(AirflowFailException, match=f"timed_out.*The ticket is {status} "):
        sensor(sn, **policy).execute_complete(who.context, timed_out(sn))
    assert sandbox.ticket(sn)["status"] == status


@pytest.mark.parametrize(("policy", "withdraws"), [({}, False), ({"on_kill": "withdraw"}, True)])
def test_p5_a_killed_wait_keeps_its_ticket_unless_the_task_says_otherwise(sn, who, policy, withdraws):
    with pytest.raises(TaskDeferred) as deferred:
        sensor(sn, **policy).execute(who.context)
    assert deferred.value.trigger.serialize()[1]["withdraw_when_killed"] is withdraws


def test_a_worker_that_is_stopped_finds_airflows_own_method(sn):
    assert sensor(sn, on_kill="withdraw").on_kill() is None


def test_a_worker_cannot_tell_who_stops_it_so_a_policy_about_that_is_refused(sn):
    with pytest.raises(ValueError, match="takes deferrable=True"):
        sensor(sn, on_kill="withdraw", deferrable=False)


def test_a_ticket_that_asks_nobody_is_in_the_tasks_log(connections, sandbox, who, monkeypatch, capsys):
    monkeypatch.setattr("airflow_provider_bkitsm.itsm.stall.START_SECONDS", 0.0)
    login = {"login": "sandbox", "password": "sandbox-secret", "extra": {"four_byte": "send"}}
    connections("bkitsm_default", conn_type="bkitsm", host=sandbox.itsm_url, **login)
    form = FORM | {"APPROVAL_CONTENT": "\U0001f680"}
    sn = ItsmHook().create_ticket(creator="robot", fields=form, fast_approval=True).sn
    assert not sensor(sn, deferrable=False, poke_interval=600).poke(who.context)
    assert f"ITSM ticket {sn} is RUNNING and lists no step" in capsys.readouterr().out
    assert not sandbox.requests("get_ticket_status")


def test_a_ticket_that_may_yet_start_is_not_told_of(sn, who, capsys):
    assert not sensor(sn, deferrable=False).poke(who.context)
    assert "lists no step" not in capsys.readouterr().out
