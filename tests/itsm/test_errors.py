# SPDX-License-Identifier: Apache-2.0
"""The tree of errors: whether the same call may simply be made again."""

from __future__ import annotations

import inspect
import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


HOSTILE = "yes\r\n2026-11-24 INFO all approved\x1b[2K\x07\x85\u2028\u202eevil\u2066\u200f\u061c\ufeff\x00\ud800"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("同意，可以上线（第 3 步）", "同意，可以上线（第 3 步）"),
        ("wide\u3000blank, no\xa0break", "wide\u3000blank, no\xa0break"),
        ("\U0001f680 100% C:\\new", "\U0001f680 100% C:\\new"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x1b[31mred\x9b0m\x7f", r"\x1b[31mred\x9b0m\x7f"),
        ("a\u2028b\u2029c\x85d\x0be\x0cf", r"a\u2028b\u2029c\x85d\x0be\x0cf"),
        ("\u202egnp.exe\u2066\u200f", r"\u202egnp.exe\u2066\u200f"),
        ("half \ud83d", r"half \ud83d"),
        (None, "None"),
    ],
)
def test_a_printable_text_is_one_line_and_hides_nothing(text, shown):
    assert errors.printable(text) == shown


@given(st.text())
def test_every_text_can_be_printed_and_stays_as_it_is_then(text):
    shown = errors.printable(text)
    assert errors.printable(shown) == shown
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(one) for one in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_an_error_is_one_line_whoever_wrote_it():
    error = errors.ItsmError(f"ITSM answered: {HOSTILE}", code=HOSTILE, request_id=HOSTILE)
    for text in (str(error), error.message, str(error.args[0])):
        assert errors.printable(text) == text
    assert r"yes\r\n2026" in str(error)


def test_lines_below_an_error_are_lines_of_ours_and_cross_processes():
    error = errors.ItsmError("refused:", code=1).with_lines(["- a: b", f"- c: {HOSTILE}"])
    lines = str(error).splitlines()
    assert lines[:2] == ["refused: [code 1]", "- a: b"]
    assert len(lines) == 3
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("code", "shown"), [("40000", "40000"), (1640301, "1640301"), (None, None), ("of Alice", None)]
)
def test_p8_a_report_holds_no_text_of_a_site(code, shown):
    error = errors.ItsmInvalidRequestError("Alice's ticket is not there", code=code)
    assert errors.kind_and_code(error) == {"error": "ItsmInvalidRequestError", "code": shown}


def test_p8_an_error_shows_no_secret_wherever_an_answer_puts_it():
    error = errors.ItsmError("not t0ken", code="t0ken", request_id="t0ken").without(["t0ken"])
    assert str(error) == "not *** [code ***, request ***]"
    assert error.args == ("not ***",)
