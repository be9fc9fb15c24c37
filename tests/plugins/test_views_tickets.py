# SPDX-License-Identifier: Apache-2.0
"""The list by ticket, with the sandbox as ITSM: who sees which tasks, and who may do what."""

# ruff: noqa: F811 - the fixtures of the other file
from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_bkitsm.approvals.rows import ApprovalWait, TaskKey
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Decision, Verdict
from airflow_provider_bkitsm.plugins import views
from tests.plugins.people import Person
from tests.plugins.test_views import CONN, DOCUMENT, NOW, READER, Pages, pages, wait  # noqa: F401

BOTH = Person(reads=frozenset({"dag", "other"}), changes=frozenset({"dag", "other"}))


def shared(pages: Pages, one: ApprovalWait, *tasks: TaskKey) -> None:
    """Have these tasks wait for the ticket of a wait as well."""
    pages.tickets.founds.extend(replace(one, task=task) for task in tasks)


def task(dag_id: str, task_id: str = "wait", map_index: int = -1) -> TaskKey:
    return TaskKey(dag_id=dag_id, run_id="run", task_id=task_id, map_index=map_index)


def test_five_tasks_of_one_ticket_are_one_row_with_its_tasks(pages, wait):
    one = wait()
    shared(pages, one, *(task("dag", map_index=index) for index in range(4)))
    answer = pages.get("tickets")
    (ticket,) = answer["rows"]
    assert (answer["total"], answer["waiting"], ticket["task_count"]) == (1, 1, 5)
    assert {one["map_index"] for one in ticket["tasks"]} == {-1, 0, 1, 2, 3}
    assert (ticket["approvers"], ticket["stale"]) == (["alice"], False)
    assert pages.get("approvals")["total"] == 5


def test_of_a_shared_ticket_only_the_tasks_one_may_read_are_there_and_no_number_of_the_others(pages, wait):
    one = wait()
    shared(pages, one, task("other", "hidden_1"), task("other", "hidden_2"))
    text = pages.ask("tickets").text
    (ticket,) = pages.get("tickets")["rows"]
    assert [one["dag_id"] for one in ticket["tasks"]] == ["dag"]
    assert ticket["task_count"] == 1
    assert "hidden" not in text
    assert "hidden" not in pages.ask("tickets.csv").text
    (whole,) = pages.as_person(BOTH).get("tickets")["rows"]
    assert whole["task_count"] == 3


def test_who_may_read_no_task_of_a_ticket_sees_no_ticket(pages, wait):
    shared(pages, replace(wait(), task=task("other")))
    stranger = pages.as_person(Person(reads=frozenset({"third"})))
    answer = stranger.get("tickets")
    assert (answer["rows"], answer["total"], answer["people"], answer["connections"]) == ([], 0, [], [])


@pytest.mark.parametrize(
    ("name", "changes", "allowed", "by"),
    [
        ("robot", True, True, []),
        ("admin", True, True, []),
        ("alice", True, False, ["robot"]),
        ("robot", False, False, []),
        ("alice", False, False, ["robot"]),
    ],
)
def test_withdraw_is_offered_to_who_may_and_else_says_who(pages, wait, name, changes, allowed, by):
    """ITSM lets the creator withdraw, and its system account; Airflow, who may change the DAG's runs."""
    wait()
    person = pages.as_person(replace(READER, name=name, changes=READER.reads if changes else frozenset()))
    (listed,) = person.get("tickets")["rows"]
    opened = person.ticket("run")
    for ticket in (listed, opened):
        assert (ticket["may_withdraw"], ticket["withdraw_by"]) == (allowed, by)
    assert listed["tasks"][0]["may_change"] is changes
    assert opened["may_change"] is changes


