# SPDX-License-Identifier: Apache-2.0
"""The everyday gate: one task that asks, waits and draws the conclusion."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred
from airflow.sdk import DAG, TaskGroup
from airflow.sdk import task as task_decorator
from airflow.sdk.bases.operator import BaseOperator

from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError, ItsmError, ItsmUnavailableError
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import ONE_APPROVAL
from airflow_provider_bkitsm.tickets.approval_store import ApprovalStore, open_approval_store
from airflow_provider_bkitsm.version_compat import DownstreamTasksSkipped

FAST = {"fast_approval": True, "title": "Restart", "fields": {"APPROVER": "alice", "APPROVAL_CONTENT": "now"}}


def gate(**parameters) -> ItsmApprovalOperator:
    return ItsmApprovalOperator(task_id="gate", **FAST | parameters)


def deferred(operator, who):
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(who.context)
    return caught.value.trigger.serialize()[1]


def event(outcome="approved", **more):
    verdict = {"sn": "REQ1", "outcome": outcome, "reason": outcome, "current_status": "FINISHED", "approvers": []}
    return {"verdict": verdict | more}


@pytest.fixture
def who(connections, task):
    return task("gate")


def test_it_opens_a_ticket_and_gives_the_worker_back(who, sandbox):
    arguments = deferred(gate(approval_timeout="90", compare_parameters=False), who)
    (ticket,) = sandbox.tickets()
    assert arguments["ticket_sn"] == ticket["sn"]
    assert (arguments["approval_timeout"], arguments["after_worker"], arguments["ends_task"]) == (90, True, True)
    assert "bkitsm_ticket_url" in who.xcom


def test_p2_a_retry_waits_for_the_same_ticket(who, sandbox, task):
    first = deferred(gate(), who)["ticket_sn"]
    assert deferred(gate(), task("gate", try_number=2))["ticket_sn"] == first
    assert len(sandbox.tickets()) == 1


def test_an_approval_is_its_result(who):
    assert gate().execute_complete(who.context, event())["outcome"] == "approved"


@pytest.mark.parametrize(("how", "raised"), [("fail", AirflowFailException), ("skip", AirflowSkipException)])
@pytest.mark.parametrize("outcome", ["rejected", "withdrawn", "terminated", "timed_out"])
def test_p3_anything_else_is_not_approved(who, how, raised, outcome):
    with pytest.raises(raised):
        gate(on_not_approved=how, on_timeout="keep").execute_complete(who.context, event(outcome))


def test_p3_a_task_that_shares_an_approval_goes_on_with_its_own_item_only(who, sandbox):
    shares = {"approval_key": "k", "approval_items": ["db_1", "db_2"]}
    with pytest.raises(TaskDeferred) as caught:
        gate(**shares, approval_item="db_1").execute(who.context)
    sn, kwargs = caught.value.trigger.ticket_sn, caught.value.kwargs
    sandbox.approve(sn)
    with pytest.raises(AirflowFailException, match="not those it was asked for"):
        gate(**shares, approval_item="db_2").execute_complete(who.context, event(sn=sn), **kwargs)
    ended = gate(**shares, approval_item="db_1").execute_complete(who.context, event(sn=sn), **kwargs)
    assert ended["outcome"] == "approved"


@pytest.mark.parametrize("title", ["Restart", "Stop"])
def test_the_record_says_how_it_ended_and_what_the_task_would_run(who, sandbox, monkeypatch, title):
    """An approval that the task does not follow, since it would run something else, is an approval still."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    with pytest.raises(TaskDeferred) as caught:
        gate(title="Restart").execute(who.context)
    sn, kwargs = caught.value.trigger.ticket_sn, caught.value.kwargs
    sandbox.approve(sn)
    ended = None
    try:
        ended = gate(title=title).execute_complete(who.context, event(sn=sn), **kwargs)
    except AirflowFailException:
        assert title == "Stop"
    (record,) = open_approval_store().of_run("dag", "run_1")
    (wait,) = record.verdict["waits"]
    assert (record.verdict["outcome"], wait["task_id"], wait["outcome"]) == ("approved", "gate", "approved")
    assert (wait["runs"] == record.asked_digest) is (title == "Restart")
    assert record.verdict["airflow_url"].endswith("/dags/dag/runs/run_1/tasks/gate/plugin/bkitsm-ticket")
    assert ended is None or ended["airflow_url"] == record.verdict["airflow_url"]


