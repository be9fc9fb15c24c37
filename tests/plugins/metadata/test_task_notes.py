# SPDX-License-Identifier: Apache-2.0
"""The notes on waiting tasks in Airflow's database: ours are kept current, a person's own is never touched."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, event, select, update

from airflow_provider_bkitsm.approvals.snapshot import SEEN_KEY, TicketSnapshot
from airflow_provider_bkitsm.approvals.task_note import NOTE_PREFIX, NoteStyle
from airflow_provider_bkitsm.callback.waiters import TRIGGER
from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.plugins.metadata import TaskNotes
from tests.plugins.metadata.test_queries import change, put
from tests.plugins.rows import Registered, insert_dag, insert_waits

NUMBERS = itertools.count(1)
STYLE = NoteStyle(language="en", base_url="https://airflow.example.com", time_zone=UTC)
NOTES = TaskNotes(STYLE)
SEEN = TicketSnapshot(progress=Progress.RUNNING, read_at=datetime.now(UTC), step="First", approvers=("alice",))
# What the tests start with: a note of a person, of a version that wrote none, and of an unknown writer.
MINE = "I called bob, he looks at it on Monday"


@pytest.fixture(scope="module")
def dag_version(database) -> Any:
    return insert_dag()


@pytest.fixture
def wait(dag_version) -> Any:
    def make(**more: Any) -> Registered:
        return insert_waits([f"NOTE{next(NUMBERS)}"], dag_version=dag_version, **more)[0]

    return make


@pytest.fixture
def noted(wait) -> Registered:
    """Return a wait with its note."""
    one = wait()
    put(one, SEEN_KEY, SEEN.as_note(one.sn, "itsm"))
    one_round(NOTES)
    assert "waits for `alice` at `First`" in content(one)
    return one


def one_round(notes: TaskNotes) -> int:
    """Bring the notes up to date; return how many were changed."""
    return sum(notes.steps())


@contextmanager
def session() -> Iterator[Any]:
    from airflow.utils.session import create_session

    with create_session(scoped=False) as opened:
        yield opened


def stored(one: Registered) -> tuple[str | None, str | None] | None:
    """Return content and writer of a wait's note."""
    from airflow.models.taskinstance import TaskInstance, TaskInstanceNote

    columns = TaskInstanceNote.content, TaskInstanceNote.user_id
    query = select(*columns).join(TaskInstance, TaskInstance.id == TaskInstanceNote.ti_id)
    with session() as opened:
        row = opened.execute(query.where(TaskInstance.run_id == one.run_id)).one_or_none()
    return None if row is None else tuple(row)


def content(one: Registered) -> str:
    found = stored(one)
    return (found and found[0]) or ""


def write(one: Registered, text: str | None, user_id: str | None) -> None:
    """Write a note as Airflow's API does for a person."""
    from airflow.models.taskinstance import TaskInstance

    with session() as opened:
        task = opened.scalars(select(TaskInstance).where(TaskInstance.run_id == one.run_id)).one()
        if task.task_instance_note is None:
            task.note = (text, user_id)
        else:
            task.task_instance_note.content, task.task_instance_note.user_id = text, user_id


def see(one: Registered, snapshot: TicketSnapshot) -> None:
    from airflow.models.xcom import XComModel

    where = XComModel.run_id == one.run_id, XComModel.key == SEEN_KEY
    with session() as opened:
        opened.execute(delete(XComModel).where(*where))
    put(one, SEEN_KEY, snapshot.as_note(one.sn, "itsm"))


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """Note what the database is asked."""
    from airflow import settings

    asked: list[str] = []

    def note(*given: Any) -> None:
        asked.append(given[2])

    event.listen(settings.engine, "before_cursor_execute", note)
    yield asked
    event.remove(settings.engine, "before_cursor_execute", note)


def test_a_waiting_task_gets_a_note_that_no_person_has_written(wait):
    one = wait()
    assert one_round(NOTES) >= 1
    text, user_id = stored(one)
    tab = f"https://airflow.example.com/dags/dag/runs/{one.run_id}/tasks/wait/plugin/bkitsm-ticket"
    assert (text, user_id) == (f"{NOTE_PREFIX}: waits for a decision, [ticket `{one.sn}`]({tab})", None)


