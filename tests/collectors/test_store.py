# SPDX-License-Identifier: Apache-2.0
"""The store on SQLite, PostgreSQL and MariaDB: round trips, audit, races between threads and processes."""

from __future__ import annotations

import multiprocessing
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pendulum
import pytest
from sqlalchemy import Engine, event, select, text
from sqlalchemy.exc import OperationalError

from airflow_provider_bkitsm.collectors.clean_config import digest, verify
from airflow_provider_bkitsm.collectors.database import server_engine, sqlite_engine
from airflow_provider_bkitsm.collectors.errors import (
    CollectItsmConflict,
    CollectItsmHasApply,
    CollectItsmNotFound,
    StoreRaceLost,
    StoreUnavailable,
)
from airflow_provider_bkitsm.collectors.row import CollectorRow, CollectorState, Owner
from airflow_provider_bkitsm.collectors.store import CollectorStore
from airflow_provider_bkitsm.collectors.tables import audit_table
from airflow_provider_bkitsm.itsm.outcome import Outcome

KEY = ("bklog", 7)
MINE = Owner(dag_id="dag", run_id="run", task_id="apply")
PAYLOAD: dict[str, Any] = {"etl_config": "bk_log_text", "table_id": "t", "retention": 7}
MANY = 12


class Clock:
    """Ticks a microsecond short of a second each time it is read, so that every stored time differs."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.time += timedelta(microseconds=999_999)
        return self.time


@pytest.fixture
def store(engine: Engine) -> CollectorStore:
    return CollectorStore(engine, now=Clock(), actor="tester")


def _apply(store: CollectorStore, number: int = 0, **changed: Any) -> CollectorRow:
    owner = replace(MINE, run_id=f"run {number}")
    given: dict[str, Any] = {"payload": PAYLOAD, "tag": f"tag{number}", "owner": owner}
    return store.apply(*KEY, **given | changed)


def _opened(store: CollectorStore, sn: str = "SN1") -> CollectorRow:
    return store.ticket_opened(*KEY, tag=str(_apply(store).tag), sn=sn, url="http://itsm/1")


def _changes(store: CollectorStore) -> int:
    return len(store.history(*KEY))


# --- one caller


def test_a_collector_nobody_applied_for_is_not_apply(store: CollectorStore) -> None:
    row = store.get(*KEY)
    assert (row.state, row.version, row.has_apply) == (CollectorState.NOT_APPLY, 0, False)
    assert store.history(*KEY) == []
    with pytest.raises(CollectItsmNotFound):
        store.complete(*KEY, sn="SN1")


def test_every_step_is_read_back_as_it_was_returned(store: CollectorStore) -> None:
    """The life of one application: P7's order, each row equal to what the database gives back."""
    steps: list[Callable[[], CollectorRow]] = [
        lambda: _apply(store),
        lambda: store.recreate(*KEY, tag="tag0", seen=_aware(store.get(*KEY).create_started_at)),
        lambda: store.ticket_opened(*KEY, tag="tag0", sn="SN1", url="http://itsm/1"),
        lambda: store.decided(*KEY, sn="SN1", outcome=Outcome.APPROVED, detail={"who": "卡罗尔"}),
        lambda: store.etl_failed(*KEY, sn="SN1", reason="down"),
        lambda: store.fail(*KEY, sn="SN1", reason="ETL 失败 \U0001f600"),
        lambda: store.resume(*KEY, sn="SN1"),
        lambda: store.provisioned(*KEY, sn="SN1", result={"index_set_id": 3}),
        lambda: store.complete(*KEY, sn="SN1"),
    ]
    for version, step in enumerate(steps, start=1):
        row = step()
        assert row.version == version
        assert store.get(*KEY) == row
    assert store.get(*KEY).has_success
    assert [entry.event for entry in store.history(*KEY)] == [
        *("apply", "recreate", "ticket_opened", "decided", "etl_failed", "fail", "resume", "provisioned"),
        "complete",
    ]


