# SPDX-License-Identifier: Apache-2.0
"""How a waiting task registers itself."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.callback.waiters import (
    WaitArguments,
    Waiter,
    registration_key,
    resumption,
    wait_can_finish_without_worker,
    xcoms_of,
)
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict

WAITER = Waiter(ti_id="01a20d5b-e52e-7d97-8d82-4612038db7fd", conn_id="itsm", verdict_field="ok", ends_task=True)
VERDICT = Verdict(sn="REQ1", outcome=Outcome.APPROVED, reason="approved", current_status="FINISHED")


def test_a_registration_survives_the_database():
    assert Waiter.from_value(json.loads(json.dumps(WAITER.as_dict()))) == WAITER


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "",
        7,
        [],
        {},
        WAITER.as_dict() | {"ti_id": "no"},
        *(WAITER.as_dict() | {name: {}} for name in WAITER.as_dict()),
        *(WAITER.as_dict() | {name: "yes"} for name in ("require_evidence", "ends_task", "accept_automatic")),
        {"ti_id": WAITER.ti_id},
        {"conn_id": WAITER.conn_id},
        {"ti_id": 7, "conn_id": ""},
        WAITER.as_dict() | {"conn_id": None},
        *(WAITER.as_dict() | {"conn_id": one} for one in ("", "\x00", "\ud800", "a\nb", "a\x7fb", "c" * 251)),
        *(WAITER.as_dict() | {"approval_seconds": one} for one in (float("nan"), float("inf"), 10**400)),
    ],
)
def test_what_is_no_registration_is_nobody(wrong):
    assert Waiter.from_value(wrong) is None


def test_a_registration_of_another_version_is_read():
    stored = WAITER.as_dict()
    assert "accept_automatic" not in stored  # the first version would not know it
    assert Waiter.from_value(stored | {"of_a_later_one": {}}) == WAITER
    older = {"ti_id": WAITER.ti_id, "conn_id": WAITER.conn_id}
    assert Waiter.from_value(older) == Waiter(**older)
    strict = replace(WAITER, accept_automatic=False, approval_seconds=1.5)
    assert Waiter.from_value(json.loads(json.dumps(strict.as_dict()))) == strict


JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.none(), max_size=2)


@given(st.dictionaries(st.sampled_from([*WAITER.as_dict(), "accept_automatic", "of_a_later_one"]), JSON))
def test_no_content_of_a_registration_raises(changes):
    waiter = Waiter.from_value(WAITER.as_dict() | changes)
    assert waiter is None or Waiter.from_value(waiter.as_dict()) == waiter


STORED = {"ticket_sn": " REQ1 ", "bkitsm_conn_id": "itsm", "approval_timeout": 60.0, "ends_task": True}
STORED |= {"verdict_field": None, "verdict_value": "yes", "require_evidence": None, "after_worker": True}


def test_a_triggers_arguments_are_read():
    read = WaitArguments.from_stored(STORED | {"of_a_later_version": 1})
    assert (read.sn, read.conn_id, read.opened_by, read.names_ticket) == ("REQ1", "itsm", None, True)
    assert read.may_be_about("REQ1", "itsm")
    assert not read.may_be_about("REQ1", "other")
    waiter = read.waiter(replace(WAITER, conn_id="other", verdict_field="chairs", require_evidence=False))
    assert (waiter.conn_id, waiter.verdict_field, waiter.verdict_value) == ("itsm", None, "yes")
    assert (waiter.require_evidence, waiter.ends_task, waiter.after_worker) == (None, True, True)
    assert waiter.approval_seconds == 60


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        *[("60", 60.0), (" 1.5 ", 1.5), (60, 60.0), (None, None), ("{{ params.time }}", None)],
        *[("nan", None), (True, None), ("1e999", None), (10**400, None), ("soon", None)],
    ],
)
def test_a_time_may_be_a_number_or_its_text(given, seconds):
    read = WaitArguments.from_stored(STORED | {"approval_timeout": given})
    assert read is not None
    assert read.approval_seconds == seconds


@pytest.mark.parametrize(
    ("given", "text"), [('{"plan": {}}', '{"plan": {}}'), (None, ""), ({"plan": {}}, ""), ("{{ params.x }}", "")]
)
def test_what_a_trigger_says_of_reminders_is_a_text_or_nothing(given, text):
    read = WaitArguments.from_stored(STORED | {"reminders": given})
    assert read is not None
    assert read.reminders == text


@pytest.mark.parametrize("missing", ["ticket_sn", "bkitsm_conn_id"])
@pytest.mark.parametrize("value", [None, "", " ", 7, [], "{{ ti.xcom_pull('a') }}", "{% if x %}y{% endif %}"])
def test_p3_what_is_no_plain_number_names_no_ticket(missing, value):
    assert not WaitArguments.from_stored(STORED | {missing: value}).names_ticket


@pytest.mark.parametrize(
    "settings",
    [
        {"verdict_field": "{{ x }}"},
        {"verdict_value": 7},
        {"require_evidence": "no"},
        {"accept_automatic": "yes"},
        {"require_evidence": ...},
    ],
)
def test_p3_a_policy_that_is_not_plain_is_none(settings):
    stored = {key: value for key, value in (STORED | settings).items() if value is not ...}
    assert WaitArguments.from_stored(stored).verdict_settings is None


@pytest.mark.parametrize(
    "stored",
    [None, 7, [], "x", STORED | {"ends_task": 1}, STORED | {"opened_by": "{{ x }}"}, STORED | {"opened_by": 7}],
)
def test_p3_what_are_no_arguments_of_ours_say_nothing(stored):
    assert WaitArguments.from_stored(stored) is None


def test_an_approval_without_a_worker_leaves_what_the_worker_would_have_left():
    verdict = replace(VERDICT, ticket_url="https://itsm.example.com/1")
    assert xcoms_of(verdict) == {
        "return_value": verdict.as_dict(),
        "bkitsm_ticket_url": "https://itsm.example.com/1",
    }


def test_the_key_fits_airflows_column_for_any_number():
    assert len(registration_key("R" * 64)) < 512


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("may", [True, False])
def test_p3_only_an_approval_ends_a_task_without_a_worker(outcome, may):
    ends = wait_can_finish_without_worker(replace(WAITER, ends_task=may), replace(VERDICT, outcome=outcome))
    assert ends == (may and outcome is Outcome.APPROVED)


def test_p1_the_mark_of_a_callback_holds_no_text_of_itsm_which_a_database_may_refuse():
    verdict = Verdict(outcome=Outcome.REJECTED, sn="REQ1", current_status="\x00", reason="\x00", title="\x00")
    assert resumption(7, verdict) == {"bkitsm_resumed": {"trigger_id": 7, "outcome": "rejected"}}
    assert resumption(7, None) == {"bkitsm_resumed": {"trigger_id": 7, "outcome": None}}