def test_it_follows_the_ticket(noted):
    see(noted, replace(SEEN, step="Second", approvers=("bob", "carol")))
    assert one_round(NOTES) == 1
    assert "waits for `bob`, `carol` at `Second`" in content(noted)


def test_nothing_is_written_while_nothing_changes(noted, statements):
    assert one_round(NOTES) == 0
    assert [one.split()[0] for one in statements if "task_instance_note" in one] == ["SELECT", "SELECT"]


@pytest.mark.parametrize("written", [MINE, f"{NOTE_PREFIX}: mine", ""])
def test_a_persons_note_is_neither_replaced_nor_deleted(wait, written):
    one = wait()
    write(one, written, "alice")
    one_round(NOTES)
    change(one, state="failed", trigger_id=None)
    one_round(NOTES)
    one_round(TaskNotes(None))
    assert stored(one) == (written, "alice")


def test_what_a_person_makes_of_our_note_is_theirs(noted):
    theirs = f"{content(noted)} - I called her"
    write(noted, theirs, "bob")
    see(noted, replace(SEEN, step="Second"))
    one_round(NOTES)
    change(noted, state="success", trigger_id=None)
    one_round(NOTES)
    assert stored(noted) == (theirs, "bob")


@pytest.mark.parametrize("written", [MINE, None])
def test_a_note_of_nobody_that_is_not_ours_stays(wait, written):
    one = wait()
    write(one, written, None)
    one_round(NOTES)
    one_round(TaskNotes(None))
    assert stored(one) == (written, None)


@pytest.mark.parametrize(
    "end",
    [
        *({"state": state, "trigger_id": None} for state in ("success", "failed", "skipped", "removed", None)),
        *({"state": state} for state in ("scheduled", "up_for_retry", "failed")),
        {"trigger_id": None},
    ],
)
def test_p5_the_note_ends_with_the_wait_however_it_ends(noted, end):
    change(noted, **end)
    assert one_round(NOTES) == 1
    assert stored(noted) is None


def test_p5_a_server_that_starts_later_removes_what_is_left(noted):
    change(noted, state="success", trigger_id=None)
    assert one_round(TaskNotes(STYLE)) == 1
    assert stored(noted) is None


def test_a_cleared_task_loses_its_note_and_gets_that_of_its_next_ticket(noted):
    """Airflow gives each try an id of its own, and takes the note along to it."""
    from airflow.models.taskinstance import TaskInstance

    again = TaskInstance.id.type.python_type(str(uuid4()))
    change(noted, id=again, state=None, trigger_id=None)
    assert stored(noted) is not None
    assert one_round(NOTES) == 1
    assert stored(noted) is None


def test_a_task_that_waits_for_something_else_keeps_no_note_of_ours(noted):
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger

    with session() as opened:
        of_task = select(TaskInstance.trigger_id).where(TaskInstance.run_id == noted.run_id).scalar_subquery()
        opened.execute(update(Trigger).where(Trigger.id == of_task).values(classpath="another.Trigger"))
    one_round(NOTES)
    assert stored(noted) is None


def test_switched_off_all_notes_of_ours_go(noted):
    assert one_round(TaskNotes(None)) >= 1
    assert stored(noted) is None
    assert one_round(TaskNotes(None)) == 0


def test_in_another_language_it_is_written_anew(noted):
    one_round(TaskNotes(replace(STYLE, language="zh")))
    assert "等待处理：`alice`，步骤 `First`" in content(noted)


@pytest.mark.parametrize("seen", [None, 7, "x", [], {}, {"sn": "another", "conn_id": "itsm"}])
def test_p4_what_others_write_as_the_tickets_state_is_no_error(wait, seen):
    one = wait()
    put(one, SEEN_KEY, seen)
    one_round(NOTES)
    assert f"waits for a decision, [ticket `{one.sn}`]" in content(one)


def test_the_number_is_the_triggers_own_where_nothing_is_registered(wait):
    from airflow.models.xcom import XComModel

    one, starts_from_trigger = wait(), wait(arguments={"ticket_sn": "{{ xcom }}"})
    with session() as opened:
        opened.execute(delete(XComModel).where(XComModel.run_id.in_([one.run_id, starts_from_trigger.run_id])))
    one_round(NOTES)
    assert f"`{one.sn}`" in content(one)
    assert stored(starts_from_trigger) is None


