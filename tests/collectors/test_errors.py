# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle

import pytest

from airflow_provider_bkitsm.collectors import errors
from airflow_provider_bkitsm.itsm.errors import ItsmError

ALL = [
    errors.CollectItsmHasApply,
    errors.CollectItsmConflict,
    errors.CollectItsmNotFound,
    errors.CollectItsmDigestMismatch,
    errors.InvalidCleanConfig,
    errors.StoreRaceLost,
    errors.StoreUnavailable,
]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_in_the_one_tree_and_survives_a_process_boundary(kind: type[ItsmError]) -> None:
    error = kind("what happened")
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(error, ItsmError)
    assert (type(copy), str(copy), vars(copy)) == (kind, str(error), vars(error))


def test_has_apply_carries_the_log_platforms_code() -> None:
    assert errors.CollectItsmHasApply("taken").code == "3631502"


@pytest.mark.parametrize("kind", ALL)
def test_every_error_tells_what_it_was_given(kind: type[ItsmError]) -> None:
    error = kind("what happened", code="E1", request_id="r1")
    assert (error.message, error.code, error.request_id) == ("what happened", "E1", "r1")


def test_a_payloads_problems_come_one_by_one() -> None:
    assert errors.InvalidCleanConfig("x", problems=["a is missing", "b is missing"]).problems == (
        "a is missing",
        "b is missing",
    )


def test_only_an_unavailable_store_is_worth_a_retry() -> None:
    assert [kind for kind in ALL if kind.retry_safe] == [errors.StoreRaceLost, errors.StoreUnavailable]
