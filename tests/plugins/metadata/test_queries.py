# SPDX-License-Identifier: Apache-2.0
"""Airflow's database as the approvals pages read it."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi.responses import JSONResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event, select, update
from sqlalchemy.exc import DBAPIError

from airflow_provider_bkitsm.approvals.list_query import View, Wanted, page_of
from airflow_provider_bkitsm.approvals.rows import ApprovalWait, row_of
from airflow_provider_bkitsm.approvals.snapshot import SEEN_KEY, TicketSnapshot
from airflow_provider_bkitsm.callback.waiters import POLLED_KEY, Waiter
from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.mixins import TICKET_URL_KEY, VERDICT_KEY
from airflow_provider_bkitsm.plugins.api_models import Approval, ApprovalList
from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata, AirflowTickets
from tests.plugins.rows import DAG, Registered, insert_dag, insert_waits

NUMBERS = itertools.count(1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LATE = "2999-01-01T00:00:00+00:00"
URL = "https://itsm.example.com/#/ticket/1"
TEMPLATE = {"ticket_sn": "{{ ti.xcom_pull(task_ids='ask', map_indexes=-1) }}"}


@pytest.fixture(scope="module")
def dag_version(database) -> Any:
    return insert_dag()


@pytest.fixture
def wait(dag_version) -> Any:
    def make(**more: Any) -> Registered:
        return insert_waits([f"REQ{next(NUMBERS)}"], dag_version=dag_version, **more)[0]

    return make


def read(one: Registered, *, dags: tuple[str, ...] = (DAG,), since: datetime = LONG_AGO) -> list[ApprovalWait]:
    found = AirflowTickets().waits(set(dags), since=since)
    return [each for each in found if each.task.run_id == one.run_id]


def verdict_of(one: Registered, outcome: Outcome = Outcome.APPROVED) -> Verdict:
    return Verdict(sn=one.sn, outcome=outcome, reason="why", current_status="FINISHED", ticket_url=URL)


def put(one: Registered, key: str, value: Any) -> None:
    """Write an XCom on a wait's task instance."""
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        run = session.scalars(select(DagRun).where(DagRun.run_id == one.run_id)).one()
        where = {"dag_run_id": run.id, "dag_id": DAG, "run_id": one.run_id, "task_id": "wait", "map_index": -1}
        session.add(XComModel(key=key, value=value, **where))


def forget_xcoms(one: Registered) -> None:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        session.execute(delete(XComModel).where(XComModel.run_id == one.run_id))


def change(one: Registered, **values: Any) -> None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        session.execute(update(TaskInstance).where(TaskInstance.run_id == one.run_id).values(**values))


def test_an_open_wait_is_found_with_what_it_registered(wait):
    one = wait(approval_seconds=3600.0)
    (found,) = read(one)
    assert (found.sn, found.conn_id, found.state) == (one.sn, "itsm", "deferred")
    assert (found.approval_seconds, found.verdict, found.ticket_url) == (3600, None, "")
    assert found.registered_at is not None
    assert found.registered_at.tzinfo is not None


def test_an_open_wait_is_found_with_its_ticket_as_last_seen(wait):
    one, seen_at = wait(), datetime.now(UTC)
    snapshot = TicketSnapshot(progress=Progress.RUNNING, read_at=seen_at, title="上线", step="审批")
    put(one, SEEN_KEY, snapshot.as_note(one.sn, "itsm"))
    (found,) = read(one)
    assert (found.noted.title, found.noted.step, found.noted.step_at) == ("上线", "审批", seen_at)
    assert [found.noted for found in AirflowTickets().of_run(DAG, one.run_id)] == [found.noted]
    another = wait()
    put(another, SEEN_KEY, snapshot.as_note(one.sn, "itsm"))
    assert read(another)[0].noted is None


def test_an_open_wait_is_found_with_what_its_trigger_says_of_reminders(wait):
    said = '{"plan": {"remind_after": [3600.0]}}'
    one = wait(arguments={"reminders": said})
    assert [read(one)[0].reminders, *(found.reminders for found in AirflowTickets().of_run(DAG, one.run_id))] == [
        said,
        said,
    ]
    assert read(wait())[0].reminders == ""
    change(one, state="success", trigger_id=None)
    assert [found.reminders for found in AirflowTickets().of_run(DAG, one.run_id)] == [""]


def test_a_wait_names_who_started_its_run(wait):
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    one = wait()
    assert read(one)[0].triggered_by == ""
    with create_session(scoped=False) as session:
        started = update(DagRun).where(DagRun.run_id == one.run_id)
        session.execute(started.values(triggering_user_name="Alice Doe"))
    assert read(one)[0].triggered_by == "Alice Doe"