def test_p3_an_approval_that_cannot_be_stored_lets_nothing_run(who, sandbox, monkeypatch):
    with pytest.raises(TaskDeferred) as caught:
        gate().execute(who.context)
    sn, kwargs = caught.value.trigger.ticket_sn, caught.value.kwargs
    sandbox.approve(sn)

    def locked(*_args: object, **_changes: object) -> None:
        raise StoreUnavailable("locked")

    with monkeypatch.context() as patch:
        patch.setattr(ApprovalStore, "change", locked)
        with pytest.raises(StoreUnavailable):
            gate().execute_complete(who.context, event(sn=sn), **kwargs)
        decided = event(sn=sn, decided_at=datetime.now(UTC).isoformat())
        with pytest.raises(TaskDeferred):
            gate().execute_complete(who.context, decided, **kwargs)
    assert gate().execute_complete(who.context, event(sn=sn), **kwargs)["outcome"] == "approved"


@pytest.mark.parametrize(("kind", "more"), [("html", {}), ("status", {"status": 502})])
@pytest.mark.parametrize("call", ["get_ticket_info", "get_ticket_logs"])
def test_p1_an_outage_between_a_decision_and_its_worker_costs_time_and_not_the_task(
    who, sandbox, call, kind, more
):
    with pytest.raises(TaskDeferred) as caught:
        gate().execute(who.context)
    sn, kwargs = caught.value.trigger.ticket_sn, caught.value.kwargs
    sandbox.approve(sn)
    if call == "get_ticket_logs":
        # Another policy than the event's verdict was read by: it is read anew.
        kwargs["sent"]["policy"]["min_approvers"] = 1
    sandbox.fault(call, kind, times=9, **more)
    now = datetime.now(UTC)
    with pytest.raises(TaskDeferred) as again:
        gate().execute_complete(who.context, event(sn=sn, decided_at=now.isoformat()), **kwargs)
    with pytest.raises(ItsmUnavailableError):
        gate().execute_complete(
            who.context, event(sn=sn, decided_at=(now - timedelta(hours=2)).isoformat()), **kwargs
        )
    assert (again.value.trigger.ticket_sn, again.value.kwargs) == (sn, kwargs)
    sandbox.clear_faults()
    assert gate().execute_complete(who.context, event(sn=sn), **again.value.kwargs)["outcome"] == "approved"


@pytest.mark.parametrize("compares", [True, False])
@pytest.mark.parametrize("edited", [True, False])
def test_p3_the_form_is_read_back_although_its_record_is_lost(who, sandbox, tmp_path, compares, edited):
    """The store is a file of another machine, or gone."""
    asks = gate(compare_parameters=compares)
    with pytest.raises(TaskDeferred) as caught:
        asks.execute(who.context)
    sn = caught.value.trigger.ticket_sn
    sandbox.wait_for_step(sn)
    if edited:
        sandbox.edit(sn, APPROVAL_CONTENT="Water the plants")
    sandbox.approve(sn)
    for one in tmp_path.glob("bkitsm.db*"):
        one.unlink()
    later = gate(compare_parameters=compares)
    if edited:
        with pytest.raises(AirflowFailException, match="Water the plants"):
            later.execute_complete(who.context, event(sn=sn), **caught.value.kwargs)
    else:
        ended = later.execute_complete(who.context, event(sn=sn), **caught.value.kwargs)
        assert ended["outcome"] == "approved"


def test_a_verdict_can_be_passed_on(who):
    assert gate(on_not_approved="pass").execute_complete(who.context, event("rejected"))["outcome"] == "rejected"


def test_a_wait_that_stopped_says_what_a_retry_does(who):
    with pytest.raises(ItsmError, match="a retry waits for the same ticket"):
        gate().execute_complete(who.context, {"error": "nobody home", "kind": "ItsmError"})


class Branches:
    """A gate with three tasks behind it, and what it went on with."""

    def __init__(self, monkeypatch, **parameters):
        with DAG("d", schedule=None):
            self.gate = gate(on_timeout="keep", **parameters)
            self.gate >> [BaseOperator(task_id=name) for name in ("go", "stop", "either")]
        self.taken = None
        monkeypatch.setattr(self.gate, "do_branch", self._take)

    def _take(self, _context, branch):
        self.taken = branch

    def after(self, context, outcome):
        context["ti"].task = self.gate
        self.gate.execute_complete(context, event(outcome))
        return self.taken


