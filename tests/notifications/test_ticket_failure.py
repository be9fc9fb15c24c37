# SPDX-License-Identifier: Apache-2.0
"""Telling one failure from another."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.notifications.ticket import Failure, failure_of

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
DAG = SimpleNamespace(dag_id="d")
RUN = SimpleNamespace(start_date=BEGAN, run_after=None)


def ti(**more):
    known = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "start_date": BEGAN}
    return SimpleNamespace(**known | more)


@pytest.mark.parametrize(
    ("context", "names"),
    [
        ({"ti": ti(), "dag": DAG, "run_id": "r", "dag_run": RUN}, ("task", "d", "r", "t", "-1")),
        ({"ti": ti(map_index=3)}, ("task", "d", "r", "t", "3")),
        ({"ti": ti(map_index=None)}, ("task", "d", "r", "t", "-1")),
        ({"ti": ti(), "dag": DAG, "run_id": "r", "dag_run": RUN, "reason": "task_failure"}, ("run", "d", "r")),
        ({"deadline": {"id": 7}, "dag_run": {"start_date": "2026-01-02T00:00:00Z"}}, ("deadline", "7")),
    ],
)
def test_a_task_a_run_and_a_deadline_are_told_apart(context, names):
    assert failure_of(context).names == names


@pytest.mark.parametrize(
    "context",
    [
        {"ti": ti()},
        {"dag": DAG, "run_id": "r", "dag_run": RUN, "reason": "x"},
        {"deadline": {"id": 7}, "dag_run": {"start_date": "2026-01-02T00:00:00Z"}},
        {"deadline": {"id": 7}, "dag_run": {"start_date": None, "run_after": "2026-01-02T00:00:00Z"}},
    ],
)
def test_it_is_known_when_it_began(context):
    assert failure_of(context).began == failure_of(context, key="k").began == BEGAN


def test_a_run_of_which_airflow_says_little_has_no_beginning():
    assert failure_of({"dag": DAG, "run_id": "r", "reason": "x"}) == Failure(names=("run", "d", "r"))


def test_a_key_takes_the_place_of_what_airflow_says():
    assert failure_of({"ti": ti()}, key="k").names == failure_of({}, key="k").names == ("key", "k")


def test_what_nobody_can_tell_is_an_error():
    with pytest.raises(ItsmConfigurationError, match="failure_key"):
        failure_of({})