def test_p6_a_forged_registration_changes_nothing(wait):
    one = wait(arguments={"ticket_sn": "{{ xcom }}"})
    put(one, "bkitsm_wait:FORGED", {"ti_id": str(uuid4()), "conn_id": "itsm"})
    put(one, "bkitsm_wait:", "x")
    one_round(NOTES)
    assert f"`{one.sn}`" in content(one)


def test_many_waits_take_few_reads_and_get_a_note_each(dag_version, statements):
    from airflow.models.trigger import Trigger

    waits = insert_waits([f"NOTE{next(NUMBERS)}" for _ in range(450)], dag_version=dag_version)
    with session() as opened:
        waiting = len(opened.scalars(select(Trigger.id).where(Trigger.classpath == TRIGGER)).all())
    statements.clear()
    assert one_round(NOTES) >= 450
    assert len([one for one in statements if one.startswith("SELECT")]) == 2 + math.ceil(waiting / 100)
    assert all(f"`{one.sn}`" in content(one) for one in waits[::90])
    assert one_round(NOTES) == 0


@contextmanager
def in_between(act: Any, first_word: str) -> Iterator[None]:
    """Do something right before the first statement that changes a note so."""
    from airflow import settings

    done: list[bool] = []

    def before(*given: Any) -> None:
        if given[2].startswith(f"{first_word} task_instance_note") and not done:
            done.append(True)
            act()

    event.listen(settings.engine, "before_cursor_execute", before)
    yield
    event.remove(settings.engine, "before_cursor_execute", before)
    assert done


@pytest.mark.parametrize("server", ["another", "a person's"])
def test_who_is_faster_to_write_a_note_wins(wait, server):
    one = wait()
    faster = (lambda: one_round(TaskNotes(STYLE))) if server == "another" else None
    with in_between(faster or (lambda: write(one, MINE, "alice")), "INSERT INTO"):
        one_round(NOTES)
    assert stored(one)[1] == (None if server == "another" else "alice")


@pytest.mark.parametrize("change_of", ["step", "state"])
def test_a_person_who_writes_over_our_note_in_between_wins(noted, change_of):
    if change_of == "step":
        see(noted, replace(SEEN, step="Second"))
    else:
        change(noted, state="success", trigger_id=None)
    with in_between(lambda: write(noted, MINE, "alice"), "UPDATE" if change_of == "step" else "DELETE FROM"):
        one_round(NOTES)
    assert stored(noted) == (MINE, "alice")


def test_a_task_that_ends_in_between_gets_no_note(wait):
    one = wait()
    with in_between(lambda: change(one, state="success", trigger_id=None), "INSERT INTO"):
        one_round(NOTES)
    assert stored(one) is None


def test_a_note_that_is_being_written_stops_no_other(wait):
    from airflow.models.taskinstance import TaskInstance

    one, other = wait(), wait()
    with ThreadPoolExecutor() as threads:
        with session() as opened:
            task = opened.scalars(select(TaskInstance).where(TaskInstance.run_id == one.run_id)).one()
            task.note = (MINE, "alice")
            opened.flush()
            round_ = threads.submit(one_round, NOTES)
            # Its insert waits for this transaction by now, or will not: either way it may not fail.
            time.sleep(0.3)
        round_.result(timeout=60)
    assert stored(one) == (MINE, "alice")
    assert f"`{other.sn}`" in content(other)


def test_servers_that_start_together_write_each_note_once(dag_version):
    waits = insert_waits([f"NOTE{next(NUMBERS)}" for _ in range(60)], dag_version=dag_version)
    with ThreadPoolExecutor(3) as threads:
        rounds = [threads.submit(one_round, TaskNotes(STYLE)) for _ in range(3)]
        for each in rounds:
            each.result(timeout=120)
    assert all(f"`{one.sn}`" in content(one) for one in waits)
    assert one_round(NOTES) == 0


def test_a_database_that_does_not_answer_is_an_error_of_the_round(wait, monkeypatch, tmp_path):
    from airflow import settings
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.orm import sessionmaker

    nothing = sessionmaker(create_engine(f"sqlite:///{tmp_path / 'empty.db'}"))
    monkeypatch.setattr(settings, "NonScopedSession", nothing, raising=False)
    monkeypatch.setattr(settings, "Session", nothing)
    with pytest.raises(SQLAlchemyError):
        one_round(NOTES)