def test_the_latest_note_of_a_poll_counts_for_its_connection(wait):
    now = datetime.now(UTC)
    notes = {"a": [now - timedelta(minutes=3), now, now - timedelta(minutes=2)], "b": [now - timedelta(minutes=1)]}
    for conn_id, times in notes.items():
        for at in times:
            put(wait(), POLLED_KEY, {"conn_id": conn_id, "at": at.isoformat()})
    polls = AirflowTickets().polls(since=LONG_AGO)
    assert {name: polls[name] for name in notes} == {"a": now, "b": now - timedelta(minutes=1)}
    assert AirflowTickets().polls(since=now + timedelta(minutes=1)) == {}


@pytest.mark.parametrize(
    "note",
    [
        *(None, 7, "x", [], {}, {"conn_id": "c"}, {"conn_id": 7, "at": "2026-11-24T00:00:00Z"}),
        *({"conn_id": "c", "at": at} for at in (LATE, "soon", 7, "2026-11-24T00:00:00")),
    ],
)
def test_a_note_that_is_none_is_passed_over(wait, note):
    put(wait(), POLLED_KEY, note)
    assert "c" not in AirflowTickets().polls(since=LONG_AGO)


def test_nothing_is_read_of_dags_that_are_not_named(wait):
    one = wait()
    put(one, TICKET_URL_KEY, URL)
    assert read(one, dags=()) == read(one, dags=("other",)) == []
    change(one, trigger_id=None, state="success")
    assert read(one, dags=("other",)) == []


def test_a_wait_the_callback_ended_is_found_with_its_verdict(wait):
    one = wait()
    assert AirflowMetadata().resume(one.waiter, verdict_of(one)) is True
    (found,) = read(one)
    assert (found.sn, found.state, found.ticket_url) == (one.sn, "success", URL)
    assert found.verdict == verdict_of(one).as_dict()


def test_a_refused_wait_is_found_with_the_verdict_it_failed_with(wait):
    one = wait()
    put(one, TICKET_URL_KEY, URL)
    put(one, "verdict", verdict_of(one, Outcome.REJECTED).as_dict())
    change(one, trigger_id=None, state="failed")
    (found,) = read(one)
    assert found.verdict == verdict_of(one, Outcome.REJECTED).as_dict()


@pytest.mark.parametrize("reference", ["s3://bucket/1", {"ref": 1}, [1], None])
def test_beside_an_xcom_backend_the_workers_note_is_the_verdict(wait, reference):
    one = wait()
    change(one, state="failed", trigger_id=None)
    put(one, TICKET_URL_KEY, "s3://bucket/0")
    put(one, "return_value", reference)
    put(one, "verdict", reference)
    put(one, VERDICT_KEY, verdict_of(one, Outcome.REJECTED).as_dict())
    (found,) = read(one)
    assert found.verdict["outcome"] == "rejected"


def test_p3_each_read_shows_what_has_changed_since_the_one_before(wait):
    """Rows that are as they were are not read apart again; whatever changes in one is seen at once."""
    from airflow.models.taskinstance import TaskInstance

    one, tickets = wait(), AirflowTickets()

    def now() -> ApprovalWait:
        (listed,) = [each for each in tickets.waits({DAG}, since=LONG_AGO) if each.task.run_id == one.run_id]
        (of_run,) = tickets.of_run(DAG, one.run_id)
        assert listed == of_run
        return listed

    before = now()
    assert (before.state, before.ticket_url, before.noted, before.verdict) == ("deferred", "", None, None)
    for title in ("first", "second"):
        forget(one, SEEN_KEY)
        snapshot = TicketSnapshot(progress=Progress.RUNNING, read_at=datetime.now(UTC), title=title)
        put(one, SEEN_KEY, snapshot.as_note(one.sn, "itsm"))
        noted = now().noted
        assert noted is not None
        assert noted.title == title
    put(one, TICKET_URL_KEY, URL)
    assert now().ticket_url == URL
    change(one, trigger_id=None, state="queued")
    assert (now().state, now().noted, now().verdict) == ("queued", None, None)
    put(one, "return_value", verdict_of(one).as_dict())
    assert now().verdict == verdict_of(one).as_dict()
    forget(one, "return_value")
    assert now().verdict is None
    change(one, id=TaskInstance.id.type.python_type(str(uuid4())))
    assert [(each.sn, each.conn_id) for each in tickets.of_run(DAG, one.run_id)] == [("", "")]


