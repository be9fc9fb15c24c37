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


def test_only_an_unavailable_store_is_worth_a_retry() -> None:
    assert [kind for kind in ALL if kind.retry_safe] == [errors.StoreUnavailable]
