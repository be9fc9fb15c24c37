# SPDX-License-Identifier: Apache-2.0
"""The recipes of the page on DAGs do what it says: each is run in a real Airflow, and decided on both ways."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import DAG

from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Decision, Verdict
from airflow_provider_bkitsm.testing.sandbox import BkItsmSandbox
from tests.plugins.database import airflow_database

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "dags.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def _airflow(tmp_path_factory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("airflow")
    with airflow_database(home, f"sqlite:///{home / 'airflow.db'}"):
        yield


def recipe(name: str) -> DAG:
    """Return a recipe's DAG, loaded anew: no test has used its tasks."""
    dag: DAG = runpy.run_path(str(ROOT / "tests" / "docs_examples" / f"{name}.py"))["dag"]
    return dag


class Ended:
    """A run of a recipe that has ended."""

    def __init__(self, run: Any) -> None:
        self.tasks = {ti.task_id: ti for ti in run.get_task_instances()}
        self.state = run.state

    @property
    def states(self) -> dict[str, str]:
        return {task_id: str(ti.state) for task_id, ti in self.tasks.items()}

    def result(self, task_id: str) -> Any:
        return self.tasks[task_id].xcom_pull(task_ids=task_id)


Run = Callable[..., Ended]


@pytest.fixture
def run(bkitsm_connections, bkitsm_run) -> Run:
    """Return what runs a recipe while everybody gives the same answer; None: nobody answers."""

    def runs(dag: DAG, answer: Any = "approve", **options: Any) -> Ended:
        if answer is None:
            return Ended(bkitsm_run(dag, **options))
        with bkitsm_connections.deciding(answer, remark="as I say"):
            return Ended(bkitsm_run(dag, **options))

    return runs


def days(*numbers: int) -> Iterator[datetime]:
    yield from (datetime(2026, 11, number, tzinfo=UTC) for number in numbers)


def test_p2_runs_that_wait_together_share_a_ticket(connections, sandbox, task):
    gate = recipe("backfill").get_task("approve")
    began = datetime.now(UTC)
    for number in range(1, 6):
        with pytest.raises(TaskDeferred):
            gate.execute(task("approve", run_id=f"backfill__{number}", began=began).context)
    (ticket,) = sandbox.tickets()
    sandbox.approve(ticket["sn"])
    sandbox.wait_for_status(ticket["sn"], "FINISHED")
    # One that had begun before the answer is covered by it, and one that begins later is not.
    with pytest.raises(TaskDeferred):
        gate.execute(task("approve", run_id="backfill__6", began=began).context)
    assert len(sandbox.tickets()) == 1
    later = datetime.now(UTC) + timedelta(minutes=1)
    with pytest.raises(TaskDeferred):
        gate.execute(task("approve", run_id="backfill__7", began=later).context)
    assert len(sandbox.tickets()) == 2


def test_each_missing_day_is_loaded_after_its_answer(run, bkitsm_connections):
    for day in days(1, 2):
        ended = run(recipe("backfill"), logical_date=day)
        assert ended.result("load") == f"orders of {day:%Y-%m-%d}"
    # One after the other they do not wait together.
    assert len(bkitsm_connections.tickets()) == 2


def test_the_owners_are_asked(run, bkitsm_connections):
    assert run(recipe("owner")).state == "success"
    (ticket,) = bkitsm_connections.tickets()
    assert ticket["fields"]["APPROVER"] == "alice,bob"
    assert ticket["fields"]["APPROVAL_CONTENT"].startswith("archive_orders belongs to you")


@pytest.mark.parametrize(
    ("answer", "state", "resized"), [("approve", "success", "success"), ("reject", "failed", "upstream_failed")]
)
def test_p3_what_was_set_up_is_taken_down_after_any_answer(run, answer, state, resized):
    ended = run(recipe("teardown"), answer)
    asked = "success" if answer == "approve" else "failed"
    assert ended.states == {
        "take_snapshot": "success",
        "approve": asked,
        "resize": resized,
        "delete_snapshot": "success",
    }
    assert ended.state == state


@contextmanager
def answering_by_person(sandbox: BkItsmSandbox, answers: Mapping[str, str]) -> Iterator[None]:
    """Let each person give an answer of their own to whatever they are asked."""
    ended = Event()

    def answer() -> None:
        while not ended.wait(0.1):
            for ticket in sandbox.tickets():
                if ticket["status"] == "RUNNING" and ticket["waits_for"]:
                    (person,) = ticket["waits_for"]
                    getattr(sandbox, answers[person])(ticket["sn"])

    people = Thread(target=answer, daemon=True)
    people.start()
    yield
    ended.set()
    people.join()


