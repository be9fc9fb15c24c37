# SPDX-License-Identifier: Apache-2.0
"""Airflow's database as the callback uses it: who waits, and exactly one resume for each."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, delete, event, select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from airflow_provider_bkitsm.callback.waiters import TRIGGER, Waiter
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata
from airflow_provider_bkitsm.plugins.metadata import resume as module
from airflow_provider_bkitsm.tickets.waits import WaitRecord, open_wait_store
from airflow_provider_bkitsm.triggers.ticket import ItsmTicketTrigger
from tests.plugins.rows import DAG, OURS, insert_dag, insert_waits, trigger_arguments
from tests.tickets.records import record_round

NUMBERS = itertools.count(1)


@dataclass
class Wait:
    """A task instance in Airflow's database that waits for a ticket."""

    sn: str
    waiter: Waiter
    run_id: str

    @property
    def verdict(self) -> Verdict:
        return Verdict(
            sn=self.sn,
            outcome=Outcome.APPROVED,
            reason="approved",
            current_status="FINISHED",
            ticket_url="http://x",
        )

    def row(self) -> Any:
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session

        with create_session(scoped=False) as session:
            found = session.scalars(select(TaskInstance).where(TaskInstance.run_id == self.run_id)).one()
            session.expunge_all()
            return found

    def set(self, **values: Any) -> None:
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session

        with create_session(scoped=False) as session:
            found = session.scalars(select(TaskInstance).where(TaskInstance.run_id == self.run_id)).one()
            for name, value in values.items():
                setattr(found, name, value)

    def xcoms(self) -> dict[str, Any]:
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        with create_session(scoped=False) as session:
            rows = session.execute(select(XComModel.key, XComModel.value).where(XComModel.run_id == self.run_id))
            return {row.key: row.value for row in rows}


@pytest.fixture(scope="module")
def dag_version(database) -> Any:
    return insert_dag()


@pytest.fixture
def wait(dag_version) -> Any:
    """Return a maker of waits."""

    def make(sn: str | None = None, **more: Any) -> Wait:
        (made,) = insert_waits([sn or f"REQ{next(NUMBERS)}"], dag_version=dag_version, **more)
        return Wait(sn=made.sn, waiter=made.waiter, run_id=made.run_id)

    return make


@pytest.fixture(autouse=True)
def _own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))


@pytest.fixture
def airflow() -> AirflowMetadata:
    return AirflowMetadata()


def test_who_waits_is_found_by_the_tickets_number(airflow, wait):
    one = wait()
    found = airflow.waiting(one.sn, "itsm")
    assert (found.waiters, found.ever_registered) == ((one.waiter,), True)