BOTH = {"approved_task_ids": "go", "rejected_task_ids": ["stop"]}


@pytest.mark.parametrize(
    ("parameters", "outcome", "taken"),
    [
        (BOTH, "approved", ["go"]),
        (BOTH, "rejected", ["stop"]),
        (BOTH, "timed_out", ["stop"]),
        ({"rejected_task_ids": "stop"}, "approved", ["either", "go"]),
        ({"rejected_task_ids": "stop"}, "withdrawn", ["stop"]),
        ({"approved_task_ids": "go"}, "approved", ["go"]),
        ({"approved_task_ids": "go", "on_not_approved": "pass"}, "rejected", ["either", "stop"]),
        ({}, "approved", None),
    ],
)
def test_p3_it_branches_and_never_into_the_other_answers_tasks(who, monkeypatch, parameters, outcome, taken):
    assert Branches(monkeypatch, **parameters).after(who.context, outcome) == taken


@pytest.mark.parametrize("outcome", ["approved", "rejected"])
def test_both_branches_are_given_the_verdict(who, monkeypatch, outcome):
    with monkeypatch.context() as patch:
        branches = Branches(patch, **BOTH)
    with pytest.raises(DownstreamTasksSkipped):
        branches.after(who.context, outcome)
    assert who.xcom["return_value"]["outcome"] == outcome


def test_p3_without_a_branch_for_it_a_rejection_fails(who, monkeypatch):
    with pytest.raises(AirflowFailException):
        Branches(monkeypatch, approved_task_ids="go").after(who.context, "rejected")


@pytest.mark.parametrize("parameters", [{"approved_task_ids": "nosuch"}, {"rejected_task_ids": ["stop", "later"]}])
def test_a_branch_that_is_not_behind_is_told_before_anybody_is_asked(who, monkeypatch, sandbox, parameters):
    with DAG("d", schedule=None):
        one = gate(**parameters)
        one >> [BaseOperator(task_id="stop"), BaseOperator(task_id="go")] >> BaseOperator(task_id="later")
    with pytest.raises(ItsmConfigurationError, match=r"(nosuch|later) is not directly behind.* go, stop\."):
        one.execute(who.context)
    assert sandbox.tickets() == []


def test_a_group_directly_behind_is_a_branch(who, sandbox):
    with DAG("d", schedule=None):
        one = gate(approved_task_ids="deploy")
        with TaskGroup("deploy") as deploy:
            BaseOperator(task_id="first") >> BaseOperator(task_id="second")
        one >> deploy
    deferred(one, who)
    assert len(sandbox.tickets()) == 1


@pytest.mark.parametrize("wrong", ["1h", "a week", "", "None", "nan", "-5", -5, timedelta(-1), True])
def test_what_is_no_time_is_told_when_the_dag_is_parsed(wrong):
    with pytest.raises(ItsmConfigurationError, match="approval_timeout"):
        gate(approval_timeout=wrong)


@pytest.mark.parametrize("rendered", ["1h", "", "None", "-5"])
def test_or_where_it_is_rendered_before_anybody_is_asked(who, sandbox, rendered):
    one = gate(approval_timeout="{{ params.time }}")
    one.approval_timeout = rendered
    with pytest.raises(ItsmConfigurationError, match="approval_timeout"):
        one.execute(who.context)
    assert sandbox.tickets() == []


@pytest.mark.parametrize("zero", [0, "0", 0.0, timedelta(0)])
def test_no_time_is_not_for_ever(who, zero):
    assert deferred(gate(approval_timeout=zero), who)["approval_timeout"] == 0.0


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), "60", None, timedelta(0)])
def test_a_pause_that_is_none_is_told_when_the_dag_is_parsed(wrong):
    with pytest.raises(ValueError, match="poke_interval"):
        gate(poke_interval=wrong)


def test_a_pause_may_be_a_timedelta(who):
    assert deferred(gate(poke_interval=timedelta(minutes=2)), who)["poll_interval"] == 120


def test_two_services_for_one_ticket_are_told_when_the_dag_is_parsed():
    with pytest.raises(ValueError, match="service_id 7"):
        gate(service_id=7)


def test_a_branch_needs_a_worker_after_an_approval(who):
    assert deferred(gate(**BOTH), who)["ends_task"] is False


def test_p3_a_strange_way_to_refuse_is_an_error_in_the_dag():
    with pytest.raises(ValueError, match="on_not_approved"):
        gate(on_not_approved="ignore")


