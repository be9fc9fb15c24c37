# SPDX-License-Identifier: Apache-2.0
"""One round of one task has one ticket, and it is its own (promises P2 and P3)."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.idempotency import creation_tag, marked_title
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator, ItsmCreateTicketOperator
from airflow_provider_bkitsm.sandbox import world
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from airflow_provider_bkitsm.sensors.ticket import ItsmTicketSensor
from airflow_provider_bkitsm.tickets.approval_store import open_approval_store
from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger

FIRST, LATER = "01940000-0000-7000-8000-000000000001", "01940000-1000-7000-8000-000000000000"
FORM = {"APPROVER": "alice", "APPROVAL_CONTENT": "restart"}


def id_made_now() -> str:
    """Return the id that Airflow gives a try, which begins with the time."""
    milliseconds = f"{time.time_ns() // 1_000_000:012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-000000000001"


FAST = {"task_id": "gate", "title": "Restart", "fast_approval": True, "fields": FORM}


@pytest.fixture
def ask(connections, task):
    """Run one try of the task, and return the number of its ticket."""

    def run(*, title="Restart", form=None, who=None, **more):
        parameters = FAST | {"title": title, "fields": form or FORM} | more.pop("parameters", {})
        return ItsmCreateTicketOperator(**parameters).execute((who or task("gate", **more)).context)

    return run


def prepared(title: str, tag: str, creator: str = "robot") -> str:
    """Open a ticket as any application on the gateway may, and have it approved by an accomplice."""
    form = {"title": marked_title(title, tag), "APPROVER": "mallory", "APPROVAL_CONTENT": "restart"}
    return ItsmHook().create_ticket(creator=creator, fields=form, fast_approval=True, tag=tag).sn


@pytest.mark.parametrize(
    "tries", [{}, {"try_number": 2}, {"clear_number": 1}, {"clear_number": 1, "try_number": 2}]
)
@pytest.mark.parametrize("decided", [False, True])
def test_p2_a_ticket_that_somebody_prepared_is_never_taken(ask, sandbox, tries, decided):
    tags = [creation_tag("bkitsm_default", "dag", "run_1", "gate", -1, number) for number in range(3)]
    others = [prepared("Restart", tag) for tag in tags]
    for one in others if decided else ():
        sandbox.approve(one)
    sn = ask(**tries)
    assert sn not in others
    assert sandbox.ticket(sn)["fields"]["APPROVER"] == "alice"


def test_p2_a_shared_approvals_ticket_that_somebody_prepared_is_never_taken(ask, sandbox):
    other = prepared("Restart", creation_tag("bkitsm_default", "dag", "approval_key", "k"))
    assert ask(parameters={"approval_key": "k"}) != other


def test_p2_after_a_lost_answer_a_copy_of_ours_with_another_approver_is_not_ours(ask, sandbox, task):
    sandbox.fault("create_ticket", "drop_answer")
    sandbox.fault("get_tickets", "status", times=99)
    with pytest.raises(errors.ItsmUnavailableError):
        ask()
    sandbox.clear_faults()
    (ours,) = sandbox.tickets()
    (record,) = open_approval_store().of_run("dag", "run_1")
    form = {"title": ours["title"], "APPROVER": "mallory", "APPROVAL_CONTENT": "restart"}
    copy = ItsmHook().create_ticket(creator=ours["creator"], fields=form, fast_approval=True, tag=record.tag).sn
    assert copy != ours["sn"]
    assert ask(try_number=2) == ours["sn"]


@pytest.mark.parametrize(
    "later", [{"try_number": 2}, {"clear_number": 1}, {"began": datetime(2099, 1, 1, tzinfo=UTC)}]
)
@pytest.mark.parametrize("key", [None, "k"])
def test_p2_a_try_that_airflow_has_given_up_opens_nothing(connections, task, sandbox, later, key):
    """It was believed dead, or was cleared while it ran; by the time it comes to ask, the next one has asked."""

    def run(ti_id, **more):
        context = task("gate", **more).context
        context["ti"].id = ti_id
        return ItsmCreateTicketOperator(**FAST, approval_key=key).execute(context)

    sn = run(LATER, **later)
    with pytest.raises(errors.ItsmError, match="given up"):
        run(FIRST)
    assert [one["sn"] for one in sandbox.tickets()] == [sn]
    assert run(LATER, **later) == sn


@pytest.mark.parametrize("again", [{"clear_number": 1}, {"began": datetime(2099, 1, 1, tzinfo=UTC)}])
def test_p2_a_round_that_stands_before_its_question_asks_no_more_once_the_next_has_begun(
    connections, task, sandbox, monkeypatch, again
):
    first, numbers = ItsmCreateTicketOperator(**FAST), []
    change = first.approval_store.change

    def overtaken(record, **changes):
        if changes.get("create_started_at") and not numbers:
            context = task("gate", **again).context
            context["ti"].id = LATER
            numbers.append(ItsmCreateTicketOperator(**FAST).execute(context))
        return change(record, **changes)

    monkeypatch.setattr(first.approval_store, "change", overtaken)
    context = task("gate").context
    context["ti"].id = FIRST
    with pytest.raises(errors.ItsmError, match="given up"):
        first.execute(context)
    assert [one["sn"] for one in sandbox.tickets()] == numbers


def test_p2_who_shares_a_key_and_asks_something_else_leaves_one_ticket(connections, task, sandbox, monkeypatch):
    """One stands between its intent and its question, while another one with the same key asks."""
    first, numbers = ItsmCreateTicketOperator(**FAST, approval_key="k"), []
    change = first.approval_store.change

    def overtaken(record, **changes):
        if changes.get("create_started_at") and not numbers:
            numbers.append(shared(task, "other", parameters={"title": "Drop table ORDERS"}))
        return change(record, **changes)

    monkeypatch.setattr(first.approval_store, "change", overtaken)
    with pytest.raises(AirflowFailException, match="does not cover"):
        first.execute(task("gate").context)
    assert [one["sn"] for one in sandbox.tickets()] == numbers


def test_p1_a_later_try_goes_on_although_the_schedulers_clock_was_set_back(connections, task):
    """The ids of tries rise with its time."""

    def run(ti_id, **more):
        context = task("gate", **more).context
        context["ti"].id = ti_id
        return ItsmCreateTicketOperator(**FAST).execute(context)

    assert run(LATER) == run(FIRST, try_number=2)


def test_p2_the_tag_of_a_round_cannot_be_foreseen(ask, task, sandbox):
    numbers = [ask(run_id=f"run_{number}") for number in range(3)]
    assert len({sandbox.ticket(sn)["tag"] for sn in numbers}) == 3


def test_p2_another_key_finds_the_open_ticket_all_the_same(ask, sandbox, connections):
    sn = ask()
    login = {"login": "sandbox", "password": "sandbox-secret"}
    extra = {"settle_seconds": 0.2, "read_retries": 0, "callback_signing_secret": "another secret of 32 letters"}
    connections("bkitsm_default", conn_type="bkitsm", host=sandbox.itsm_url, extra=extra, **login)
    assert ask(try_number=2) == ask(clear_number=2) == sn


@pytest.mark.parametrize("end", ["approve", "reject", "withdraw"])
def test_p3_a_cleared_task_asks_anew_once_its_ticket_has_ended(ask, sandbox, end):
    sn = ask()
    sandbox.wait_for_step(sn)
    getattr(sandbox, end)(sn)
    assert ask(try_number=2) == sn
    assert ask(clear_number=2) != sn


@pytest.mark.parametrize("on_clear", ["keep", "withdraw"])
def test_p6_a_cleared_task_leaves_alone_who_has_its_number_in_another_itsm(ask, connect, on_clear):
    """The connection leads to another ITSM by now."""
    sn, parameters = ask(), {"on_clear": on_clear}
    with SandboxServer(Settings(start_delay=0)) as other:
        caller = {"login": "sandbox", "password": "sandbox-secret"}
        connect("bkitsm_default", conn_type="bkitsm", host=other.itsm_url, extra={"settle_seconds": 0.2}, **caller)
        theirs = {"title": "Theirs", "APPROVER": "zoe", "APPROVAL_CONTENT": "c"}
        assert ItsmHook().create_ticket(creator="zoe", fields=theirs, fast_approval=True).sn == sn
        again = ask(clear_number=2, parameters=parameters)
        assert again != sn
        assert [other.ticket(one)["status"] for one in (sn, again)] == ["RUNNING", "RUNNING"]


def test_p3_a_run_that_comes_back_under_its_id_takes_neither_ticket_nor_decision(ask, sandbox):
    sn = ask()
    again = datetime.now(UTC) + timedelta(hours=1)
    assert ask(began=again) != sn
    sandbox.approve(sn)
    assert ask(began=again + timedelta(hours=1)) != sn


@pytest.mark.parametrize("title", ["Restart", "Restart all"])
@pytest.mark.parametrize("again", [{"try_number": 2}, {"try_number": 3}])
def test_p6_the_open_ticket_of_a_deleted_run_is_spared_whichever_try_comes_to_ask(ask, sandbox, again, title):
    """The run was made again, and its first tries ended before they asked. People may wait for the earlier run."""
    sn = ask()
    assert ask(began=datetime.now(UTC) + timedelta(hours=1), title=title, **again) != sn
    assert sandbox.ticket(sn)["status"] == "RUNNING"
    assert len(sandbox.tickets()) == 2


def test_p2_a_clear_of_a_run_that_has_ended_goes_on_with_the_open_ticket(ask):
    """The clear makes the run begin at another moment, and counts."""
    sn = ask()
    assert ask(began=datetime.now(UTC) + timedelta(hours=1), try_number=2, clear_number=1) == sn


def test_p2_a_retry_in_a_test_run_goes_on_with_the_open_ticket(connections, task):
    """``airflow dags test`` shows no try when the run was made."""
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)

    def run(ti_id, **more):
        context = task("gate", began=long_ago, **more).context
        context["dag_run"].logical_date, context["ti"].id = long_ago, ti_id
        return ItsmCreateTicketOperator(**FAST).execute(context)

    assert run(FIRST) == run(LATER, try_number=2)


def test_p3_the_first_try_that_stores_something_may_be_a_retry(ask, sandbox):
    """The run was made again, and its first try crashed at once: the second one continues no earlier run."""
    sn = ask()
    sandbox.approve(sn)
    assert ask(began=datetime.now(UTC) + timedelta(hours=1), try_number=2) != sn


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("again", [{}, {"try_number": 2}, {"run_id": "run_2"}])
def test_p3_a_test_run_that_is_dated_back_takes_no_earlier_decision(connections, task, sandbox, key, again):
    """``airflow dags test`` makes the run begin at its logical date, each time under the same id."""
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)

    def run(ti_id, **more):
        context = task("gate", began=long_ago, **more).context
        context["dag_run"].logical_date, context["ti"].start_date = long_ago, datetime.now(UTC)
        context["ti"].id = ti_id
        return ItsmCreateTicketOperator(**FAST, approval_key=key).execute(context)

    first = id_made_now()
    sn = run(first)
    sandbox.approve(sn)
    time.sleep(0.01)
    assert run(first) == sn
    assert run(id_made_now(), **again) != sn


def test_p1_tasks_of_one_test_run_share_its_decision(connections, task, sandbox):
    """They come one after the other there, and Airflow has made them all when it made the run."""
    began = datetime.now(UTC)

    def run(name, ti_id):
        context = task(name, began=began).context
        context["dag_run"].logical_date, context["ti"].start_date = began, datetime.now(UTC)
        context["ti"].id = ti_id
        return ItsmCreateTicketOperator(**FAST, approval_key="k").execute(context)

    first, second = id_made_now(), id_made_now()
    sn = run("gate", first)
    sandbox.approve(sn)
    assert run("other", second) == sn


@pytest.mark.parametrize("address", ["https://staging.example.com", "https://airflow.example.com"])
def test_p3_two_installations_that_share_a_store_do_not_share_an_approval(ask, sandbox, monkeypatch, address):
    sn = ask()
    sandbox.approve(sn)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", address)
    assert ask(try_number=2) != sn


def test_p3_what_else_is_asked_after_a_clear_is_asked_in_another_ticket(ask, sandbox):
    sn = ask()
    sandbox.wait_for_step(sn)
    again = ask(title="Restart all", clear_number=1)
    assert (sandbox.ticket(sn)["status"], sandbox.ticket(again)["status"]) == ("REVOKED", "RUNNING")


CHANGES = {
    "approver": {"fields": FORM | {"APPROVER": "bob"}},
    "content": {"fields": FORM | {"APPROVAL_CONTENT": "restart all"}},
    "number or text": {"meta": {"state_processors": {"1": "zoe"}}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_p3_a_retry_that_asks_something_else_fails_before_it_waits(ask, sandbox, change):
    sn = ask()
    with pytest.raises(AirflowFailException, match=f"{sn}.*does not cover"):
        ask(try_number=2, parameters=change)
    assert [one["sn"] for one in sandbox.tickets()] == [sn]
    assert ask(try_number=2, parameters=change | {"compare_parameters": False}) == sn


def test_p3_another_way_to_read_the_verdict_is_another_question(connections, task):
    def waits(**more):
        with pytest.raises(TaskDeferred) as caught:
            ItsmApprovalOperator(**FAST, **more).execute(task("gate", clear_number=len(more)).context)
        return caught.value.trigger.ticket_sn

    assert waits() != waits(require_evidence=False)


def shared(task, name="gate", **more):
    parameters = FAST | {"task_id": name, "approval_key": "k"} | more.pop("parameters", {})
    return ItsmCreateTicketOperator(**parameters).execute(task(name, **more).context)


def test_p3_a_shared_approval_covers_only_what_it_shows(connections, task, sandbox):
    sn = shared(task, parameters={"title": "Drop table tmp_2"})
    with pytest.raises(
        AirflowFailException, match=rf"{sn} \(Drop table tmp_2 .*Drop table ORDERS.*does not cover"
    ):
        shared(task, "other", parameters={"title": "Drop table ORDERS"})
    sandbox.approve(sn)
    with pytest.raises(AirflowFailException, match="does not cover"):
        shared(task, "third", parameters={"title": "Drop table ORDERS"})
    assert len(sandbox.tickets()) == 1


def test_p3_a_later_run_with_other_parameters_asks_in_a_ticket_of_its_own(connections, task, sandbox):
    sn = shared(task, parameters={"title": "Drop table tmp_2"})
    sandbox.approve(sn)
    later = datetime.now(UTC) + timedelta(hours=1)
    again = shared(task, run_id="run_2", began=later, parameters={"title": "Drop table ORDERS"})
    assert again != sn
    assert sandbox.ticket(again)["title"].startswith("Drop table ORDERS [#")


ITEMS = ["db_1", "db_2", {"name": "db_3", "size": 3}]


def test_p3_one_ticket_for_a_list_shows_every_item_with_its_digest(connections, task, sandbox):
    asks = {"approval_items": ITEMS}
    numbers = {
        shared(task, f"gate_{number}", parameters=asks | {"approval_item": item})
        for number, item in enumerate(ITEMS)
    }
    (ticket,) = sandbox.tickets()
    assert numbers == {ticket["sn"]}
    shown = ticket["fields"]["APPROVAL_CONTENT"].splitlines()
    assert shown[0] == "restart"
    assert [line.split(" sha256:")[0] for line in shown[2:]] == [
        "1. db_1",
        "2. db_2",
        '3. {"name": "db_3", "size": 3}',
    ]


@pytest.mark.parametrize("item", ["db_4", None, {"name": "db_3", "size": "3"}, "DB_1", ["db_1"]])
def test_p3_an_item_that_is_not_listed_is_not_asked_for(connections, task, sandbox, item):
    with pytest.raises(errors.ItsmInvalidRequestError, match="none of the approval_items"):
        shared(task, parameters={"approval_items": ITEMS, "approval_item": item})
    assert sandbox.tickets() == []


def test_p3_another_list_is_another_question(connections, task, sandbox):
    shared(task, parameters={"approval_items": ITEMS, "approval_item": "db_1"})
    with pytest.raises(AirflowFailException, match="does not cover"):
        shared(task, "other", parameters={"approval_items": [*ITEMS, "db_9"], "approval_item": "db_9"})


def test_a_list_without_a_place_in_the_form_is_an_error_in_the_dag():
    with pytest.raises(ValueError, match="items_field"):
        ItsmCreateTicketOperator(task_id="gate", title="t", service_id=1, approval_key="k", approval_items=["a"])


def test_p2_a_sharer_that_crashed_is_relieved_by_another(connections, task, sandbox):
    sandbox.fault("create_ticket", "status", status=500)
    with pytest.raises(errors.ItsmError):
        shared(task)
    sandbox.clear_faults()
    assert shared(task, "other") == shared(task, try_number=2)
    assert len(sandbox.tickets()) == 1


@pytest.mark.parametrize("begins", [-60, 60])
def test_p3_a_decision_in_a_ticket_whose_number_was_lost_counts_for_earlier_runs_only(
    connections, task, sandbox, begins
):
    sandbox.fault("create_ticket", "drop_answer")
    sandbox.fault("get_tickets", "status", times=99)
    with pytest.raises(errors.ItsmUnavailableError):
        shared(task)
    sandbox.clear_faults()
    (lost,) = sandbox.tickets()
    sandbox.approve(lost["sn"])
    sn = shared(task, run_id="run_2", began=datetime.now(UTC) + timedelta(seconds=begins))
    assert (sn == lost["sn"]) is (begins < 0)


def test_p1_a_decision_between_a_crash_and_the_retry_of_a_cleared_sharer_counts(connections, task, sandbox):
    shared(task)
    sandbox.approve(shared(task))
    sn = shared(task, clear_number=1)
    sandbox.approve(sn)
    assert shared(task, clear_number=1, try_number=2) == sn


class TestOtherClock:
    """ITSM's clock is minutes behind ours, or ahead."""

    @pytest.fixture(params=[-15, 15], ids=["behind", "ahead"])
    def sandbox(self, request, monkeypatch):
        init = world.World.__init__
        clock = {"clock": lambda: time.time() + 60 * request.param}
        monkeypatch.setattr(world.World, "__init__", lambda self, *a, **k: init(self, *a, **clock | k))
        with SandboxServer(Settings(start_delay=0.02)) as server:
            yield server

    @pytest.mark.usefixtures("connections")
    def test_p3_a_later_run_takes_no_earlier_decision(self, task, sandbox):
        sn = shared(task)
        sandbox.approve(sn)
        soon = datetime.now(UTC) + timedelta(seconds=10)
        assert shared(task, run_id="run_2", began=soon) != sn

    @pytest.mark.usefixtures("connections")
    def test_p1_a_run_that_had_begun_takes_it(self, task, sandbox):
        sn = shared(task, began=datetime.now(UTC))
        sandbox.approve(sn)
        assert shared(task, run_id="run_2", began=datetime.now(UTC) - timedelta(minutes=1)) == sn

    @pytest.mark.usefixtures("connections")
    def test_p1_a_deadline_goes_by_our_clock(self, task, sandbox):
        sn = shared(task)
        sandbox.wait_for_step(sn)
        sensor = ItsmTicketSensor(task_id="wait", ticket_sn=sn, approval_timeout=600, deferrable=False)
        assert not sensor.poke(task("wait").context)

    @pytest.mark.usefixtures("connections")
    async def test_p1_so_it_does_in_the_triggerer(self, task, sandbox):
        sn = shared(task)
        sandbox.wait_for_step(sn)

        def waits(seconds):
            known = {"ticket_sn": sn, "bkitsm_conn_id": "bkitsm_default", "poll_interval": 0.2}
            return anext(ItsmTicketTrigger(**known, approval_timeout=seconds).run())

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waits(600), 2)
        event = await asyncio.wait_for(waits(1), 10)
        assert event.payload["verdict"]["outcome"] == "timed_out"


def test_p2_many_tries_at_once_open_one_ticket(ask, sandbox):
    with ThreadPoolExecutor(6) as pool:
        numbers = set(pool.map(lambda _: ask(), range(6)))
    assert len(numbers) == len(sandbox.tickets()) == 1


def test_a_ticket_that_a_clear_has_ended_is_recorded_as_withdrawn(ask):
    first = ask()
    second = ask(clear_number=1, title="Stop")
    assert first != second
    earlier, later = open_approval_store().of_run("dag", "run_1")
    assert (earlier.sn, earlier.verdict["outcome"], earlier.verdict["by_airflow"]) == (first, "withdrawn", True)
    assert "cleared" in earlier.verdict["reason"]
    assert (later.sn, later.verdict) == (second, None)