def cleaned(one: Wait, **record: Any) -> Wait:
    """Delete a task's XComs as ``airflow db clean`` does; the wait's record is left."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        session.execute(delete(XComModel).where(XComModel.run_id == one.run_id))
    where = {"dag_id": DAG, "run_id": one.run_id, "task_id": "wait", "map_index": -1}
    kept: dict[str, Any] = {"sn": one.sn, "opened_by": None, "withdraw": False, "ti_id": one.waiter.ti_id}
    kept |= {"installation": "here", "bkitsm_conn_id": "itsm", **where} | record
    open_wait_store().begin(WaitRecord(**kept))
    return one


@pytest.mark.parametrize("outcome", ["approved", "rejected"])
def test_p1_a_wait_whose_xcoms_a_clean_up_deleted_is_found_by_its_record(airflow, wait, outcome):
    one = cleaned(wait())
    (found,) = airflow.waiting(one.sn, "itsm").waiters
    assert found == replace(one.waiter, ends_task=False)
    record_round(one.sn, dag_id=DAG, run_id=one.run_id)
    assert airflow.resume(found, replace(one.verdict, outcome=Outcome(outcome)))
    assert (one.row().state, one.row().trigger_id) == ("scheduled", None)


def test_behind_a_callback_each_thing_is_read_once(airflow, wait):
    """What the database and its driver take for each statement is most of what a callback takes."""
    for _ in range(2):  # the first makes the store's tables
        one, asked = wait(arguments={"opened_by": "ask"}), []
        record_round(one.sn, dag_id=DAG, run_id=one.run_id, conn_id="itsm", task_id="ask")
        with listening(lambda statement, asked=asked: asked.append(" ".join(statement.split()))):
            (found,) = airflow.waiting(one.sn, "itsm").waiters
            assert airflow.resume(found, one.verdict)
    kinds = [(text.split()[0], next(name for name in TABLES if name in text)) for text in asked]
    read = [("SELECT", "xcom"), ("SELECT", "bkitsm_approval"), ("SELECT", "bkitsm_approval")]
    written = [("UPDATE", "bkitsm_approval"), ("UPDATE", "task_instance"), ("DELETE", "xcom"), ("INSERT", "xcom")]
    assert kinds == read + written


TABLES = ("bkitsm_approval", "xcom", "task_instance")


@contextmanager
def listening(heard: Callable[[str], object]) -> Iterator[None]:
    """Hear every statement that any database is asked."""

    def asked(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        heard(statement)

    event.listen(Engine, "before_cursor_execute", asked)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", asked)


def test_p1_so_is_one_whose_trigger_holds_a_template(airflow, wait):
    one = cleaned(wait(arguments={"ticket_sn": "{{ ti.xcom_pull() }}", "opened_by": "ask"}))
    record_round(one.sn, dag_id=DAG, run_id=one.run_id, task_id="ask")
    (found,) = airflow.waiting(one.sn, "itsm").waiters
    assert airflow.resume(found, one.verdict)
    assert one.row().state == "scheduled"


@pytest.mark.parametrize(
    "record", [{"ti_id": str(uuid4())}, {"ti_id": None}, {"bkitsm_conn_id": "other"}, {"sn": "REQ_another"}]
)
def test_p4_a_record_of_another_try_connection_or_ticket_finds_nobody(airflow, wait, record):
    one = cleaned(wait(), **record)
    assert airflow.waiting(one.sn, "itsm").waiters == ()


def test_p3_a_record_that_names_another_ticket_than_the_trigger_finds_nobody(airflow, wait):
    cleaned(wait(), sn="REQ_chairs")
    assert airflow.waiting("REQ_chairs", "itsm").waiters == ()


@pytest.mark.parametrize("state", ["success", "failed", None, "scheduled"])
def test_p4_a_record_of_a_task_that_goes_on_already_finds_nobody(airflow, wait, state):
    one = cleaned(wait())
    one.set(state=state)
    assert airflow.waiting(one.sn, "itsm").waiters == ()


def test_p6_a_wait_on_another_connection_is_not_found(airflow, wait):
    found = airflow.waiting(wait().sn, "other")
    assert (found.waiters, found.ever_registered) == ((), False)


@pytest.mark.parametrize("sn", ["REQ_nobody", "%", "REQ'--", "", "R" * 64])
def test_p6_a_number_nobody_waits_for_finds_nobody(airflow, wait, sn):
    wait()
    assert airflow.waiting(sn, "itsm").ever_registered is False


def test_several_waits_for_one_ticket_are_all_found(airflow, wait):
    first = wait()
    second = wait(first.sn)
    assert set(airflow.waiting(first.sn, "itsm").waiters) == {first.waiter, second.waiter}


def test_an_approval_ends_the_task_with_the_xcoms_a_worker_would_push(airflow, wait):
    one = wait()
    before = one.row().trigger_id
    assert airflow.resume(one.waiter, one.verdict) is True
    row, xcoms = one.row(), one.xcoms()
    assert (row.state, row.trigger_id, row.end_date is not None) == ("success", None, True)
    assert xcoms["return_value"] == json.loads(json.dumps(one.verdict.as_dict()))
    assert xcoms["bkitsm_ticket_url"] == "http://x"
    assert xcoms["bkitsm_resumed"] == {"trigger_id": before, "outcome": "approved"}
    assert airflow.waiting(one.sn, "itsm").waiters == ()
    assert airflow.waiting(one.sn, "itsm").ever_registered is True


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.APPROVED])
def test_p3_anything_else_goes_back_to_execute_complete(airflow, wait, outcome):
    one = wait()
    verdict, before = replace(one.verdict, outcome=outcome), one.row().trigger_id
    assert airflow.resume(one.waiter, verdict) is True
    row = one.row()
    assert (row.state, row.trigger_id, row.next_method) == ("scheduled", None, "execute_complete")
    assert str(outcome) in str(row.next_kwargs)
    assert one.xcoms()["bkitsm_resumed"] == {"trigger_id": before, "outcome": str(outcome)}
    assert "return_value" not in one.xcoms()


def test_a_task_that_needs_a_worker_gets_one(airflow, wait):
    one = wait(ends_task=False)
    assert airflow.resume(one.waiter, one.verdict) is True
    assert one.row().state == "scheduled"


def test_with_listeners_or_an_xcom_backend_the_worker_ends_the_task(airflow, wait, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW__CORE__XCOM_BACKEND", "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
    )
    one = wait()
    assert airflow.resume(one.waiter, one.verdict) is True
    assert one.row().state == "scheduled"


def test_what_goes_back_to_a_worker_does_not_go_in_the_first_moments(airflow, wait):
    one = wait(deferred_for=timedelta(seconds=1), ends_task=False, after_worker=True)
    assert airflow.resume(one.waiter, one.verdict) is False
    assert one.row().state == "deferred"


@pytest.fixture
def queued_by(airflow):
    """Make a scheduler whose last heartbeat was so many seconds ago, and let it have queued a wait's task."""
    from airflow.jobs.job import Job
    from airflow.utils.session import create_session

    def queue(one: Wait, seconds: float) -> None:
        with create_session(scoped=False) as session:
            job = Job(job_type="SchedulerJob")
            job.latest_heartbeat = datetime.now(UTC) - timedelta(seconds=seconds)
            session.add(job)
            session.flush()
            number = job.id
        one.set(queued_by_job_id=number)

    return queue