def test_p1_a_wait_that_ends_while_the_list_is_read_is_on_it_once_with_its_end(wait):
    from airflow import settings

    one, tickets, ended = wait(), AirflowTickets(), []

    def end_before_the_second_query(*given: Any) -> None:
        if "xcom_button.timestamp >=" in given[2].replace('"', "").replace("`", "") and not ended:
            ended.append(True)
            assert AirflowMetadata().resume(one.waiter, verdict_of(one)) is True

    event.listen(settings.engine, "before_cursor_execute", end_before_the_second_query)
    found = tickets.waits({DAG}, since=LONG_AGO)
    event.remove(settings.engine, "before_cursor_execute", end_before_the_second_query)
    assert ended
    assert [each.state for each in found if each.task.run_id == one.run_id] == ["success"]


def test_what_ended_long_ago_is_not_read(wait):
    one = wait()
    AirflowMetadata().resume(one.waiter, verdict_of(one))
    assert read(one, since=datetime.now(UTC) + timedelta(minutes=1)) == []


def test_a_wait_of_another_trigger_is_none_of_ours(wait):
    assert read(wait(classpath="some.other.Trigger")) == []


def test_an_earlier_trys_registration_says_nothing_about_this_one(wait):
    one = wait(ti_id=str(uuid4()), arguments=TEMPLATE)
    put(one, TICKET_URL_KEY, URL)
    (found,) = read(one)
    assert (found.sn, found.conn_id, found.ticket_url) == ("", "", URL)


@pytest.mark.parametrize(("arguments", "is_named"), [(None, True), ({"ticket_sn": "{{ params.sn }}"}, False)])
def test_a_wait_whose_xcoms_a_clean_up_has_deleted_is_on_the_list(wait, arguments, is_named):
    one = wait(approval_seconds=3600.0, arguments=arguments)
    forget_xcoms(one)
    for found in (*read(one), *AirflowTickets().of_run(DAG, one.run_id)):
        assert (found.state, found.sn) == ("deferred", one.sn if is_named else "")
        assert found.conn_id == ("itsm" if is_named else "")
    assert len(read(one)) == len(AirflowTickets().of_run(DAG, one.run_id)) == 1


def test_a_second_registration_replaces_the_first(wait):
    """The trigger's number is a template: only the registrations say which it is."""
    one = wait(arguments={"ticket_sn": "{{ ti.xcom_pull(task_ids='ask', map_indexes=-1) }}"})
    put(one, "bkitsm_wait:REQ_later", one.waiter.as_dict())
    assert [found.sn for found in read(one)] == ["REQ_later"]


@pytest.mark.parametrize("value", [None, "x", 7, [], {"sn": "REQ1"}, {"outcome": "approved"}])
def test_what_else_a_task_returned_is_no_verdict(wait, value):
    one = wait()
    put(one, TICKET_URL_KEY, URL)
    put(one, "return_value", value)
    change(one, trigger_id=None, state="success")
    assert [found.verdict for found in read(one)] == [None]


def test_keys_that_only_look_alike_are_no_registrations(wait):
    one = wait(ti_id=str(uuid4()), arguments=TEMPLATE)
    put(one, TICKET_URL_KEY, URL)
    put(one, "bkitsmXwait:REQ9", one.waiter.as_dict())
    put(one, "BKITSM_WAIT", one.waiter.as_dict())
    assert [found.sn for found in read(one)] == [""]


@pytest.mark.parametrize("lie", [{}, {"conn_id": "other"}, {"approval_seconds": 1.0}])
def test_p6_while_a_task_waits_the_page_shows_the_ticket_of_its_trigger(wait, lie):
    one = wait(approval_seconds=3600.0)
    put(one, "bkitsm_wait:REQ_chairs", replace(one.waiter, **lie).as_dict())
    for found in (*read(one), *AirflowTickets().of_run(DAG, one.run_id)):
        assert (found.sn, found.conn_id, found.approval_seconds) == (one.sn, "itsm", 3600)


@pytest.mark.parametrize("arguments", [None, TEMPLATE])
@pytest.mark.parametrize("key", ["return_value", "verdict"])
def test_p3_a_task_that_waits_shows_no_verdict_of_an_earlier_round(wait, arguments, key):
    one = wait(arguments=arguments)
    put(one, key, verdict_of(one).as_dict())
    put(one, TICKET_URL_KEY, URL)
    assert [found.verdict for found in (*read(one), *AirflowTickets().of_run(DAG, one.run_id))] == [None, None]


@pytest.mark.parametrize("state", ["failed", "scheduled", "running", "success", "up_for_retry"])
def test_p3_an_earlier_rounds_approval_is_not_shown_for_this_one(wait, state):
    one = wait()
    put(one, "return_value", replace(verdict_of(one), sn="REQ_before").as_dict())
    put(one, TICKET_URL_KEY, URL)
    change(one, trigger_id=None, state=state)
    assert [found.verdict for found in read(one)] == [None]
    put(one, "verdict", verdict_of(one, Outcome.REJECTED).as_dict())
    assert [found.verdict["outcome"] for found in read(one)] == ["rejected"]