def shared(who, **parameters) -> str:
    sn: str = deferred(gate(approval_key="release 7", **parameters), who)["ticket_sn"]
    return sn


def test_p2_tasks_with_one_key_share_one_ticket(connections, task, sandbox):
    numbers = {shared(task("gate")), shared(task("other")), shared(task("gate", run_id="run_2"))}
    assert len(numbers) == len(sandbox.tickets()) == 1


def test_another_key_is_another_ticket(connections, task):
    one = deferred(gate(approval_key="a"), task("gate"))["ticket_sn"]
    assert deferred(gate(approval_key="b"), task("gate"))["ticket_sn"] != one


def test_a_decision_counts_for_runs_that_had_begun(connections, task, sandbox):
    sn = shared(task("gate"))
    sandbox.approve(sn)
    late = task("gate", run_id="run_2", began=datetime.now(UTC) - timedelta(hours=1))
    assert shared(late) == sn


def test_p3_a_run_that_begins_after_a_decision_asks_anew(connections, task, sandbox):
    sn = shared(task("gate"))
    sandbox.approve(sn)
    later = task("gate", run_id="run_2", began=datetime.now(UTC) + timedelta(hours=1))
    assert shared(later) != sn


def later(task, **more):
    """A run that begins after all that was decided so far."""
    return task("gate", run_id="run_2", began=datetime.now(UTC) + timedelta(seconds=30), **more)


def test_p3_after_a_lost_answer_an_approval_of_an_earlier_run_is_not_taken_for_its_own(connections, task, sandbox):
    sn = shared(task("gate"))
    sandbox.approve(sn)
    sandbox.fault("create_ticket", "drop_answer")
    assert shared(later(task)) != sn
    assert len(sandbox.tickets()) == 2


def test_p2_of_two_that_open_at_the_same_moment_one_opens_and_the_other_joins(connections, task, sandbox):
    with ThreadPoolExecutor(8) as pool:
        numbers = set(pool.map(lambda name: shared(task(name)), [f"gate_{one}" for one in range(8)]))
    assert len(numbers) == len(sandbox.tickets()) == 1


def test_a_gate_whose_result_is_mapped_over_needs_a_worker_after_an_approval(who):
    @task_decorator
    def each(one):
        return one

    with DAG("d", schedule=None):
        mapped_over = gate()
        each.expand(one=mapped_over.output)
    assert deferred(mapped_over, who)["ends_task"] is False


def caught(operator, who) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferral:
        operator.execute(who.context)
    return deferral.value


def test_p3_after_an_approval_what_would_run_is_compared_with_what_was_asked(who):
    asked = caught(gate(), who).kwargs["asked"]
    gate().execute_complete(who.context, event(), asked=asked)
    changed = gate(fields=FAST["fields"] | {"APPROVAL_CONTENT": "all of them"})
    with pytest.raises(AirflowFailException, match=f"then {asked}, now {changed.parameters_digest()}"):
        changed.execute_complete(who.context, event(), asked=asked)


@pytest.mark.parametrize("spelling", [["alice", "bob"], "alice, bob", '["alice", "bob"]', {"bob", "alice"}])
def test_p3_another_spelling_of_the_same_people_is_the_same_question(who, spelling):
    plain = gate(fields=FAST["fields"] | {"APPROVER": "alice,bob"})
    other = gate(fields=FAST["fields"] | {"APPROVER": spelling})
    assert other.parameters_digest() == plain.parameters_digest()
    assert other.execute_complete(who.context, event(), asked=plain.parameters_digest())["outcome"] == "approved"


def test_p3_a_list_of_fields_asks_the_same_as_a_mapping(connections):
    pairs = [{"key": key, "value": value} for key, value in FAST["fields"].items()]
    assert gate(fields=pairs).parameters_digest() == gate().parameters_digest()
    assert gate(fields=[*pairs, {"key": "x", "value": 1}]).parameters_digest() != gate().parameters_digest()


def test_a_digest_is_what_it_was_in_the_first_version(who):
    """Tickets that are open while the package is upgraded are still approved; the hashes are of version 0.1.0."""
    plain = "sha256:05daa8621a152357c4b389c226403a9a47e841ea469a783d03c356a66af5388d"
    assert gate().execute_complete(who.context, event(), asked=plain)["outcome"] == "approved"
    spelled = gate(fields=FAST["fields"] | {"APPROVER": "alice, bob"})
    assert (
        spelled.execute_complete(
            who.context, event(), asked="sha256:6a4fba9f34ed64e0cbc0264ea0311ee40d3ee0659e76145aba9324b368228b38"
        )["outcome"]
        == "approved"
    )