@pytest.mark.parametrize(
    ("deferred_for", "heartbeat", "goes"), [(30, 25, False), (30, 1, True), (61, 58, True), (4, 0, False)]
)
def test_p1_what_goes_back_to_a_worker_goes_once_its_scheduler_has_heard_of_the_one_before(
    airflow, wait, queued_by, deferred_for, heartbeat, goes
):
    """It would take that worker's end, read later, for the end of what it has queued since, and fail the task."""
    one = wait(deferred_for=timedelta(seconds=deferred_for), ends_task=False, after_worker=True)
    queued_by(one, heartbeat)
    assert airflow.resume(one.waiter, one.verdict) is goes
    assert one.row().state == ("scheduled" if goes else "deferred")


def test_what_ends_here_needs_no_scheduler(airflow, wait, queued_by):
    one = wait(deferred_for=timedelta(seconds=1), ends_task=True, after_worker=False)
    queued_by(one, 17)
    assert airflow.resume(one.waiter, one.verdict) is True
    assert one.row().state == "success"


def test_a_wait_that_no_worker_began_goes_at_once(airflow, wait):
    one = wait(deferred_for=timedelta(seconds=1), ends_task=False)
    assert airflow.resume(one.waiter, one.verdict) is True
    assert one.row().state == "scheduled"


@pytest.mark.parametrize("state", ["success", "failed", "running", "up_for_retry", "removed", None])
def test_p4_a_task_that_a_person_or_the_poll_moved_on_is_left_alone(airflow, wait, state):
    one = wait()
    one.set(state=state)
    assert airflow.resume(one.waiter, one.verdict) is False
    assert one.row().state == state
    assert "return_value" not in one.xcoms()


def test_p4_another_try_of_the_task_is_left_alone(airflow, wait):
    one = wait(ti_id=str(uuid4()))
    assert airflow.waiting(one.sn, "itsm").waiters == ()
    assert airflow.resume(one.waiter, one.verdict) is False
    assert one.row().state == "deferred"


def test_p4_a_task_that_is_deferred_on_something_else_is_left_alone(airflow, wait):
    one = wait(classpath="airflow.providers.standard.triggers.temporal.TimeDeltaTrigger")
    assert airflow.resume(one.waiter, one.verdict) is False
    assert one.row().state == "deferred"


def test_p4_a_registration_that_is_none_is_nobody(airflow, wait):
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    one = wait()
    with create_session(scoped=False) as session:
        session.scalars(select(XComModel).where(XComModel.run_id == one.run_id)).one().value = {"ti_id": "no"}
    assert airflow.waiting(one.sn, "itsm").ever_registered is False