def test_the_audit_tells_who_changed_what(store: CollectorStore) -> None:
    row = _opened(store)
    store.decided(*KEY, sn="SN1", outcome="rejected", detail={"who": "carol"})
    row = store.fail(*KEY, sn="SN1", reason="rejected")
    first, *_, decided, last = store.history(*KEY)
    assert first.detail == {"tag": "tag0", "etl_digest": digest(PAYLOAD)}
    assert (first.from_state, first.to_state, first.ticket_sn) == ("not_apply", "applying", None)
    assert decided.detail == {"outcome": "rejected", "detail": {"who": "carol"}}
    assert (last.from_state, last.to_state, last.ticket_sn) == ("applying", "fail_apply", "SN1")
    assert (last.version, last.application, last.owner, last.actor) == (4, 1, row.owner, "tester")
    assert (last.at, last.detail) == (row.updated_at, {"reason": "rejected"})


def test_a_create_that_was_refused_frees_the_collector(store: CollectorStore) -> None:
    _apply(store, 0)
    row = store.create_refused(*KEY, tag="tag0", reason="3900003")
    assert (row.state, row.last_error) == (CollectorState.FAIL_APPLY, "3900003")
    assert _apply(store, 1).application == 2


def test_an_application_that_needs_no_approval_is_read_back_and_told_of(store: CollectorStore) -> None:
    given: dict[str, Any] = {"payload": PAYLOAD, "owner": MINE, "setting": "[bkitsm] collect_itsm = off"}
    steps: list[Callable[[], CollectorRow]] = [
        lambda: store.bypass(*KEY, tag="tag0", **given),
        lambda: store.etl_failed(*KEY, tag="tag0", reason="down"),
        lambda: store.fail(*KEY, tag="tag0", reason="down"),
        lambda: store.resume(*KEY, tag="tag0"),
        lambda: store.provisioned(*KEY, tag="tag0", result={"index_set_id": 3}),
        lambda: store.complete(*KEY, tag="tag0"),
    ]
    for step in steps:
        row = step()
        assert store.get(*KEY) == row
        assert row.is_bypassed
    told = store.history(*KEY)
    assert [one.event for one in told] == [
        *("bypassed", "etl_failed", "fail", "resume", "provisioned", "complete")
    ]
    assert (told[0].owner, told[0].actor, told[0].from_state) == (MINE, "tester", "not_apply")
    assert told[0].detail == {"tag": "tag0", "etl_digest": digest(PAYLOAD), "setting": given["setting"]}
    assert not store.bypass(*KEY, tag="tag1", **given).has_success
    assert store.get(*KEY).application == 2


def test_a_retry_writes_nothing_p2(store: CollectorStore) -> None:
    """P2: the same step again gives the same row, and leaves no trace."""
    row = _opened(store)
    written = _changes(store)
    assert _apply(store, 0, tag="tag of the retry") == row
    assert store.ticket_opened(*KEY, tag="tag0", sn="SN1", url="http://itsm/1") == row
    assert store.get(*KEY) == row
    assert _changes(store) == written


def test_a_refused_step_writes_nothing(store: CollectorStore) -> None:
    row = _opened(store)
    with pytest.raises(CollectItsmConflict):
        store.complete(*KEY, sn="SN1")
    with pytest.raises(CollectItsmConflict):
        store.fail(*KEY, tag="tag-old", reason="late")
    assert (store.get(*KEY), _changes(store)) == (row, 2)


def test_an_old_ticket_never_touches_a_newer_application(store: CollectorStore) -> None:
    _opened(store, "SN1")
    store.fail(*KEY, sn="SN1", reason="gave up")
    row = _apply(store, 1)
    with pytest.raises(CollectItsmConflict):
        store.decided(*KEY, sn="SN1", outcome="approved")
    assert store.get(*KEY) == row
    assert store.by_ticket("SN1") is None


def test_a_ticket_leads_to_its_collector(store: CollectorStore) -> None:
    row = _opened(store)
    assert store.by_ticket("SN1") == row
    assert store.by_ticket("SN") is None
    assert store.by_ticket("") is None


def test_what_is_under_way_can_be_listed(store: CollectorStore) -> None:
    assert store.applying() == []
    _opened(store)
    others = [("a connection", 3), ("bklog", 2), ("bklog", 9)]
    rows = [store.apply(*key, payload=PAYLOAD, tag="tag", owner=MINE) for key in others]
    store.fail(*others[2], tag="tag", reason="over")
    assert store.applying() == [rows[0], rows[1], store.get(*KEY)]
    assert store.applying("bklog") == [rows[1], store.get(*KEY)]
    assert store.applying("BKLOG") == []


