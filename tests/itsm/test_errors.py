# SPDX-License-Identifier: Apache-2.0
"""The tree of errors: whether the same call may simply be made again."""

from __future__ import annotations

import inspect
import pickle

import pytest

from airflow_provider_bkitsm import exceptions
from airflow_provider_bkitsm.itsm import errors

RETRY_SAFE = {
    "BkLogCollectorNotFoundError": False,
    "BkLogPermissionError": False,
    "BkLogError": False,
    "BkLogUnavailableError": True,
    "CollectItsmConflict": False,
    "CollectItsmDigestMismatch": False,
    "CollectItsmHasApply": False,
    "CollectItsmNotExists": False,
    "CollectItsmNotFound": False,
    "CollectItsmTokenIllega": False,
    "CollectorStorageUnknown": True,
    "InvalidCleanConfig": False,
    "ItsmAmbiguousError": False,
    "ItsmAnotherDialectError": False,
    "ItsmAnotherQuestionError": False,
    "ItsmAuthenticationError": False,
    "ItsmConfigurationError": False,
    "ItsmConflictError": False,
    "ItsmCrashError": True,
    "ItsmEndpointNotFoundError": False,
    "ItsmError": False,
    "ItsmInvalidRequestError": False,
    "ItsmNotFoundError": False,
    "ItsmOrphanError": False,
    "ItsmOutcomeUnknownError": False,
    "ItsmPermissionError": False,
    "ItsmRateLimitedError": True,
    "ItsmRefusedError": False,
    "ItsmTicketNotFoundError": False,
    "ItsmTimeoutError": True,
    "ItsmUnavailableError": True,
    "ItsmUnexpectedAnswerError": True,
    "StoreTooNew": False,
    "StoreRaceLost": True,
    "StoreUnavailable": True,
}


def test_the_table_is_whole():
    own = {name for name, one in vars(errors).items() if inspect.isclass(one) and issubclass(one, Exception)}
    assert set(RETRY_SAFE) == set(exceptions.__all__)
    assert own <= set(RETRY_SAFE)


@pytest.mark.parametrize("name", sorted(RETRY_SAFE))
def test_every_error_says_whether_a_retry_is_safe(name):
    kind = getattr(exceptions, name)
    assert issubclass(kind, errors.ItsmError)
    assert kind.retry_safe is RETRY_SAFE[name]
    assert (kind.__doc__ or "").strip()


def test_an_error_crosses_from_one_process_to_another_whole():
    error = errors.ItsmRateLimitedError("slow down", code=1642902, request_id="r1", retry_after=7.0)
    assert str(error.args[0]) == "slow down"
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_an_error_shows_code_and_request():
    error = errors.ItsmError("refused", code=0, request_id="r1")
    assert str(error) == "refused [code 0, request r1]"
    assert str(errors.ItsmError("refused", code="E1")) == "refused [code E1]"
    assert str(errors.ItsmError("refused", code="", request_id="")) == "refused"
    assert str(errors.ItsmError("refused")) == "refused"