def test_p3_a_ticket_of_ours_without_a_record_is_left_to_a_worker(airflow, wait):
    """The task itself may have kept what was sent to open it."""
    one = wait(ends_task=True, after_worker=True)
    assert airflow.resume(one.waiter, replace(one.verdict, title="Restart #01234567"))
    assert one.row().state == "scheduled"


@pytest.mark.parametrize("ends_task", [True, False])
def test_p1_of_several_api_servers_exactly_one_resumes(airflow, wait, ends_task):
    waits, servers = [wait(ends_task=ends_task) for _ in range(5)], 8
    start = threading.Barrier(servers)

    def race(_server: int) -> list[bool]:
        start.wait()
        return [airflow.resume(one.waiter, one.verdict) for one in waits]

    with ThreadPoolExecutor(servers) as pool:
        outcomes = list(pool.map(race, range(servers)))
    assert [sum(won) for won in zip(*outcomes, strict=True)] == [1] * len(waits)
    assert {one.row().state for one in waits} == {"success" if ends_task else "scheduled"}


def test_p4_a_person_who_clears_the_task_meanwhile_wins(airflow, wait, monkeypatch):
    """The person's change comes between the look and the lock."""
    one = wait()
    found = airflow.waiting(one.sn, "itsm")
    one.set(state=None, trigger_id=None)
    assert [airflow.resume(who, one.verdict) for who in found.waiters] == [False]
    assert one.row().state is None


@pytest.mark.parametrize("ends_task", [True, False])
def test_p1_nothing_is_left_half_done_when_airflow_cannot_end_the_task(airflow, wait, monkeypatch, ends_task):

    def broken(*_args, **_kwargs):
        raise RuntimeError("no file")

    monkeypatch.setattr(module, "handle_event_submit", broken)
    monkeypatch.setattr(module, "xcoms_of", broken)
    one = wait(ends_task=ends_task)
    with pytest.raises(RuntimeError):
        airflow.resume(one.waiter, one.verdict)
    assert one.row().state == "deferred"
    assert "return_value" not in one.xcoms()


@contextmanager
def before_the_lock(act: Callable[[], None]) -> Iterator[None]:
    """Do something once, right before a task instance is locked."""
    acts = iter([act])

    def locks(_connection, _cursor, statement, *_more):
        if statement.startswith("UPDATE task_instance"):
            for one in acts:
                one()

    event.listen(Engine, "before_cursor_execute", locks)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", locks)
    assert next(acts, None) is None, "nothing was locked"


def test_p1_a_transaction_that_the_database_gave_up_is_made_again(airflow, wait):
    def give_up() -> None:
        raise OperationalError("UPDATE", {}, Exception("locked"))

    one = wait()
    with before_the_lock(give_up):
        assert airflow.resume(one.waiter, one.verdict) is True
    assert one.row().state == "success"


def end_other_connections(database: str) -> None:
    """Have PostgreSQL close every connection but the one that asks, as a restart of it does; a file has none."""
    from airflow import settings

    if database == "sqlite":
        return
    with settings.engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


def test_p1_connections_that_the_database_has_closed_lose_no_callback(airflow, wait, database):
    """Connections are trusted while callbacks come; who ends them does not tell."""
    first, one = wait(), wait()
    assert airflow.waiting(first.sn, "itsm").waiters == (first.waiter,)
    end_other_connections(database)
    assert airflow.waiting(one.sn, "itsm").waiters == (one.waiter,)
    end_other_connections(database)
    assert airflow.resume(one.waiter, one.verdict) is True
    assert one.row().state == "success"


CHAIRS = "REQ_chairs"
PULLED = {"ticket_sn": "{{ ti.xcom_pull(task_ids='ask', key='return_value', map_indexes=-1) }}"}
LIES = {
    "an approval needs no evidence": {"require_evidence": False},
    "an automatic approval will do": {"accept_automatic": True},
    "another person asked": {"forbid_self_approval": True, "requester": "chairs"},
    "more people have to agree": {"min_approvers": 2},
    "another field holds the verdict": {"verdict_field": "chairs", "verdict_value": "yes"},
    "no worker is needed": {"ends_task": True, "after_worker": False},
    "another connection": {"conn_id": "other"},
}