def test_what_changed_last_is_listed_first(store: CollectorStore) -> None:
    for number in (1, 2, 3):
        store.apply(KEY[0], number, payload=PAYLOAD, tag=f"tag{number}", owner=MINE)
    store.fail(KEY[0], 1, tag="tag1", reason="no")
    assert [row.collector_config_id for row in store.latest(2)] == [1, 3]
    assert store.latest(0) == []


def test_two_itsms_or_a_counter_that_began_anew_may_give_one_number(store: CollectorStore) -> None:
    rows = []
    for number, conn_id in ((8, "itsm_one"), (9, "itsm_two"), (10, "itsm_two")):
        store.apply("bklog", number, payload=PAYLOAD, tag=f"tag{number}", owner=MINE, bkitsm_conn_id=conn_id)
        rows.append(store.ticket_opened("bklog", number, tag=f"tag{number}", sn="SN1"))
    assert [(row.ticket_sn, row.bkitsm_conn_id) for row in rows] == [
        ("SN1", "itsm_one"),
        ("SN1", "itsm_two"),
        ("SN1", "itsm_two"),
    ]
    assert store.by_ticket("SN1", bkitsm_conn_id="itsm_one") == rows[0]
    assert store.by_ticket("SN1") == store.by_ticket("SN1", bkitsm_conn_id="itsm_two") == rows[2]
    assert store.by_ticket("SN1", bkitsm_conn_id="itsm_three") is None
    assert [row.is_in("itsm_one") for row in (*rows, _apply(store))] == [True, False, False, True]


def test_connections_that_differ_in_case_are_two(store: CollectorStore) -> None:
    _apply(store)
    assert not store.get("BKLOG", 7).has_apply
    store.apply("BKLOG", 7, payload=PAYLOAD, tag="tag", owner=MINE)
    assert len(store.history("BKLOG", 7)) == 1


def test_the_longest_names_airflow_allows_fit(store: CollectorStore) -> None:
    owner = Owner(dag_id="d" * 250, run_id="r" * 250, task_id="t" * 250, map_index=1023)
    row = store.apply("c" * 250, 2**40, payload=PAYLOAD, tag="t" * 32, owner=owner)
    assert store.get("c" * 250, 2**40) == row
    assert store.history("c" * 250, 2**40)[0].owner == owner


def test_a_payload_comes_back_as_it_was_digested(store: CollectorStore) -> None:
    """Larger than MySQL's TEXT, in no order, with characters and numbers databases like to respell."""
    payload = {"z": 1.0, "a": 1e-7, "名": "\U0001f600\x00<&>", "long": "长" * 70_000, "b": [None, True, {}]}
    _apply(store, payload=payload)
    row = store.get(*KEY)
    assert verify(row.etl_payload, row.etl_digest) == payload
    assert list(row.etl_payload or {}) == list(payload)
    assert row.etl_digest == digest(payload)


def test_times_are_aware_utc_whatever_zone_the_clock_has(engine: Engine) -> None:
    moment = pendulum.datetime(2026, 1, 2, 3, 4, 5, 678901, tz="Asia/Shanghai")
    _apply(CollectorStore(engine, now=lambda: moment))
    row = CollectorStore(engine).get(*KEY)
    for time in (row.created_at, row.updated_at, row.create_started_at):
        assert _aware(time).tzinfo is UTC
        assert time == moment


def test_row_and_audit_are_one_transaction(store: CollectorStore, engine: Engine) -> None:
    row = _apply(store)

    def refuse_audit(*arguments: Any) -> None:
        if str(arguments[2]).startswith(f"INSERT INTO {audit_table.name}"):
            raise RuntimeError("no audit")

    event.listen(engine, "before_cursor_execute", refuse_audit)
    with pytest.raises(RuntimeError, match="no audit"):
        store.create_refused(*KEY, tag="tag0", reason="x")
    event.remove(engine, "before_cursor_execute", refuse_audit)
    assert (store.get(*KEY), _changes(store)) == (row, 1)