def test_what_is_not_to_be_compared_is_not(who):
    changed = gate(title="Another", compare_parameters=False)
    assert changed.execute_complete(who.context, event(), asked="sha256:0")["outcome"] == "approved"


def test_a_refusal_needs_no_comparison(who):
    assert gate(on_not_approved="pass").execute_complete(who.context, event("rejected"), asked="sha256:0")


def test_people_see_the_digest_of_what_they_are_asked(who, sandbox):
    operator = gate()
    asked = caught(operator, who).kwargs["asked"]
    (ticket,) = sandbox.tickets()
    assert ticket["fields"]["APPROVAL_CONTENT"] == f"now\n\n{asked}"
    assert ticket["meta"]["bkitsm_digest"] == asked == operator.parameters_digest()


def test_the_digest_has_a_field_of_its_own_where_one_is_named(connections, task, sandbox):
    form = {"approver": "alice"}
    operator = gate(fast_approval=False, service_id=ONE_APPROVAL, fields=form, digest_field="content")
    asked = caught(operator, task("gate")).kwargs["asked"]
    assert sandbox.tickets()[0]["fields"]["content"] == asked


def test_p5_a_ticket_out_of_time_is_withdrawn(who, sandbox):
    sn = deferred(gate(), who)["ticket_sn"]
    sandbox.wait_for_step(sn)
    with pytest.raises(AirflowFailException, match=r"nobody decided.*The ticket is REVOKED"):
        gate().execute_complete(who.context, event("timed_out", sn=sn))
    assert sandbox.ticket(sn)["status"] == "REVOKED"


def test_p1_a_decision_before_the_withdrawal_wins_over_the_deadline(who, sandbox):
    sn = deferred(gate(), who)["ticket_sn"]
    sandbox.approve(sn)
    assert gate().execute_complete(who.context, event("timed_out", sn=sn))["outcome"] == "approved"


def test_p5_a_ticket_out_of_time_may_be_kept(who, sandbox):
    sn = deferred(gate(), who)["ticket_sn"]
    with pytest.raises(AirflowFailException):
        gate(on_timeout="keep").execute_complete(who.context, event("timed_out", sn=sn))
    assert sandbox.ticket(sn)["status"] == "RUNNING"


@pytest.mark.parametrize(
    ("parameters", "withdraws"),
    [
        ({}, True),
        ({"on_kill": "keep"}, False),
        ({"approval_key": "k"}, False),
        ({"approval_key": "k", "on_kill": "withdraw"}, True),
    ],
)
def test_p5_who_kills_a_wait_ends_its_ticket_unless_others_may_wait_for_it(who, parameters, withdraws):
    assert deferred(gate(**parameters), who)["withdraw_when_killed"] is withdraws


def test_a_shared_ticket_that_a_person_withdrew_is_not_approved(connections, task, sandbox):
    who = task("gate")
    sn = shared(who)
    sandbox.withdraw(sn)
    with pytest.raises(AirflowFailException):
        gate(approval_key="release 7").execute_complete(who.context, event("withdrawn", sn=sn))


def test_p3_a_retry_does_not_wait_for_the_answer_to_something_else(who, task, sandbox):
    caught(gate(), who)
    other = gate(fields=FAST["fields"] | {"APPROVAL_CONTENT": "all of them"})
    with pytest.raises(AirflowFailException, match="its approval does not cover that"):
        other.execute(task("gate", try_number=2).context)


def test_clearing_keeps_a_ticket_that_asks_the_same_and_ends_one_that_does_not(who, task, sandbox):
    sn = deferred(gate(), who)["ticket_sn"]
    assert deferred(gate(), task("gate", clear_number=1))["ticket_sn"] == sn
    sandbox.wait_for_step(sn)
    assert deferred(gate(title="Restart all"), task("gate", clear_number=2))["ticket_sn"] != sn
    assert [one["status"] for one in sandbox.tickets()] == ["REVOKED", "RUNNING"]