def register(one: Wait, sn: str, **lies: Any) -> Waiter:
    """Write a registration, as whoever may write XComs of the DAG can."""
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    forged = replace(one.waiter, **lies)
    with create_session(scoped=False) as session:
        earlier = select(XComModel).where(XComModel.run_id == one.run_id, XComModel.key == f"bkitsm_wait:{sn}")
        for row in session.scalars(earlier):
            session.delete(row)
        session.flush()
        run = session.scalars(select(DagRun).where(DagRun.run_id == one.run_id)).one()
        where = {"dag_run_id": run.id, "dag_id": DAG, "run_id": one.run_id, "task_id": "wait", "map_index": -1}
        session.add(XComModel(key=f"bkitsm_wait:{sn}", value=forged.as_dict(), **where))
    return forged


def put_result(one: Wait, value: Any, key: str = "return_value") -> None:
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        run = session.scalars(select(DagRun).where(DagRun.run_id == one.run_id)).one()
        where = {"dag_run_id": run.id, "dag_id": DAG, "run_id": one.run_id, "task_id": "wait", "map_index": -1}
        session.add(XComModel(key=key, value=value, **where))


@pytest.mark.parametrize("lie", [{}, *LIES.values()], ids=["another ticket alone", *LIES])
def test_p3_another_tickets_number_in_an_xcom_resumes_nobody(airflow, wait, lie):
    victim = wait(ends_task=False)
    forged = register(victim, CHAIRS, **lie)
    assert airflow.waiting(CHAIRS, "itsm").waiters == ()
    assert airflow.resume(forged, replace(victim.verdict, sn=CHAIRS)) is False
    assert victim.row().state == "deferred"
    assert airflow.waiting(victim.sn, "itsm").waiters == (victim.waiter,)


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_p3_a_policy_in_an_xcom_changes_nothing(airflow, wait, lie):
    victim = wait(ends_task=False)
    forged = register(victim, victim.sn, **lie)
    assert airflow.waiting(victim.sn, "itsm").waiters == (victim.waiter,)
    assert airflow.waiting(victim.sn, "other").waiters == ()
    airflow.resume(forged, victim.verdict)
    assert victim.row().state != "success"


def test_p3_a_verdict_that_was_read_with_an_xcoms_policy_only_wakes_a_worker(airflow, wait):
    victim = wait()
    forged = register(victim, victim.sn, require_evidence=False)
    assert airflow.resume(forged, victim.verdict) is True
    assert (victim.row().state, "verdict" in str(victim.row().next_kwargs)) == ("scheduled", False)


def test_p3_an_xcom_may_ask_for_a_worker_and_never_do_without_one(airflow, wait):
    for registered, stored in ((False, True), (True, False)):
        one = wait(ends_task=registered, arguments={"ends_task": stored})
        (found,) = airflow.waiting(one.sn, "itsm").waiters
        assert found.ends_task is False
        assert airflow.resume(found, one.verdict) is True
        assert one.row().state == "scheduled"


STORED = {
    "a template of the number": PULLED,
    "a template of the connection": {"bkitsm_conn_id": "{{ var.value.itsm }}"},
    "no number": {"ticket_sn": None},
}


@pytest.mark.parametrize("arguments", STORED.values(), ids=STORED)
def test_p3_where_the_trigger_does_not_name_the_ticket_a_record_has_to(airflow, wait, arguments):
    one = wait(arguments=arguments)
    (found,) = airflow.waiting(one.sn, "itsm").waiters
    assert airflow.resume(found, one.verdict) is True
    row = one.row()
    assert (row.state, row.next_method, "verdict" in str(row.next_kwargs)) == (
        "scheduled",
        "execute_complete",
        False,
    )
    assert "look" in str(row.next_kwargs)


@pytest.mark.parametrize("opened_by", [None, "ask"])
def test_p1_a_record_of_the_run_binds_the_ticket_and_the_approval_ends_the_task(airflow, wait, opened_by):
    one = wait(arguments=PULLED | ({"opened_by": opened_by} if opened_by else {}))
    record_round(one.sn, run_id=one.run_id, conn_id="itsm")
    (found,) = airflow.waiting(one.sn, "itsm").waiters
    assert airflow.resume(found, one.verdict) is True
    assert one.row().state == "success"