# --- races


def _sneaking(engine: Engine, change: Callable[[], object], *, times: int) -> CollectorStore:
    """A store into whose transaction, between its read and its write, another writer comes."""
    left = [times]

    def now() -> datetime:
        if left[0]:
            left[0] -= 1
            change()
        return datetime.now(tz=UTC)

    return CollectorStore(engine, now=now)


def test_the_first_application_loses_against_one_that_was_faster_p2(engine: Engine) -> None:
    faster = CollectorStore(engine)
    with pytest.raises(CollectItsmHasApply, match="run 1"):
        _apply(_sneaking(engine, lambda: _apply(faster, 1), times=1), 2)
    assert faster.get(*KEY).tag == "tag1"


def test_a_lost_race_is_decided_again_on_what_is_there_now_p2(engine: Engine) -> None:
    faster = CollectorStore(engine)
    _apply(faster, 0)
    faster.create_refused(*KEY, tag="tag0", reason="x")
    with pytest.raises(CollectItsmHasApply, match="run 1"):
        _apply(_sneaking(engine, lambda: _apply(faster, 1), times=1), 2)
    assert [entry.version for entry in faster.history(*KEY)] == [1, 2, 3]


def test_a_race_that_is_lost_all_the_time_ends(engine: Engine) -> None:
    faster = CollectorStore(engine)
    _opened(faster)
    reasons = map(str, range(1000))
    slow = _sneaking(engine, lambda: faster.etl_failed(*KEY, sn="SN1", reason=next(reasons)), times=1000)
    with pytest.raises(StoreUnavailable, match=r"changed by others 20 times.*Nothing was changed") as caught:
        slow.etl_failed(*KEY, sn="SN1", reason="mine")
    assert caught.value.retry_safe
    assert not isinstance(caught.value, StoreRaceLost)


def _outcome(step: Callable[[], CollectorRow]) -> str:
    try:
        return f"won {step().tag}"
    except CollectItsmHasApply:
        return "held"
    except CollectItsmConflict:
        return "conflict"


def _at_once(step: Callable[[int], CollectorRow]) -> Counter[str]:
    """Run a step from many threads that start together, and count what became of it."""
    barrier = threading.Barrier(MANY)

    def one(number: int) -> str:
        barrier.wait()
        return _outcome(lambda: step(number))

    with ThreadPoolExecutor(MANY) as pool:
        return Counter(pool.map(one, range(MANY)))


@pytest.mark.parametrize("fresh", [True, False])
def test_of_many_threads_that_apply_exactly_one_wins_p2(engine: Engine, fresh: bool) -> None:
    """P2, for the very first application (tables included) and for a later one."""
    if not fresh:
        _apply(CollectorStore(engine), 99)
        CollectorStore(engine).create_refused(*KEY, tag="tag99", reason="x")
    results = _at_once(lambda number: _apply(CollectorStore(engine), number))
    winner = CollectorStore(engine).get(*KEY)
    assert results == {f"won {winner.tag}": 1, "held": MANY - 1}
    assert winner.version == (1 if fresh else 3)


def test_many_tries_of_one_task_share_one_application_p2(engine: Engine) -> None:
    results = _at_once(lambda number: _apply(CollectorStore(engine), 0, tag=f"try {number}"))
    assert list(results.values()) == [MANY]
    assert _changes(CollectorStore(engine)) == 1


def test_of_many_tries_only_one_may_create_again_p2(engine: Engine) -> None:
    seen = _aware(_apply(CollectorStore(engine)).create_started_at)
    results = _at_once(lambda _: CollectorStore(engine).recreate(*KEY, tag="tag0", seen=seen))
    assert results == {"won tag0": 1, "conflict": MANY - 1}


