# SPDX-License-Identifier: Apache-2.0
"""The records of approval rounds on SQLite, PostgreSQL and MariaDB: kept whole, one for each round, and found."""

from __future__ import annotations

import json
import logging
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, select, update
from sqlalchemy.pool import NullPool

from airflow_provider_bkitsm.collectors import migrations
from airflow_provider_bkitsm.collectors.database import server_engine, sqlite_engine
from airflow_provider_bkitsm.collectors.errors import StoreRaceLost, StoreTooNew, StoreUnavailable
from airflow_provider_bkitsm.collectors.migrations import APPROVALS_VERSION, MIGRATIONS, migrate
from airflow_provider_bkitsm.collectors.store import CollectorStore
from airflow_provider_bkitsm.collectors.tables import approval_table, schema_table
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.tickets import approval_store
from airflow_provider_bkitsm.tickets.approval import ApprovalRecord, Attempt, Subject, new_nonce
from airflow_provider_bkitsm.tickets.approval_store import ApprovalStore, installation, open_approval_store
from tests.collectors import version1
from tests.collectors.test_store import Clock

MANY = 12
SUBJECT = Subject(installation="https://a", bkitsm_conn_id="bkitsm", dag_id="dag", run_id="run", task_id="gate")
ATTEMPT = Attempt(ti_id="01-2", try_number=1, max_tries=2, retries=2, clear_number=0, run_started="2026-11-29")
LONG = "\u5ba1" * 250
EMOJI = "\U0001f600" * 250


def record(**changed: Any) -> ApprovalRecord:
    given: dict[str, Any] = {
        "nonce": new_nonce(),
        "subject": SUBJECT,
        "round_number": 1,
        "attempt": ATTEMPT,
        "digest": f"sha256:{'1' * 64}",
        "asked_digest": f"sha256:{'2' * 64}",
        "tag": "t" * 32,
        "request": {
            "service_id": 7,
            "creator": "bot",
            "fields": {"title": "\u5220\u9664 #12345678"},
            "meta": None,
        },
    }
    return ApprovalRecord(**given | changed)


@pytest.fixture
def store(engine: Engine) -> ApprovalStore:
    return ApprovalStore(engine, now=Clock())


# --- one caller


def test_what_nobody_asked_has_no_record(store: ApprovalStore) -> None:
    assert store.latest(SUBJECT) is None
    assert store.get(new_nonce()) is None
    assert store.by_ticket("bkitsm", "SN1") is None
    assert store.of_run("dag", "run") == []


def test_p7_every_step_of_a_round_is_read_back_as_it_was_returned(store: ApprovalStore) -> None:
    steps: list[Callable[[ApprovalRecord], ApprovalRecord]] = [
        store.begin,
        lambda one: store.change(one, create_started_at=store.now()),
        lambda one: store.change(
            one, sn="SN1", ticket_id=2**40, ticket_url="http://itsm/1", opened_at=store.now()
        ),
        lambda one: store.change(one, attempt=replace(ATTEMPT, ti_id="01-3", try_number=2)),
        lambda one: store.change(one, verdict={"outcome": "approved", "approvers": [{"name": "\u738b"}]}),
        lambda one: store.change(one, ended_at=store.now()),
    ]
    row = record()
    for version, step in enumerate(steps, start=1):
        row = step(row)
        assert row.version == version
        for found in (store.latest(SUBJECT), store.get(row.nonce)):
            assert found is not None
            assert (found, found.version) == (row, version)
    assert store.by_ticket("bkitsm", "SN1") == row
    assert store.of_run("dag", "run") == [row]
    assert (row.ticket_id, row.attempt.run_started) == (2**40, ATTEMPT.run_started)
    assert row.created_at is not None
    assert row.updated_at is not None
    assert row.created_at < row.updated_at


def test_every_column_survives_the_round_trip(store: ApprovalStore) -> None:
    """No value is a default, so that a column that is forgotten shows."""
    full = record(
        subject=replace(SUBJECT, map_index=5, approval_key="k" * 2000, installation="i" * 2000),
        round_number=7,
        request={"fields": {"title": "t"}, "dialect": "v4"},
        create_started_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        ticket_of=new_nonce(),
        sn="SN1",
        ticket_id=5,
        ticket_url="http://itsm/" + "u" * 2000,
        opened_at=datetime(2026, 1, 3, tzinfo=UTC),
        verdict={"outcome": "rejected"},
        ended_at=datetime(2026, 1, 4, tzinfo=UTC),
    )
    stored = store.begin(full)
    defaults = record()
    kept = {"digest", "asked_digest", "tag", "request", "attempt"}
    assert not [
        one.name
        for one in fields(ApprovalRecord)
        if one.name not in kept and getattr(stored, one.name) == getattr(defaults, one.name)
    ]
    assert store.get(full.nonce) == stored
    assert {*approval_table.c.keys()} == (
        {one.name for one in fields(ApprovalRecord)} - {"subject"} | {one.name for one in fields(Subject)}
    ) | {"subject_key", "dialect"}
    assert stored.dialect == "v4"