def test_p3_a_group_is_released_by_its_own_approval_alone(run, bkitsm_connections):
    with answering_by_person(bkitsm_connections, {"alice": "approve", "bob": "reject"}):
        ended = run(recipe("regions"), None)
    asked = {ticket["title"].split(" [#")[0] for ticket in bkitsm_connections.tickets()}
    assert asked == {"Release 7 in eu", "Release 7 in us"}
    assert ended.states == {
        "eu.ask": "success",
        "eu.roll_out.stop": "success",
        "eu.roll_out.start": "success",
        "us.ask": "skipped",
        "us.roll_out.stop": "skipped",
        "us.roll_out.start": "skipped",
    }
    assert ended.state == "success"


@pytest.mark.parametrize(
    ("answer", "went"),
    [("approve", {"resize"}), ("reject", {"why_not", "keep"}), ("withdraw", {"why_not", "keep"})],
)
def test_p3_each_answer_has_its_way(run, answer, went):
    ended = run(recipe("verdict_branch"), answer)
    assert {name for name, state in ended.states.items() if state == "success"} == {"ask", *went}
    assert ended.state == "success"


def test_p5_no_answer_has_a_way_of_its_own_and_leaves_no_ticket(run, bkitsm_connections, monkeypatch):
    dag = recipe("verdict_branch")
    monkeypatch.setattr(dag.get_task("ask"), "approval_timeout", 1)
    ended = run(dag, None)
    went = {name for name, state in ended.states.items() if state == "success"}
    assert went == {"ask", "why_not", "call_somebody"}
    (ticket,) = bkitsm_connections.tickets()
    assert ticket["status"] == "REVOKED"


@pytest.mark.parametrize(("second_answer", "released"), [("approve", "success"), ("reject", "upstream_failed")])
def test_p3_both_itsms_have_to_agree(run, bkitsm_connections, monkeypatch, second_answer, released):
    with BkItsmSandbox() as second:
        for conn_id, one in (("CN", bkitsm_connections), ("EU", second)):
            monkeypatch.setenv(f"AIRFLOW_CONN_BKITSM_{conn_id}", one.connections()["AIRFLOW_CONN_BKITSM_DEFAULT"])
        with second.deciding(second_answer):
            ended = run(recipe("two_itsms"))
        approvers = [one.tickets()[0]["fields"]["APPROVER"] for one in (bkitsm_connections, second)]
    assert approvers == ["alice", "bob"]
    assert ended.states["release"] == released


@pytest.mark.parametrize(
    ("answer", "outcome", "resized"),
    [("approve", "approved", "success"), ("reject", "rejected", "upstream_failed")],
)
def test_the_verdict_is_there_for_tasks_behind_whatever_it_is(run, answer, outcome, resized):
    ended = run(recipe("verdict"), answer)
    verdict = ended.result("ask")
    assert ended.result("report") == f"{verdict['sn']} {outcome}: alice (as I say)"
    assert ended.states["resize"] == resized


def test_a_verdict_without_an_answer_gives_its_reason(run):
    ended = run(recipe("verdict"), "withdraw")
    assert ended.result("report").endswith("withdrawn: the ticket was withdrawn")


def _table(head: str) -> dict[str, str]:
    """Return the rows of the table below a heading line, by each name in their first cell."""
    part = TEXT.split(f"\n{head}\n| --- ")[1].split("\n\n")[0]
    rows = [line.strip("| ").split(" | ", 1) for line in part.splitlines()[1:]]
    return {name: meaning for names, meaning in rows for name in re.findall(r"`(\w+)`", names)}


def test_the_page_has_every_key_of_a_verdict_and_of_an_answer(run):
    keys, answers = _table("| Key | Value |"), _table("| Key of an answer | Value |")
    verdict = run(recipe("verdict")).result("ask")
    assert set(keys) == set(verdict) == set(Verdict.from_dict({}).as_dict())
    assert set(answers) == {one.name for one in fields(Decision)}
    assert set(verdict["approvers"][0]) == set(answers) - {"automatic"}
    assert re.fullmatch(r"Resize the order database \[#[2-9][a-z2-7]{5}\]", verdict["title"])
    assert set(re.findall(r"`(\w+)`", keys["outcome"])) == {str(one) for one in Outcome if one.is_final}