@pytest.mark.parametrize(
    ("of_the_opener", "of_the_wait", "state"),
    [
        ({"forbid_self_approval": True}, {}, "scheduled"),
        ({}, {"forbid_self_approval": True}, "scheduled"),
        ({}, {}, "success"),
    ],
)
def test_p3_where_who_joined_a_ticket_may_not_approve_it_a_worker_judges(
    airflow, wait, of_the_opener, of_the_wait, state
):
    policy = asdict(VerdictPolicy(**of_the_opener))
    one = wait(arguments=PULLED | {"opened_by": "ask"} | of_the_wait)
    found = register(one, one.sn, **of_the_wait)
    asked = {"run_id": "", "task_id": "", "approval_key": "k", "request": {"requester": "alice", "policy": policy}}
    shared = record_round(one.sn, conn_id="itsm", **asked)
    record_round(None, run_id=one.run_id, conn_id="itsm", ticket_of=shared.nonce, request={"requester": "bob"})
    assert airflow.resume(found, one.verdict)
    assert one.row().state == state


@pytest.mark.parametrize(
    "of_another", [{"run_id": "elsewhere"}, {"dag_id": "chairs"}, {"dag_id": "chairs", "run_id": ""}]
)
def test_p3_another_runs_ticket_does_not_even_wake_who_waits_for_a_ticket_by_template(airflow, wait, of_another):
    one = wait(arguments=PULLED)
    forged = register(one, CHAIRS)
    record_round(CHAIRS, **({"conn_id": "itsm", "run_id": one.run_id} | of_another))
    assert airflow.resume(forged, replace(one.verdict, sn=CHAIRS)) is False
    assert one.row().state == "deferred"


def test_p3_another_tasks_ticket_of_the_same_run_is_not_the_openers(airflow, wait):
    one = wait(arguments=PULLED | {"opened_by": "ask"})
    forged = register(one, CHAIRS)
    record_round(one.sn, run_id=one.run_id, conn_id="itsm")
    record_round(CHAIRS, run_id=one.run_id, conn_id="itsm", task_id="chairs")
    assert airflow.resume(forged, replace(one.verdict, sn=CHAIRS)) is False
    assert one.row().state == "deferred"


def test_p3_a_number_that_was_swapped_before_the_wait_is_refused_on_a_worker(airflow, wait):
    """The worker that deferred had it from an XCom."""
    one = wait(arguments={"opened_by": "ask"})
    record_round("REQ_own", run_id=one.run_id, conn_id="itsm")
    (found,) = airflow.waiting(one.sn, "itsm").waiters
    assert airflow.resume(found, one.verdict) is True
    row = one.row()
    assert row.state == "scheduled"
    assert "not_its_ticket" in str(row.next_kwargs)
    assert "approved'" not in str(row.next_kwargs)


def test_p3_a_store_that_cannot_be_read_leaves_it_to_a_worker(airflow, wait, monkeypatch):
    from airflow_provider_bkitsm.hooks import store

    def locked(_conn_id=None):
        raise RuntimeError("locked")

    monkeypatch.setattr(store, "store_engine", locked)
    one = wait()
    assert airflow.resume(one.waiter, one.verdict) is True
    assert (one.row().state, "look" in str(one.row().next_kwargs)) == ("scheduled", True)


@pytest.mark.parametrize("kwargs", ["", "{", "no fernet", '{"__var": [], "__type": "x"}', '["a"]'])
def test_p3_a_trigger_that_cannot_be_read_only_wakes_a_worker(airflow, wait, kwargs):
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session

    one, other = wait(), wait()
    with create_session(scoped=False) as session:
        of_run = select(TaskInstance.trigger_id).where(TaskInstance.run_id == one.run_id)
        session.get_one(Trigger, session.scalars(of_run).one()).encrypted_kwargs = kwargs
    (found,) = airflow.waiting(one.sn, "itsm").waiters
    assert airflow.resume(found, one.verdict) is True
    assert (one.row().state, "look" in str(one.row().next_kwargs)) == ("scheduled", True)
    assert airflow.resume(other.waiter, other.verdict) is True
    assert other.row().state == "success"


def test_p1_a_trigger_of_the_version_before_goes_on(airflow, wait):
    first_version = (
        "ticket_sn",
        "bkitsm_conn_id",
        "poll_interval",
        "approval_timeout",
        "ends_task",
        "after_worker",
    )
    settings = ("withdraw_when_killed", "verdict_field", "verdict_value", "require_evidence")
    one = wait()
    stored = trigger_arguments(one.sn, conn_id="itsm", ends_task=True)
    assert set(stored) == {*first_version, *settings}
    assert airflow.resume(one.waiter, one.verdict) is True
    assert one.row().state == "success"