@pytest.mark.parametrize("name", [LONG, EMOJI, "x" * 250, "\u00e9\U0001f600 '\"\\%_;--"])
def test_names_of_any_length_that_airflow_allows_are_kept_and_found(store: ApprovalStore, name: str) -> None:
    subject = Subject(installation=name, bkitsm_conn_id=name, dag_id=name, run_id=name, task_id=name)
    row = store.change(store.begin(record(subject=subject)), sn=name[:128])
    assert store.latest(subject) == row
    assert store.by_ticket(name, name[:128]) == row
    assert store.of_run(name, name) == [row]


@pytest.mark.parametrize(
    "other",
    [
        {"dag_id": "DAG"},
        {"dag_id": "d\u00e4g"},
        {"run_id": "Run"},
        {"run_id": "run "},
        {"task_id": "Gate"},
        {"map_index": 0},
        {"bkitsm_conn_id": "BKITSM"},
        {"installation": "https://b"},
        {"approval_key": ""},
        {"dag_id": "dag.run", "run_id": ""},
    ],
    ids=str,
)
def test_p3_what_only_looks_alike_is_another_subject(store: ApprovalStore, other: dict[str, Any]) -> None:
    """Databases compare names by their own rules, MySQL without regard to case, accents and spaces at the end."""
    mine = store.change(store.begin(record()), sn="SN1")
    subject = replace(SUBJECT, **other)
    assert store.latest(subject) is None
    theirs = store.begin(record(subject=subject))
    assert (store.latest(SUBJECT), store.latest(subject)) == (mine, theirs)
    of_run = store.of_run("dag", "run")
    assert mine in of_run
    assert (theirs in of_run) == ((subject.dag_id, subject.run_id) == ("dag", "run"))


def test_p3_a_ticket_is_found_by_its_whole_number_and_connection(store: ApprovalStore) -> None:
    row = store.change(store.begin(record()), sn="SN1")
    assert store.by_ticket("bkitsm", "SN1") == row
    for conn_id, sn in (
        ("other", "SN1"),
        ("BKITSM", "SN1"),
        ("bkitsm", "sn1"),
        ("bkitsm", "SN"),
        ("bkitsm", "SN1 "),
    ):
        assert store.by_ticket(conn_id, sn) is None


def test_the_last_round_is_the_latest_and_every_round_is_kept(store: ApprovalStore) -> None:
    rounds = [store.begin(record(round_number=number)) for number in range(1, 12)]
    assert store.latest(SUBJECT) == rounds[-1]
    assert store.of_run("dag", "run") == rounds


def test_of_a_number_given_twice_the_later_ticket_counts(store: ApprovalStore) -> None:
    store.change(store.begin(record()), sn="SN1")
    later = store.change(store.begin(record(round_number=2)), sn="SN1")
    assert store.by_ticket("bkitsm", "SN1") == later


def test_of_a_number_that_two_installations_have_this_ones_ticket_counts(store: ApprovalStore) -> None:
    """They may share a store and not an ITSM."""
    mine = replace(SUBJECT, installation=installation())
    here = store.change(store.begin(record(subject=mine)), sn="SN1")
    store.change(store.begin(record(subject=replace(mine, installation="https://elsewhere"))), sn="SN1")
    assert store.by_ticket("bkitsm", "SN1") == here


def test_a_change_leaves_what_it_does_not_name_as_it_is_stored(store: ApprovalStore) -> None:
    row = store.change(store.begin(record()), sn="SN1", request={"dialect": "v4", "fields": {}})
    changed = store.change(row, verdict={"outcome": "approved"})
    assert store.get(row.nonce) == changed
    assert (changed.sn, changed.request, changed.dialect) == ("SN1", row.request, "v4")