def test_deadlocks_and_serialization_failures_are_lost_races_p2(engine: Engine) -> None:
    """P2: two writers that have both read before either writes.

    At this isolation MariaDB ends one of them by deadlock and PostgreSQL by a serialization failure; the caller
    sees neither, only who holds the collector.
    """
    _apply(CollectorStore(engine), 99)
    CollectorStore(engine).create_refused(*KEY, tag="tag99", reason="x")
    strict = engine.execution_options(isolation_level="SERIALIZABLE")
    both_have_read = threading.Barrier(2)

    def writer(number: int) -> str:
        first = iter([both_have_read.wait])

        def now() -> datetime:
            for wait in first:
                wait(timeout=30)
            return datetime.now(tz=UTC)

        return _outcome(lambda: _apply(CollectorStore(strict, now=now), number))

    with ThreadPoolExecutor(2) as pool:
        results = sorted(pool.map(writer, range(2)))
    winner = CollectorStore(engine).get(*KEY)
    assert results == ["held", f"won {winner.tag}"]
    assert winner.version == 3


def test_no_change_of_many_writers_is_lost(engine: Engine) -> None:
    _opened(CollectorStore(engine))
    _at_once(lambda number: CollectorStore(engine).etl_failed(*KEY, sn="SN1", reason=f"reason {number}"))
    entries = CollectorStore(engine).history(*KEY)
    assert [entry.version for entry in entries] == list(range(1, MANY + 3))
    assert {entry.detail["reason"] for entry in entries[2:]} == {f"reason {n}" for n in range(MANY)}


@pytest.mark.parametrize("fresh", [True, False])
def test_of_many_processes_that_apply_exactly_one_wins_p2(engine: Engine, fresh: bool) -> None:
    """P2, with engine and store made before the fork, as Airflow's workers have them."""
    store = CollectorStore(engine)
    if not fresh:
        store.get(*KEY)
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(6), context.SimpleQueue()

    def one(number: int) -> None:
        barrier.wait()
        results.put(_outcome(lambda: _apply(store, number)))

    workers = [context.Process(target=one, args=(number,)) for number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 6
    winner = store.get(*KEY)
    assert Counter(results.get() for _ in workers) == {f"won {winner.tag}": 1, "held": 5}
    assert _changes(store) == 1


# --- a database that cannot be used


def test_a_server_that_is_down_changes_nothing_and_shows_no_secret_p8() -> None:
    for driver in ("postgresql+psycopg2", "mysql+pymysql"):
        store = CollectorStore(server_engine(f"{driver}://bob:s3cret@127.0.0.1:1/db"))
        with pytest.raises(StoreUnavailable, match=r"Nothing was changed.*a retry is safe") as caught:
            _apply(store)
        shown = "".join(traceback.format_exception(caught.value))
        assert "s3cret" not in shown
        assert "://" not in str(caught.value)


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match=r"bkitsm\.db cannot be opened"):
        CollectorStore(sqlite_engine(tmp_path / "file" / "bkitsm.db")).get(*KEY)


def test_a_table_that_is_gone_is_an_outage_not_an_empty_answer_p3(store: CollectorStore, engine: Engine) -> None:
    _apply(store)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE bkitsm_collector"))
    with pytest.raises(StoreUnavailable, match="bkitsm_collector"):
        store.get(*KEY)


def test_a_commit_without_answer_says_so_and_may_be_repeated_p2(store: CollectorStore, engine: Engine) -> None:
    """P2: after a lost answer the same step finds its own intent instead of making another one."""
    row = store.get(*KEY)

    def lost(connection: Any) -> None:
        event.remove(engine, "commit", lost)
        connection.connection.commit()
        raise OperationalError("COMMIT", None, RuntimeError("connection lost"))

    event.listen(engine, "commit", lost)
    with pytest.raises(StoreUnavailable, match=r"not known which.*a retry is safe"):
        _apply(store)
    row = _apply(store)
    assert (row.tag, row.version, _changes(store)) == ("tag0", 1, 1)


def test_nothing_is_connected_before_the_first_use(tmp_path: Path) -> None:
    CollectorStore(sqlite_engine(tmp_path / "sub" / "bkitsm.db"))
    assert list(tmp_path.iterdir()) == []


def test_the_audit_is_only_ever_added_to(store: CollectorStore, engine: Engine) -> None:
    _opened(store)
    with engine.connect() as connection:
        before = connection.execute(select(audit_table)).all()
    store.fail(*KEY, sn="SN1", reason="why")
    with engine.connect() as connection:
        assert connection.execute(select(audit_table).order_by(audit_table.c.version)).all()[:2] == before


def _aware(time: datetime | None) -> datetime:
    assert time is not None
    return time