def test_p3_of_two_verdicts_on_one_ticket_the_later_one_is_shown(wait):
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    one = wait()
    put(one, TICKET_URL_KEY, URL)
    put(one, "return_value", verdict_of(one).as_dict())
    put(one, "verdict", verdict_of(one, Outcome.REJECTED).as_dict())
    change(one, trigger_id=None, state="failed")
    assert [found.verdict["outcome"] for found in read(one)] == ["rejected"]
    with create_session(scoped=False) as session:
        of_round = (XComModel.run_id == one.run_id, XComModel.key == "return_value")
        session.execute(update(XComModel).where(*of_round).values(timestamp=LONG_AGO))
        session.execute(
            update(XComModel)
            .where(XComModel.run_id == one.run_id, XComModel.key == "verdict")
            .values(value=verdict_of(one, Outcome.WITHDRAWN).as_dict())
        )
    assert [found.verdict["outcome"] for found in read(one)] == ["withdrawn"]


HALF, HUGE = "\ud800", 10**400
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, HUGE, 1.5, "", HALF, "REQ1", "approved", "x" * 9000, "9999-12-31T23:59:59-14:00"])
    | st.text(alphabet=st.characters(exclude_characters="\x00"), max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
VERDICT = [*Verdict(sn="REQ1", outcome=Outcome.APPROVED, reason="", current_status="").as_dict()]


@pytest.fixture(scope="module")
def victim(dag_version) -> Registered:
    return insert_waits(["REQ_victim"], dag_version=dag_version)[0]


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    key=st.sampled_from(["bkitsm_wait:REQ_victim", "bkitsm_wait:", "bkitsm_wait:%", "bkitsm_wait:REQ1,REQ2"]),
    waiter=JSON | st.dictionaries(st.sampled_from([*Waiter.__dataclass_fields__]), JSON),
    result=JSON | st.dictionaries(st.sampled_from(VERDICT), JSON),
    url=JSON,
    deferred=st.booleans(),
)
def test_p1_no_xcom_of_one_task_breaks_the_pages_of_the_others(victim, wait, key, waiter, result, url, deferred):
    """Whatever is written, every page can be built and sent, and the other wait is on it."""
    forged = wait()
    is_part = isinstance(waiter, dict) and waiter
    forget(forged)
    written = {key: (forged.waiter.as_dict() | waiter) if is_part else waiter, TICKET_URL_KEY: url}
    written |= dict.fromkeys(("return_value", "verdict", POLLED_KEY, SEEN_KEY), result)
    for name, value in written.items():
        # What the database refuses, such as half a character in PostgreSQL, nobody can write.
        with suppress(DBAPIError):
            put(forged, name, value)
    if not deferred:
        change(forged, trigger_id=None, state="failed")
    tickets = AirflowTickets()
    founds = tickets.waits({DAG}, since=LONG_AGO) + tickets.of_run(DAG, forged.run_id)
    rows = [row_of(found, None) for found in founds]
    page = page_of(rows, Wanted(view=View.ALL, size=100))
    answer = ApprovalList.model_validate({**page.as_dict(), "itsm_answered": True, "now": LONG_AGO})
    assert JSONResponse(answer.model_dump(mode="json")).body
    assert JSONResponse([Approval.model_validate(row.as_dict()).model_dump(mode="json") for row in rows]).body
    assert victim.sn in {found.sn for found in founds}
    assert tickets.polls(since=LONG_AGO) is not None


def forget(one: Registered, key: str | None = None) -> None:
    """Delete an XCom of a wait's, or all of them."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        of_run = delete(XComModel).where(XComModel.run_id == one.run_id)
        session.execute(of_run if key is None else of_run.where(XComModel.key == key))


def test_a_run_is_read_alone(wait):
    one, _another = wait(), wait()
    (found,) = AirflowTickets().of_run(DAG, one.run_id)
    assert found.sn == one.sn
    assert AirflowTickets().of_run("other", one.run_id) == []
    assert AirflowTickets().of_run(DAG, "nowhere") == []


def test_the_whole_list_takes_two_queries(wait, dag_version):
    from airflow import settings

    insert_waits([f"REQ{next(NUMBERS)}" for _ in range(50)], dag_version=dag_version)
    asked: list[str] = []
    event.listen(settings.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    found = AirflowTickets().waits({DAG}, since=LONG_AGO)
    assert len(found) >= 50
    assert len([one for one in asked if "task_instance" in one]) == 2