def test_a_ticket_belongs_to_the_record_that_opened_it(store: ApprovalStore) -> None:
    """Not to a round that kept it, nor to a task that joined it."""
    opener = store.change(store.begin(record()), sn="SN1")
    kept = store.begin(record(round_number=2, ticket_of=opener.nonce, sn="SN1"))
    assert store.by_ticket("bkitsm", "SN1") == opener
    assert store.latest(SUBJECT) == kept
    assert kept.ticket_of is not None
    assert store.get(kept.ticket_of) == opener


def test_a_request_is_returned_as_a_retry_will_read_it(store: ApprovalStore) -> None:
    """The read-back compares it: the first try must not see other types than a later one."""
    row = store.begin(record(request={"fields": {"people": ("a", "b")}, "processors": {3: "alice"}}))
    assert row.request == {"fields": {"people": ["a", "b"]}, "processors": {"3": "alice"}}
    assert store.get(row.nonce) == row


@pytest.mark.parametrize("value", [float("nan"), object(), b"x", {1, 2}])
def test_what_cannot_be_sent_is_refused_before_anything_is_stored(store: ApprovalStore, value: Any) -> None:
    with pytest.raises(ItsmInvalidRequestError, match=r"Nothing was changed.*a retry is refused again"):
        store.begin(record(request={"fields": {"a": value}}))
    assert store.latest(SUBJECT) is None


def test_a_record_of_an_earlier_version_may_lack_what_an_attempt_has_now(
    store: ApprovalStore, engine: Engine
) -> None:
    row = store.begin(record())
    older = {"ti_id": "x", "try_number": 1, "max_tries": 0, "retries": 0, "of_a_later_version": 1}
    with engine.begin() as connection:
        connection.execute(update(approval_table).values(attempt=older))
    found = store.get(row.nonce)
    assert found is not None
    assert found.attempt == Attempt(ti_id="x", try_number=1, max_tries=0, retries=0)


# --- races


def _outcomes(work: Callable[[int], Any], number: int = MANY) -> list[Any]:
    """Return what each of many threads got that began at once; a lost race is None."""
    barrier = threading.Barrier(number)

    def one(index: int) -> Any:
        barrier.wait()
        try:
            return work(index)
        except StoreRaceLost:
            return None

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def test_p2_of_tries_that_begin_one_round_at_once_one_does(store: ApprovalStore) -> None:
    store.latest(SUBJECT)
    begun = [one for one in _outcomes(lambda _: store.begin(record())) if one is not None]
    assert len(begun) == 1
    assert store.of_run("dag", "run") == begun
    with pytest.raises(StoreRaceLost, match=r"Round 1 of dag\.gate, run run was begun.*a retry is safe"):
        store.begin(record())


def test_p2_other_rounds_and_subjects_are_not_in_each_others_way(store: ApprovalStore) -> None:
    store.latest(SUBJECT)
    begun = _outcomes(lambda index: store.begin(record(subject=replace(SUBJECT, map_index=index))))
    assert None not in begun
    assert len(store.of_run("dag", "run")) == MANY


def test_p2_of_changes_at_once_one_is_stored_and_the_others_hear_of_it(store: ApprovalStore) -> None:
    """Two tries that both mean to send ``create_ticket``: one may."""
    row = store.begin(record())
    changed = [one for one in _outcomes(lambda index: store.change(row, sn=f"SN{index}")) if one is not None]
    assert len(changed) == 1
    assert store.get(row.nonce) == changed[0]
    with pytest.raises(StoreRaceLost, match=r"was changed by another try.*Nothing was changed.*a retry is safe"):
        store.change(row, sn="SN99")
    assert store.get(row.nonce) == changed[0]


def test_a_record_that_is_gone_is_not_written_anew(store: ApprovalStore, engine: Engine) -> None:
    row = store.begin(record())
    with engine.begin() as connection:
        connection.execute(approval_table.delete())
    with pytest.raises(StoreRaceLost):
        store.change(row, sn="SN1")
    assert store.get(row.nonce) is None


def test_p2_processes_that_begin_one_round_at_once(engine: Engine) -> None:
    ApprovalStore(engine).latest(SUBJECT)
    context = multiprocessing.get_context("fork")
    barrier, won = context.Barrier(MANY), context.Queue()

    def begin() -> None:
        barrier.wait()
        try:
            won.put(ApprovalStore(engine).begin(record()).nonce)
        except StoreRaceLost:
            won.put(None)

    workers = [context.Process(target=begin) for _ in range(MANY)]
    for worker in workers:
        worker.start()
    nonces = [nonce for _ in workers if (nonce := won.get(timeout=60)) is not None]
    for worker in workers:
        worker.join()
    assert [one.nonce for one in ApprovalStore(engine).of_run("dag", "run")] == nonces
    assert len(nonces) == 1


