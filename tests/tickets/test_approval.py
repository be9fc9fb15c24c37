# SPDX-License-Identifier: Apache-2.0
"""Which tries of a task are one approval round: an approval counts for its own round only (P2, P3).

Asked of Airflow's own functions on Airflow's own tables, for each sequence of what can happen between two tries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_bkitsm.tickets.approval import ApprovalRecord, Attempt, Subject, new_nonce
from tests.conftest import AIRFLOW
from tests.plugins.database import airflow_database
from tests.tickets.rounds import STEPS, Gate

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
FIRST = Attempt(ti_id="first", try_number=1, max_tries=1, retries=1, clear_number=0, run_started="12:00")
SUBJECT = Subject(installation="i", bkitsm_conn_id="c", dag_id="d", run_id="r", task_id="t")


# --- the table


@pytest.mark.parametrize(
    ("what", "changed", "same"),
    [
        ("the same try, asked once more", {}, True),
        ("a deferral's end", {"clear_number": 3, "run_started": "13:00", "retries": 0}, True),
        ("a retry", {"ti_id": "second", "try_number": 2}, True),
        ("a later retry", {"ti_id": "third", "try_number": 3}, True),
        ("a clear", {"ti_id": "second", "try_number": 2, "max_tries": 2, "clear_number": 1}, False),
        ("a clear on Airflow 3.1", {"ti_id": "second", "try_number": 2, "max_tries": 2}, False),
        ("a clear, retries raised", {"ti_id": "second", "try_number": 2, "max_tries": 6, "retries": 5}, False),
        ("a clear, retries lowered", {"ti_id": "second", "try_number": 2, "max_tries": 1, "retries": 0}, False),
        ("a clear between two changes of retries", {"ti_id": "second", "try_number": 2, "retries": 3}, False),
        ("a clear while the DAG lacks the task", {"ti_id": "second", "try_number": 4, "max_tries": 3}, False),
        ("a clear while it runs", {"ti_id": "second", "try_number": 2, "clear_number": 1}, False),
        ("another run of the same id", {"ti_id": "second", "run_started": "13:00"}, False),
        ("its second try", {"ti_id": "second", "try_number": 2, "run_started": "13:00"}, False),
        ("its first try, at the same moment", {"ti_id": "second"}, False),
        ("an earlier try", {"ti_id": "second", "try_number": 0}, False),
        ("another Airflow since", {"ti_id": "second", "try_number": 2, "clear_number": None}, False),
        ("a retry whose id is not known", {"ti_id": None, "try_number": 2}, True),
        ("the same try, its id not known", {"ti_id": None}, False),
    ],
)
def test_p3_only_a_retry_or_the_same_try_continues_a_round(what: str, changed: dict[str, Any], same: bool) -> None:
    assert replace(FIRST, **changed).continues(FIRST) is same


def test_tries_without_an_id_are_not_taken_for_one() -> None:
    assert not replace(FIRST, ti_id=None).continues(replace(FIRST, ti_id=None))


def test_p3_a_clear_that_leaves_every_number_alike_is_no_retry() -> None:
    """Made with ``retries=2``, lowered to 1 before its first try, then cleared: ``max_tries`` is 1 + 1, again."""
    first = replace(FIRST, max_tries=2, retries=1)
    assert not replace(first, ti_id="second", try_number=2).continues(first)
    assert not replace(first, ti_id="third", try_number=3).continues(first)


# --- Airflow itself

STEP = {step.__name__: step for step in STEPS}
RUNNING = ("is_cleared_while_it_runs", "is_cleared_between_two_changes_of_its_retries")
# Airflow shows nothing of these. Before 3.2 a clear is counted only if the run had ended.
UNSEEN = {"is_cleared_while_it_runs_but_not_its_run", "is_cleared_between_two_changes_but_not_its_run"}
UNSEEN |= set(RUNNING) if AIRFLOW < (3, 2) else set()
# A retry after these may be a clear for all that Airflow shows: people are rather asked once more.
DOUBTFUL = {"has_another_task_cleared", "has_its_retries_lowered", "has_its_retries_raised"}


@pytest.fixture(scope="module", autouse=True)
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("rounds")
    with airflow_database(home, f"sqlite:///{home / 'airflow.db'}"):
        yield


def wrong_answers(steps: Sequence[str], *, before: Sequence[str] = ()) -> list[str]:
    """Return what is answered wrongly about any two tries, as far as Airflow shows enough to answer it."""
    gate = Gate()
    for step in before:
        STEP[step](gate)
    gate.begins()
    for step in steps:
        STEP[step](gate)
    found = []
    for later, (round_of_later, try_of_later) in enumerate(gate.tries):
        for round_of_earlier, try_of_earlier in gate.tries[:later]:
            truth, answer = round_of_later == round_of_earlier, try_of_later.continues(try_of_earlier)
            excused = (UNSEEN if answer else DOUBTFUL) & {*before, *steps}
            if truth != answer and not excused:
                found.append(f"{steps}: same round? {answer} of {try_of_earlier} and {try_of_later}")
    return found


@pytest.mark.parametrize("first", STEP)
def test_p3_the_round_is_right_whatever_happens_between_two_tries(first: str) -> None:
    wrong = [one for second in STEP for one in wrong_answers((first, second))]
    assert wrong == []


@pytest.mark.parametrize("before", [("has_its_retries_lowered",), ("has_its_retries_lowered",) * 2])
def test_p3_also_where_the_dag_was_changed_before_the_first_try(before: Sequence[str]) -> None:
    """The run has ``max_tries`` of the DAG it was made from, the worker ``retries`` of the DAG as it is."""
    cleared = [step for step in STEP if step.startswith(("is_cleared", "has_its_run"))]
    retried = [("fails",) * number for number in range(3)]
    wrong = [
        one for tries, step in product(retried, cleared) for one in wrong_answers((*tries, step), before=before)
    ]
    assert wrong == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(STEP)), min_size=3, max_size=7))
def test_p3_the_round_is_right_after_any_sequence(steps: list[str]) -> None:
    assert wrong_answers(steps) == []


def _answer(*steps: str) -> bool:
    gate = Gate()
    gate.begins()
    for step in steps:
        STEP[step](gate)
    return gate.tries[-1][1].continues(gate.tries[0][1])


@pytest.mark.parametrize("step", sorted(UNSEEN))
def test_what_airflow_does_not_show_is_taken_for_a_retry(step: str) -> None:
    """The limit that docs/reliability.md names; where an Airflow shows it, this fails and the page is old."""
    assert _answer(step)


@pytest.mark.parametrize("step", RUNNING)
@pytest.mark.since_airflow("3.2", "counts every clear")
def test_p3_a_clear_is_seen_by_its_count_alone(step: str) -> None:
    assert not _answer(step)


def test_p1_a_try_that_was_lost_with_its_scheduler_belongs_to_the_round() -> None:
    """Also where the task has no retries left: a decision taken meanwhile is not asked for again."""
    assert _answer("loses_its_scheduler")
    assert _answer(*("loses_its_scheduler",) * 4)


# --- the subject

PARTS = st.text(st.characters(exclude_categories=[]), max_size=6)
SUBJECTS = st.builds(
    Subject,
    installation=PARTS,
    bkitsm_conn_id=PARTS,
    dag_id=PARTS,
    run_id=PARTS,
    task_id=PARTS,
    map_index=st.integers(-1, 12),
    approval_key=st.none() | PARTS,
)


@given(SUBJECTS, SUBJECTS)
def test_p3_two_subjects_have_one_key_only_if_they_are_the_same(one: Subject, other: Subject) -> None:
    assert (one.key == other.key) == (one == other)
    assert len(one.key) == 64


@pytest.mark.parametrize(
    "changed",
    [
        {"dag_id": "d.t", "task_id": ""},
        {"dag_id": "", "task_id": "d.t"},
        {"dag_id": 'd", "t', "task_id": ""},
        {"task_id": "t\x1f-1"},
        {"task_id": "t", "map_index": 0},
        {"run_id": "R"},
        {"installation": "ic", "bkitsm_conn_id": ""},
        {"approval_key": ""},
        {"approval_key": "None"},
        {"approval_key": "null"},
    ],
)
def test_p3_parts_that_run_together_are_other_subjects(changed: dict[str, Any]) -> None:
    assert replace(SUBJECT, **changed).key != SUBJECT.key


def test_a_subjects_key_never_changes() -> None:
    """It is stored: with another spelling no retry would find what it has asked."""
    assert SUBJECT.key == "526c81085f1143b23f6f08f3cae08dea94ce1c0757ca47ec56720c80905aee9b"


def test_a_subject_names_the_task_for_people() -> None:
    assert str(SUBJECT) == "d.t, run r"
    assert str(replace(SUBJECT, map_index=3)) == "d.t[3], run r"
    assert (
        str(Subject(installation="i", bkitsm_conn_id="c", dag_id="d", approval_key="k")) == "approval_key 'k' of d"
    )


# --- the record

RECORD = ApprovalRecord(
    nonce="n",
    subject=SUBJECT,
    round_number=1,
    attempt=FIRST,
    digest="sha256:1",
    asked_digest="sha256:2",
    tag="tag",
    request={},
)


def test_p2_nobody_can_guess_a_nonce() -> None:
    nonces = {new_nonce() for _ in range(1000)}
    assert len(nonces) == 1000
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in nonces)


def test_a_round_is_open_until_somebody_has_seen_its_end() -> None:
    assert RECORD.is_open
    ended = RECORD.with_changes(NOW, verdict={"outcome": "rejected"}, ended_at=NOW)
    assert not ended.is_open
    assert (ended.version, ended.updated_at, RECORD.version) == (1, NOW, 0)


@pytest.mark.parametrize(
    ("began", "sn", "left"),
    [
        (None, None, 0.0),
        (NOW, None, 120.0),
        (NOW - timedelta(seconds=100), None, 20.0),
        (NOW - timedelta(hours=1), None, 0.0),
        (NOW, "SN1", 0.0),
        # The clock was set back: rather too long than a second ticket.
        (NOW + timedelta(seconds=30), None, 150.0),
    ],
)
def test_p2_a_lost_ticket_is_waited_for_as_long_as_it_may_appear(
    began: datetime | None, sn: str | None, left: float
) -> None:
    record = replace(RECORD, create_started_at=began, sn=sn)
    assert record.seconds_until_settled(120, NOW) == left