def test_p3_clearing_a_shared_gate_asks_anew_although_its_run_goes_on(connections, task, sandbox):
    began = datetime.now(UTC) - timedelta(hours=1)
    sn = shared(task("gate", began=began))
    sandbox.approve(sn)
    assert shared(task("gate", began=began, try_number=2)) == sn
    time.sleep(1.1)  # ITSM tells seconds
    assert shared(task("gate", began=began, clear_number=1)) != sn


def test_p5_sharers_do_not_end_each_others_ticket(who):
    assert gate(approval_key="k").on_timeout == "keep"
    assert gate().on_timeout == "withdraw"


def test_p3_a_task_the_branch_has_skipped_stays_skipped_when_it_is_cleared(who):
    assert gate(**BOTH).inherits_from_skipmixin


LOOSENED = {"require_evidence": False}


def unproved(operator, who, sandbox):
    """Ask in a ticket that ends without anybody's answer, though ITSM says yes; return the wait."""
    with pytest.raises(TaskDeferred) as caught:
        operator.execute(who.context)
    sandbox.wait_for_step(caught.value.trigger.ticket_sn)
    sandbox.finish_without_evidence(caught.value.trigger.ticket_sn)
    return caught.value


@pytest.mark.parametrize("compares", [True, False])
@pytest.mark.parametrize("looks", [True, False])
def test_p3_a_policy_that_the_connection_loosened_after_asking_releases_nothing(
    who, sandbox, reconnect, looks, compares
):
    asks = partial(gate, compare_parameters=compares)
    wait = unproved(asks(), who, sandbox)
    sn = wait.trigger.ticket_sn
    reconnect(**LOOSENED)
    told = {"look": True, "sn": sn} if looks else event(sn=sn)
    with pytest.raises(AirflowFailException, match="verdict policy was another one when the ticket was asked for"):
        asks().execute_complete(who.context, told, **wait.kwargs)


def test_p3_nor_does_one_that_was_loosened_for_a_moment(who, sandbox, reconnect):
    """A trigger read the verdict meanwhile; the worker finds the connection as it was."""
    wait = unproved(gate(), who, sandbox)
    told = event(sn=wait.trigger.ticket_sn, policy=asdict(VerdictPolicy(**LOOSENED)))
    with pytest.raises(AirflowFailException, match="without any visible approval step"):
        gate().execute_complete(who.context, told, **wait.kwargs)


def test_a_policy_that_the_connection_had_when_asking_counts(who, sandbox, reconnect):
    reconnect(**LOOSENED)
    wait = unproved(gate(), who, sandbox)
    told = {"look": True, "sn": wait.trigger.ticket_sn}
    assert gate().execute_complete(who.context, told, **wait.kwargs)["outcome"] == "approved"


def test_p3_one_that_was_made_stricter_meanwhile_counts_as_well(who, sandbox, reconnect):
    reconnect(**LOOSENED)
    wait = unproved(gate(), who, sandbox)
    reconnect()
    told = {"look": True, "sn": wait.trigger.ticket_sn}
    with pytest.raises(AirflowFailException, match="without any visible approval step"):
        gate().execute_complete(who.context, told, **wait.kwargs)


def test_what_the_task_itself_says_takes_the_place_of_the_connections_policy(who, sandbox):
    wait = unproved(gate(**LOOSENED), who, sandbox)
    told = {"look": True, "sn": wait.trigger.ticket_sn}
    assert gate(**LOOSENED).execute_complete(who.context, told, **wait.kwargs)["outcome"] == "approved"


def test_an_approval_by_the_policy_of_when_it_was_asked_for_is_read_once(who, sandbox):
    with pytest.raises(TaskDeferred) as caught:
        gate().execute(who.context)
    sn = caught.value.trigger.ticket_sn
    sandbox.approve(sn)
    sandbox.forget_counters()
    told = event(sn=sn, policy=asdict(VerdictPolicy()))
    assert gate().execute_complete(who.context, told, **caught.value.kwargs)["outcome"] == "approved"
    assert sandbox.requests("ticket_approval_result") == []


def test_p1_an_airflow_whose_address_changes_while_people_decide_still_takes_its_own_tickets_approval(
    who, sandbox, monkeypatch
):
    with pytest.raises(TaskDeferred) as caught:
        gate().execute(who.context)
    sn = caught.value.trigger.ticket_sn
    sandbox.approve(sn)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    ended = gate().execute_complete(who.context, {"look": True, "sn": sn}, **caught.value.kwargs)
    assert ended["outcome"] == "approved"