# --- versions


@pytest.fixture
def of_the_version_before(engine: Engine) -> Engine:
    """A database with the collectors' state alone, as the version before left it."""
    version1.make(engine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", MIGRATIONS[: APPROVALS_VERSION - 1])
        migrate(engine)
    approval_table.drop(engine)
    return engine


def test_a_database_of_the_version_before_keeps_all_it_holds(of_the_version_before: Engine) -> None:
    before = datetime.now(UTC)
    store = ApprovalStore(of_the_version_before)
    row = store.begin(record())
    assert store.latest(SUBJECT) == row
    assert CollectorStore(of_the_version_before).get("bklog", 7).ticket_sn == "SN1"
    since = store.records_since()
    assert since is not None
    # Databases round microseconds, clocks are one.
    assert before - timedelta(milliseconds=1) <= since <= datetime.now(UTC)
    assert row.created_at is not None
    assert since <= row.created_at + timedelta(milliseconds=1)


def test_tries_of_many_workers_may_migrate_at_once(of_the_version_before: Engine) -> None:
    begun = _outcomes(lambda _: ApprovalStore(of_the_version_before).begin(record()))
    assert sum(one is not None for one in begun) == 1
    with of_the_version_before.connect() as connection:
        versions = list(connection.scalars(select(schema_table.c.version).order_by(schema_table.c.version)))
    assert versions == list(range(1, len(MIGRATIONS) + 1))


def test_since_when_there_are_records_is_known_and_stays(engine: Engine) -> None:
    first = ApprovalStore(engine).records_since()
    assert first is not None
    assert first.tzinfo is UTC
    assert ApprovalStore(engine).records_since() == first


def test_a_later_version_does_not_change_since_when_there_are_records(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ApprovalStore(engine).records_since()
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, lambda _connection: None))
    assert ApprovalStore(engine).records_since() == first


def test_since_when_there_are_records_may_not_be_known(engine: Engine) -> None:
    """As where an administrator made the tables; nothing is then taken for a ticket of before."""
    store = ApprovalStore(engine)
    store.records_since()
    with engine.begin() as connection:
        connection.execute(schema_table.delete())
    assert store.records_since() is None


def test_a_newer_providers_database_is_refused_and_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        schema_table.create(connection)
        connection.execute(schema_table.insert().values(version=99, at=datetime.now(UTC)))
    for step in (
        lambda store: store.latest(SUBJECT),
        lambda store: store.begin(record()),
        lambda store: store.records_since(),
    ):
        with pytest.raises(
            StoreTooNew, match=r"version 99.*Nothing was changed and the ticket is untouched"
        ) as caught:
            step(ApprovalStore(engine))
        assert not caught.value.retry_safe
    assert not inspect(engine).has_table(approval_table.name)


# --- a store that cannot be used


def _steps() -> Iterator[Callable[[ApprovalStore], Any]]:
    yield lambda store: store.latest(SUBJECT)
    yield lambda store: store.by_ticket("bkitsm", "SN1")
    yield lambda store: store.of_run("dag", "run")
    yield lambda store: store.records_since()
    yield lambda store: store.begin(record())
    yield lambda store: store.change(record(version=1), sn="SN1")


@pytest.mark.parametrize("step", _steps())
def test_p8_an_outage_says_what_became_of_the_ticket_and_no_password(step: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    down = server_engine("postgresql+psycopg2://tester:p4ss@127.0.0.1:9/none")
    for engine in (down, sqlite_engine(tmp_path / "file" / "bkitsm.db")):
        with pytest.raises(StoreUnavailable) as caught:
            step(ApprovalStore(engine))
        assert not isinstance(caught.value, StoreRaceLost)
        message = str(caught.value)
        assert "approval records" in message
        assert "Nothing was changed and the ticket is untouched; a retry is safe" in message
        assert "p4ss" not in message
        assert caught.value.retry_safe


def test_nothing_is_connected_before_the_first_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "none"))
    store = open_approval_store()
    assert not (tmp_path / "none").exists()
    store.begin(record())
    assert (tmp_path / "none" / "bkitsm.db").stat().st_mode & 0o077 == 0


# --- one machine


@pytest.fixture
def warned(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], str]:
    """Open the store as a process with these executors does, and return what it warned of."""
    approval_store._warn_if_not_shared.cache_clear()
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    caplog.set_level(logging.WARNING)

    def open_with(executors: str) -> str:
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executors)
        caplog.clear()
        open_approval_store()
        ours = [one for one in caplog.records if one.name == approval_store.__name__]
        return "\n".join(one.getMessage() for one in ours)

    return open_with