def test_a_wait_that_began_anew_since_it_was_found_is_not_resumed(airflow, wait):
    """The task waits on another trigger by the time of the lock."""
    one, another = wait(), wait()
    with before_the_lock(lambda: one.set(trigger_id=another.row().trigger_id)):
        assert airflow.resume(one.waiter, one.verdict) is False
    assert one.row().state == "deferred"


@pytest.mark.parametrize("key", ["return_value", "verdict"])
@pytest.mark.parametrize(("outcome", "left"), [("rejected", "rejected"), ("approved", "waiting")])
def test_p3_what_goes_to_a_worker_leaves_no_earlier_approval(airflow, wait, key, outcome, left):
    one = wait(ends_task=False)
    put_result(one, replace(one.verdict, sn="REQ_before").as_dict(), key)
    assert airflow.resume(one.waiter, replace(one.verdict, outcome=Outcome(outcome))) is True
    result = one.xcoms()["return_value"]
    assert (result["sn"], result["outcome"], "verdict" in one.xcoms()) == (one.sn, left, False)


def test_p3_nor_does_a_worker_that_is_only_woken(airflow, wait):
    one = wait(arguments=PULLED)
    put_result(one, replace(one.verdict, sn="REQ_before").as_dict())
    assert airflow.resume(one.waiter, one.verdict) is True
    assert one.xcoms()["return_value"]["outcome"] == "waiting"
    assert one.xcoms()["bkitsm_resumed"]["outcome"] is None


MALFORMED = [
    *(None, 7, -1.5, True, "", "x", [], {}, [{}], "\ud800", "x" * 200_000, {"ti_id": None}),
    *({"ti_id": one} for one in (7, "", "no", "0" * 31, "0" * 33, [], {}, "\ud800" * 32)),
    *({"conn_id": one} for one in (None, 7, "", "\x00", "\ud800", "x" * 100_000, "a b", [], "'; drop")),
    *({"approval_seconds": one} for one in ("1", 10**400, -(10**400), [], {}, True)),
    *({"ends_task": one} for one in (None, 1, "true", [])),
    *({"require_evidence": one} for one in (0, "no", {})),
    {"verdict_field": 7},
    {"unknown": "x" * 100_000},
]


@pytest.mark.parametrize(
    "value", MALFORMED, ids=[str(one)[:30].encode(errors="replace").decode() for one in MALFORMED]
)
def test_p1_a_malformed_registration_harms_no_other_wait(airflow, wait, value):
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    one = wait()
    other = wait(one.sn)
    is_part = isinstance(value, dict) and value
    # What the database refuses, such as half a character in PostgreSQL, nobody can write.
    with suppress(DBAPIError), create_session(scoped=False) as session:
        row = session.scalars(select(XComModel).where(XComModel.run_id == one.run_id)).one()
        row.value = one.waiter.as_dict() | value if is_part else value
    assert other.waiter in airflow.waiting(one.sn, "itsm").waiters
    for who in airflow.waiting(one.sn, "itsm").waiters:
        airflow.resume(who, one.verdict)
    assert other.row().state == "success"


def test_only_a_usable_connection_of_our_type_is_a_gateway(airflow, database, connect):
    good = {"host": "https://x", "login": "a", "password": "b"}
    connect("good", conn_type="bkitsm", **good)
    connect("foreign", conn_type="postgres", **good)
    connect("broken", conn_type="bkitsm", host="https://x")
    assert airflow.gateway("good").app_code == "a"
    assert [airflow.gateway(one) for one in ("foreign", "broken", "nowhere")] == [None] * 3


def test_our_trigger_is_known_by_the_path_it_gives_itself():
    path, _ = ItsmTicketTrigger(
        ticket_sn="REQ1", bkitsm_conn_id="itsm", poll_interval=1, approval_timeout=None
    ).serialize()
    assert path == OURS == TRIGGER


def test_the_database_under_test_is_the_one_meant(database):
    from airflow import settings

    assert settings.engine.dialect.name == {"postgres": "postgresql"}.get(database, database)
