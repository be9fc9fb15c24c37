# SPDX-License-Identifier: Apache-2.0
"""The records of waits: what they say about a task that has ended, on each of the store's databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from airflow_provider_bkitsm.tickets.waits import (
    StateQuestion,
    TaskFate,
    WaitRecord,
    WaitStore,
    end_reason,
    state_questions,
    task_fate,
)
from tests.tickets.records import record_round

WAIT = WaitRecord(
    installation="here",
    bkitsm_conn_id="bkitsm_default",
    dag_id="dag",
    run_id="run_1",
    task_id="gate",
    map_index=-1,
    sn="REQ1",
    opened_by=None,
    withdraw=True,
)


@pytest.fixture
def store(engine: Engine) -> WaitStore:
    return WaitStore(engine)


@pytest.mark.parametrize(
    ("states", "fate"),
    [
        *(([one], TaskFate.ENDED) for one in ("failed", "success", "skipped", "upstream_failed")),
        *(([one], TaskFate.GOES_ON) for one in (None, "scheduled", "queued", "running", "deferred")),
        *(([one], TaskFate.GOES_ON) for one in ("restarting", "up_for_retry", "up_for_reschedule")),
        (["failed", "deferred"], TaskFate.GOES_ON),
        ([], TaskFate.GONE),
        (["removed"], TaskFate.GONE),
        (["failed", "removed"], TaskFate.GONE),
        (["a_state_of_a_later_airflow"], TaskFate.GONE),
    ],
)
def test_p5_only_a_task_that_airflow_has_and_calls_ended_has_ended(states: Any, fate: TaskFate) -> None:
    assert task_fate(states) is fate


def test_the_remark_names_task_and_state_and_nobody() -> None:
    assert end_reason(WAIT, ["failed"]) == (
        "The Airflow task that waited for this ticket is failed now (dag.gate, run run_1)"
    )
    assert "dag.gate[2], run run_1" in end_reason(replace(WAIT, map_index=2), ["success"])


def test_a_wait_is_kept_until_it_ends(store: WaitStore) -> None:
    for _ in range(2):
        store.begin(WAIT)
        assert store.waiting("here") == [WAIT]
    store.end(WAIT.key)
    store.end(WAIT.key)
    assert store.waiting("here") == []


def test_p5_waits_that_begin_at_once_are_all_stored(store: WaitStore) -> None:
    """MySQL locks the gap in which a row that is not there would be: two such transactions end in a deadlock."""
    waits = [replace(WAIT, run_id=f"run_{number}") for number in range(200)]
    store.waiting("here")
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(store.begin, waits))
    assert len(store.waiting("here")) == 200


def test_a_task_has_one_wait_its_latest(store: WaitStore) -> None:
    later = replace(WAIT, sn="REQ2")
    store.begin(WAIT)
    store.begin(later)
    assert store.waiting("here") == [later]
    store.end_of(WAIT)
    assert store.waiting("here") == [later]
    store.end_of(later)
    assert store.waiting("here") == []


TRY, LATER_TRY = "01a20d5b-e52e-7d97-8d82-4612038db7fd", "01a20d5b-e52e-7d97-8d82-4612038db7fe"


def test_p1_a_callback_finds_the_tries_that_wait_for_a_ticket(store: WaitStore) -> None:
    tries = [replace(WAIT, ti_id=TRY), replace(WAIT, run_id="run_2", ti_id=LATER_TRY)]
    others = [replace(WAIT, run_id="run_3", sn="REQ2", ti_id="a"), replace(WAIT, run_id="run_4")]
    for one in (*tries, *others, replace(WAIT, run_id="run_5", bkitsm_conn_id="other", ti_id="b")):
        store.begin(one)
    assert sorted(store.tries_for("REQ1", bkitsm_conn_id="bkitsm_default")) == [TRY, LATER_TRY]
    assert store.tries_for("REQ9", bkitsm_conn_id="bkitsm_default") == []


def test_p3_a_number_is_that_of_the_same_try(store: WaitStore) -> None:
    wait = replace(WAIT, ti_id=TRY)
    store.begin(wait)
    assert store.number_of(wait.key, ti_id=TRY) == "REQ1"
    assert store.number_of(wait.key, ti_id=LATER_TRY) is None
    store.begin(replace(wait, sn="REQ2", ti_id=LATER_TRY))
    assert store.number_of(wait.key, ti_id=TRY) is None
    assert store.take_up(wait.key, ti_id=LATER_TRY) == "REQ2"
    assert store.take_up(wait.key, ti_id=LATER_TRY) is None
    assert store.waiting("here") == []


def test_a_worker_that_takes_up_a_later_try_deletes_the_record_and_learns_nothing(store: WaitStore) -> None:
    store.begin(replace(WAIT, ti_id=TRY))
    assert store.take_up(WAIT.key, ti_id=LATER_TRY) is None
    assert store.waiting("here") == []


def test_p6_waits_of_another_airflow_or_connection_are_not_seen_to(store: WaitStore) -> None:
    elsewhere = replace(WAIT, installation="there", run_id="run_2")
    other = replace(WAIT, bkitsm_conn_id="other", run_id="run_3")
    for one in (WAIT, elsewhere, other):
        store.begin(one)
    assert store.waiting("here") == [WAIT, other]
    assert store.waiting("here", bkitsm_conn_id="bkitsm_default") == [WAIT]


def test_a_worker_ends_the_wait_of_its_task_though_it_calls_the_installation_otherwise(store: WaitStore) -> None:
    store.begin(WAIT)
    store.end(replace(WAIT, installation="").key)
    assert store.waiting("here") == []


@pytest.mark.parametrize(
    "other", [{"dag_id": "d"}, {"run_id": "r"}, {"task_id": "t"}, {"map_index": 0}, {"map_index": 1}]
)
def test_each_task_instance_has_its_own_wait(store: WaitStore, other: Any) -> None:
    store.begin(WAIT)
    store.begin(replace(WAIT, **other))
    assert len(store.waiting("here")) == 2


def test_p6_a_wait_withdraws_its_own_tasks_ticket_only(connections) -> None:
    wait = replace(WAIT, opened_by="ask")
    record_round("REQ_own")
    assert not wait.withdraws()
    record_round("REQ1", round_number=2)
    assert wait.withdraws()
    assert not replace(wait, withdraw=False).withdraws()
    assert WAIT.withdraws()


def test_many_waits_are_asked_about_together() -> None:
    waits = [replace(WAIT, run_id=f"run_{number}") for number in range(120)]
    waits += [replace(WAIT, dag_id="other")]
    questions = list(state_questions(waits))
    assert [(one.dag_id, len(one.waits)) for one in questions] == [
        ("dag", 50),
        ("dag", 50),
        ("dag", 20),
        ("other", 1),
    ]
    assert sorted(one.run_id for question in questions for one in question.waits) == sorted(
        one.run_id for one in waits
    )


def test_whoever_does_not_seem_to_wait_is_asked_about_by_itself() -> None:
    mapped = [replace(WAIT, map_index=index) for index in range(3)]
    question = StateQuestion(dag_id="dag", waits=[WAIT, *mapped, replace(WAIT, run_id="run_2")])
    assert (question.run_ids, question.task_ids) == (["run_1", "run_2"], ["gate"])
    answer = {"run_1": {"gate": "deferred", "gate_0": "failed", "gate_1": None}}
    assert question.not_waiting(answer) == [mapped[0], mapped[2], replace(WAIT, run_id="run_2")]


def test_p5_a_question_about_long_chinese_ids_fits_into_an_address() -> None:
    """Airflow's client refuses a longer one, and no wait of the connection was looked for any more."""
    waits = [replace(WAIT, run_id=f"上线{number}" + "批" * 200, task_id="审" * 240) for number in range(60)]
    questions = list(state_questions(waits))
    assert [one for question in questions for one in question.waits] == waits
    for one in questions:
        asked = {"dag_id": one.dag_id, "task_ids": one.task_ids, "run_ids": one.run_ids}
        assert len(str(httpx.Request("GET", "http://in-process/task-instances/states", params=asked).url)) < 8_000