@pytest.mark.parametrize(
    ("executors", "named"),
    [
        ("CeleryExecutor", "(CeleryExecutor)"),
        ("KubernetesExecutor", "(KubernetesExecutor)"),
        ("LocalExecutor,CeleryExecutor", "(CeleryExecutor)"),
        ("LocalExecutor, KubernetesExecutor, CeleryExecutor", "(KubernetesExecutor, CeleryExecutor)"),
        ("airflow.providers.celery.executors.celery_executor.CeleryExecutor", "(CeleryExecutor)"),
        ("Far:airflow.providers.edge3.executors.EdgeExecutor,LocalExecutor", "(EdgeExecutor)"),
        ("LocalExecutor:CeleryExecutor", "(CeleryExecutor)"),
        ("my.company.LocalExecutor", "(LocalExecutor)"),
        ("LocalExecutor;team1=CeleryExecutor", "(CeleryExecutor)"),
        (
            "LocalExecutor;team1=LocalExecutor,Mine:my.module.MyExecutor;team2=KubernetesExecutor",
            "(MyExecutor, Kub",
        ),
        ("=CeleryExecutor;team1=LocalExecutor", "(CeleryExecutor)"),
    ],
)
def test_p2_an_executor_that_spans_machines_is_warned_of_once(
    warned: Callable[[str], str], executors: str, named: str
) -> None:
    text = warned(executors)
    assert named in text
    for part in ("bkitsm.db", "second ticket (P2)", "with what was sent (P3)", "[bkitsm] store_conn_id"):
        assert part in text
    assert warned(executors) == ""


@pytest.mark.parametrize(
    "executors",
    [
        "LocalExecutor",
        " LocalExecutor ",
        "Mine:LocalExecutor",
        "airflow.executors.local_executor.LocalExecutor",
        "LocalExecutor;team1=LocalExecutor",
    ],
)
def test_one_machine_needs_no_warning(warned: Callable[[str], str], executors: str) -> None:
    assert warned(executors) == ""


@pytest.mark.parametrize("variable", ["AIRFLOW_IS_K8S_EXECUTOR_POD", "AIRFLOW_IS_EXECUTOR_CONTAINER"])
def test_a_container_for_one_task_is_warned_whatever_its_configuration_says(
    warned: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The pods of Airflow's Helm chart are told LocalExecutor."""
    monkeypatch.setenv(variable, "True")
    assert "may open a second ticket (P2)" in warned("LocalExecutor")


def test_a_database_server_needs_no_warning(
    warned: Callable[[str], str], connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect("store", conn_type="postgres", host="127.0.0.1", port=9, login="u", password="p", schema="s")
    monkeypatch.setenv("AIRFLOW__BKITSM__STORE_CONN_ID", "store")
    assert warned("CeleryExecutor") == ""
    engine = open_approval_store()._transactions.engine
    assert (engine.dialect.name, type(engine.pool)) == ("postgresql", NullPool)


def test_old_rows_are_deleted_as_the_documentation_says(store: ApprovalStore, engine: Engine) -> None:
    """But for the record of a ticket that a later round has taken over."""
    opener = store.begin(record())
    store.begin(record(round_number=2))
    kept = store.begin(record(round_number=3, ticket_of=opener.nonce))
    with engine.begin() as connection:
        old = approval_table.c.round_number < 3
        connection.execute(update(approval_table).where(old).values(updated_at=datetime(2025, 1, 1, tzinfo=UTC)))
        page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text()
        connection.exec_driver_sql(page.partition("```sql\n")[2].partition(";")[0])
    assert {one.nonce for one in store.of_run("dag", "run")} == {opener.nonce, kept.nonce}


def test_what_is_stored_is_what_people_can_read(store: ApprovalStore, engine: Engine) -> None:
    """For an administrator with a SQL client: plain columns, JSON as text, no secrets."""
    row = store.change(store.begin(record()), sn="SN1", verdict={"outcome": "approved"})
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT dag_id, run_id, task_id, sn, verdict, request FROM bkitsm_approval"
        )
        (dag_id, run_id, task_id, sn, verdict, request) = found.one()
    assert (dag_id, run_id, task_id, sn) == ("dag", "run", "gate", "SN1")
    assert json.loads(verdict) == row.verdict
    assert json.loads(request) == row.request
