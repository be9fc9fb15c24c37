# SPDX-License-Identifier: Apache-2.0
"""The one tree of exceptions."""

from __future__ import annotations

import pickle

import pytest

from airflow_provider_bkitsm import exceptions
from airflow_provider_bkitsm.exceptions import ItsmError

ALL = [getattr(exceptions, name) for name in exceptions.__all__]


def subclasses(kind: type) -> set[type]:
    return {kind}.union(*(subclasses(one) for one in kind.__subclasses__()))


def test_every_error_of_the_provider_is_in_it_and_below_itsm_error():
    ours = {one for one in subclasses(ItsmError) if one.__module__.startswith("airflow_provider_bkitsm")}
    assert {one for one in ours if not one.__name__.startswith("_")} == set(ALL)


@pytest.mark.parametrize("kind", ALL)
def test_an_error_carries_code_and_request_and_survives_a_process(kind):
    error = kind("what happened", code="3900004", request_id="r1")
    copy = pickle.loads(pickle.dumps(error))
    for one in (error, copy):
        assert (one.message, one.code, one.request_id) == ("what happened", "3900004", "r1")
        assert str(one) == "what happened [code 3900004, request r1]"
    assert isinstance(kind.retry_safe, bool)


def test_only_what_is_safe_says_so():
    safe = {one.__name__ for one in ALL if one.retry_safe}
    assert safe == {
        "BkLogUnavailableError",
        "CollectorStorageUnknown",
        "ItsmCrashError",
        "ItsmRateLimitedError",
        "ItsmTimeoutError",
        "ItsmUnavailableError",
        "ItsmUnexpectedAnswerError",
        "StoreRaceLost",
        "StoreUnavailable",
    }