def test_a_mapped_person_acts_by_their_name_in_itsm(pages, wait, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", '{"carol@example.com": "robot"}')
    wait()
    carol = pages.as_person(replace(READER, name="carol@example.com", changes=READER.reads))
    assert carol.get("tickets")["rows"][0]["may_withdraw"]


def test_with_a_mapping_that_cannot_be_read_the_list_is_there_and_nobody_may_withdraw(pages, wait, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", "nonsense")
    wait(triggered_by="carol")
    (ticket,) = pages.as_person(replace(READER, name="robot", changes=READER.reads)).get("tickets")["rows"]
    assert (ticket["may_withdraw"], ticket["asked_by"]) == (False, ["carol"])


def test_a_ticket_is_acted_on_by_the_task_one_may_change(pages, wait):
    one = wait()
    shared(pages, one, task("other"))
    person = replace(BOTH, name="robot", changes=frozenset({"other"}))
    (ticket,) = pages.as_person(person).get("tickets")["rows"]
    assert ticket["may_withdraw"]
    assert {one["dag_id"]: one["may_change"] for one in ticket["tasks"]} == {"dag": False, "other": True}


def test_nobody_withdraws_what_itsm_does_not_answer_about(pages, wait):
    wait()
    pages.seen.metadata.gateways.clear()
    (ticket,) = pages.as_person(replace(READER, name="robot", changes=READER.reads)).get("tickets")["rows"]
    assert (ticket["may_withdraw"], ticket["withdraw_by"], ticket["stale"]) == (False, [], True)


@pytest.mark.parametrize("changes", [True, False])
@pytest.mark.parametrize("function", ["", "builtins.print"])
def test_a_reminder_is_offered_to_who_may_send_one(pages, wait, monkeypatch, changes, function):
    monkeypatch.setenv("AIRFLOW__BKITSM__REMIND", function)
    wait()
    person = pages.as_person(replace(READER, changes=READER.reads if changes else frozenset()))
    assert person.get("tickets")["rows"][0]["may_remind"] is (changes and bool(function))


def test_what_is_known_comes_without_waiting_for_itsm_which_is_asked_all_the_same(pages, wait, sandbox):
    one = wait()
    sandbox.fault("get_tickets", "delay", seconds=0.5, times=1)
    (at_once,) = pages.get("tickets", wait=False)["rows"]
    assert (at_once["sn"], at_once["stale"]) == (one.sn, True)
    (later,) = pages.get("tickets")["rows"]
    assert (later["title"] != "", later["stale"]) == (True, False)


@pytest.fixture
def unshared(monkeypatch) -> None:
    monkeypatch.setattr(views, "SHARED_SECONDS", 0.0)
    monkeypatch.setattr(views, "KNOWN_SECONDS", 3600.0)


@pytest.mark.usefixtures("unshared")
def test_a_change_of_filters_waits_for_no_read_of_the_database(pages, wait, monkeypatch):
    """What an open page has just read is shown; the request that follows has what is new."""
    one = wait()
    assert pages.get("tickets")["total"] == 1
    shared(pages, replace(one, sn="REQ2026000000000001"), task("dag", "second"))
    assert pages.get("tickets", wait=False)["total"] == 1
    assert pages.get("tickets")["total"] == 2
    # Of a page that was hidden meanwhile, what is known is too old.
    monkeypatch.setattr(views, "KNOWN_SECONDS", 0.0)
    shared(pages, replace(one, sn="REQ2026000000000002"), task("dag", "third"))
    assert pages.get("tickets", wait=False)["total"] == 3


def ended(run_id: str, minutes: int, outcome: Outcome = Outcome.REJECTED, **changes: Any) -> ApprovalWait:
    """Return a wait whose ticket was opened an hour ago and decided so many minutes later."""
    opened = NOW - timedelta(hours=1)
    answer = Decision(
        operator="bob", approved=outcome is Outcome.APPROVED, remark="=not now", decided_at=None, automatic=False
    )
    verdict = Verdict(
        sn=f"REQ_{run_id}",
        outcome=outcome,
        reason="",
        current_status="FINISHED",
        title=f"Title {run_id}",
        decided_at=(opened + timedelta(minutes=minutes)).isoformat(),
        approvers=(answer,),
    )
    return ApprovalWait(
        task=TaskKey(dag_id="dag", run_id=run_id, task_id="wait"),
        state="failed",
        sn=verdict.sn,
        conn_id=CONN,
        registered_at=opened,
        ended_at=NOW,
        verdict=verdict.as_dict(),
        **changes,
    )


def test_of_a_decision_remark_decider_and_time_come_from_the_stored_verdict(pages):
    pages.tickets.founds.append(ended("a", 30, triggered_by="carol"))
    (ticket,) = pages.get("tickets", view="decided")["rows"]
    assert ticket["remarks"] == [{"person": "bob", "text": "=not now"}]
    assert (ticket["decided_by"], ticket["asked_by"]) == (["bob"], ["carol"])
    assert ticket["seconds_to_decide"] == 1800.0
    (task,) = pages.get("approvals", view="decided")["rows"]
    shared = ("remarks", "decided_by", "asked_by", "seconds_to_decide")
    assert {name: task[name] for name in shared} == {name: ticket[name] for name in shared}


@pytest.mark.parametrize(("descending", "runs"), [(False, ["quick", "slow"]), (True, ["slow", "quick"])])
def test_decisions_are_sorted_by_their_time(pages, descending, runs):
    pages.tickets.founds += [ended("slow", 50), ended("quick", 5)]
    rows = pages.get("tickets", view="decided", sort="seconds_to_decide", descending=descending)["rows"]
    assert [row["tasks"][0]["run_id"] for row in rows] == runs


def exported(pages: Pages, **params: Any) -> list[dict[str, str]]:
    answer = pages.ask("tickets.csv", **params)
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


def test_the_export_has_the_filters_and_all_pages(pages):
    outcomes = {f"run{number:03}": number % 2 for number in range(150)}
    pages.tickets.founds += [
        ended(run, 5, Outcome.APPROVED if approved else Outcome.REJECTED) for run, approved in outcomes.items()
    ]
    assert len(exported(pages, view="all")) == 150
    rejected = exported(pages, view="decided", status="rejected", sort="title", descending="false")
    assert [row["Title"] for row in rejected] == [
        f"Title {run}" for run, approved in outcomes.items() if not approved
    ]
    assert {row["Remark"] for row in rejected} == {"bob: =not now"}


def test_an_export_asks_itsm_nothing(pages, wait, sandbox):
    wait()
    pages.get("tickets")
    before = len(sandbox.requests())
    (row,) = exported(pages)
    assert (row["Status"], row["Waits for"]) == ("waiting", "alice")
    assert len(sandbox.requests()) == before


def test_p8_an_export_has_nothing_secret(pages, wait):
    wait()
    text = pages.ask("tickets.csv").text
    assert "secret" not in text
    assert "/bkitsm/callback/" not in text


def test_who_is_not_signed_in_gets_no_export(pages):
    assert replace(pages, token="").ask("tickets.csv").status_code == 401
