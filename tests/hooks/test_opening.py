# SPDX-License-Identifier: Apache-2.0
"""One approval, one ticket, whatever happens to the answer of ``create_ticket`` (promise P2)."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_bkitsm.hooks import opening as module
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.opening import Handle, TicketOpener
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.opening import marked_title

TAG = "0123456789abcdef0123456789abcdef"
HANDLE = Handle(tag=TAG, creator="robot", since=datetime.now(UTC))
REQUEST = {
    "fast_approval": True,
    "fields": {"title": marked_title("t", TAG), "APPROVER": "alice", "APPROVAL_CONTENT": "c"},
}


@pytest.fixture
def opener(connections, sandbox) -> TicketOpener:
    # Some tests take the way to an orphan that other connections bar: a character ITSM cannot store.
    extra = {"settle_seconds": 0.2, "read_retries": 0, "four_byte": "send"}
    login = {"login": "sandbox", "password": "sandbox-secret"}
    connections("bkitsm_default", conn_type="bkitsm", host=sandbox.itsm_url, extra=extra, **login)
    return TicketOpener(hook=ItsmHook(), sleep=lambda seconds: time.sleep(min(seconds, 0.05)))


def test_p2_a_second_try_finds_the_first_ones_ticket(opener, sandbox):
    first = opener.open(HANDLE, **REQUEST)
    assert opener.find(HANDLE).sn == opener.find_open(HANDLE).sn == first.sn
    sandbox.approve(first.sn)
    assert opener.find(HANDLE).sn == first.sn
    assert opener.find_open(HANDLE) is None


def test_without_time_left_there_is_one_look(opener, sandbox):
    assert opener.look_for(HANDLE, seconds=-5) is None
    assert len(sandbox.requests("get_tickets")) == 1


def test_p2_a_lost_answer_is_found_again(opener, sandbox):
    sandbox.fault("create_ticket", "drop_answer")
    assert opener.open(HANDLE, **REQUEST).sn == sandbox.tickets()[0]["sn"]
    assert len(sandbox.tickets()) == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "esb", "code": 1308201, "status": 502},
        {"kind": "status", "status": 504},
        {"kind": "refuse", "code": 3900003, "status": 502},
    ],
)
def test_p2_after_an_outage_with_a_code_the_ticket_is_looked_for_not_given_up(opener, sandbox, fault):
    sandbox.fault("create_ticket", **fault)
    with pytest.raises(errors.ItsmOutcomeUnknownError, match="looks for it again"):
        opener.open(HANDLE, **REQUEST)
    assert sandbox.requests("get_tickets")
    assert len(sandbox.requests("create_ticket")) == 1


def test_p2_an_outage_while_looking_is_waited_out(opener, sandbox):
    sandbox.fault("create_ticket", "drop_answer")
    sandbox.fault("get_tickets", "status", times=3)
    opener.open(HANDLE, **REQUEST)
    assert len(sandbox.tickets()) == 1


def test_p2_a_ticket_that_does_not_appear_is_an_error_that_says_so(opener, sandbox):
    sandbox.fault("create_ticket", "html")
    with pytest.raises(errors.ItsmOutcomeUnknownError, match="looks for it again"):
        opener.open(HANDLE, **REQUEST)
    assert len(sandbox.requests("create_ticket")) == 1


def test_p2_an_outage_that_does_not_end_is_not_taken_for_no_ticket(opener, sandbox):
    opener.open(HANDLE, **REQUEST)
    sandbox.fault("get_tickets", "status", times=99)
    with pytest.raises(errors.ItsmUnavailableError):
        opener.find(HANDLE)
    with pytest.raises(errors.ItsmUnavailableError):
        opener.look_for(HANDLE, seconds=0.1)
    assert len(sandbox.tickets()) == 1


def test_p6_somebody_elses_ticket_is_not_adopted(opener, sandbox):
    other = Handle(tag=TAG, creator="eve", since=HANDLE.since)
    opener.open(other, **REQUEST)
    assert opener.find(HANDLE) is None


def test_p2_of_several_tickets_the_oldest_is_kept_and_the_others_are_withdrawn(opener, sandbox):
    oldest = opener.open(HANDLE, **REQUEST)
    opener.open(HANDLE, **REQUEST)
    found = opener.find(HANDLE)
    assert found is not None
    assert found.sn == oldest.sn
    assert [one["status"] for one in sandbox.tickets()] == ["RUNNING", "REVOKED"]


def test_p3_a_ticket_that_ended_before_one_began_is_neither_found_nor_adopted(opener, sandbox):
    sandbox.approve(opener.open(HANDLE, **REQUEST).sn)
    began = replace(HANDLE, began=datetime.now(UTC) + timedelta(seconds=30))
    assert opener.find(HANDLE) is not None
    assert opener.find(began) is None
    sandbox.fault("create_ticket", "html")
    with pytest.raises(errors.ItsmOutcomeUnknownError):
        opener.open(began, **REQUEST)


def test_itsm_is_asked_to_call_back(opener, sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    sn = opener.open(HANDLE, **REQUEST, meta={"state_processors": {}}).sn
    meta = sandbox.ticket(sn)["meta"]
    assert meta["callback_url"].startswith(f"https://airflow.example.com/bkitsm/callback/bkitsm_default/{TAG}/")
    assert set(meta["headers"]) == {"X-Bkitsm-Signature"}


def test_a_receiver_of_the_users_own_is_left_alone(opener, sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    own = {"callback_url": "https://example.com/mine"}
    assert sandbox.ticket(opener.open(HANDLE, **REQUEST, meta=own).sn)["meta"] == own


# A text the sandbox takes, as ITSM does, and cannot start (observed): the ticket stays for ever.
DOOMED = {**REQUEST, "fields": {**REQUEST["fields"], "APPROVAL_CONTENT": "\N{GRINNING FACE}"}}


def test_p2_a_ticket_whose_flow_never_starts_is_reported_and_no_second_one_is_opened(opener, sandbox):
    sn = opener.open(HANDLE, **DOOMED).sn
    with pytest.raises(errors.ItsmOrphanError, match=f"{sn}.*clear the task"):
        opener.find(HANDLE)
    assert len(sandbox.tickets()) == 1


def test_p2_an_earlier_rounds_ticket_that_may_yet_start_holds_the_next_one_up(opener, sandbox):
    sandbox.stop_worker()
    opener.open(HANDLE, **REQUEST)
    with pytest.raises(errors.ItsmOrphanError):
        opener.find_open(HANDLE)


def test_an_earlier_rounds_orphan_is_told_and_holds_nobody_up(opener, sandbox, caplog, monkeypatch):
    sn = opener.open(HANDLE, **DOOMED).sn
    monkeypatch.setattr(module, "_MAY_START", timedelta(0))
    assert opener.find_open(HANDLE) is None
    assert f"Ticket {sn}" in caplog.text


def test_p2_a_ticket_that_itsm_refused_but_made_is_reported(opener, sandbox):
    orphan = opener.open(HANDLE, **DOOMED).sn
    sandbox.fault("create_ticket", "refuse")
    with pytest.raises(errors.ItsmOrphanError, match=orphan):
        opener.open(HANDLE, **REQUEST)


def test_somebody_elses_healthy_ticket_is_not_taken_for_what_a_refusal_left_behind(opener, sandbox):
    opener.open(HANDLE, **REQUEST)
    sandbox.fault("create_ticket", "refuse")
    with pytest.raises(errors.ItsmRefusedError):
        opener.open(HANDLE, **REQUEST)


def test_p2_a_ticket_opened_after_the_kept_one_had_ended_is_not_touched(opener, sandbox):
    first = opener.open(HANDLE, **REQUEST).sn
    sandbox.reject(first)
    again = opener.open(HANDLE, **REQUEST).sn
    assert opener.find(HANDLE).sn == first
    assert sandbox.ticket(again)["status"] == "RUNNING"


def test_p5_ones_own_shared_ticket_may_take_its_time_to_start(opener, sandbox):
    sandbox.stop_worker()
    assert opener.open_shared(HANDLE, **REQUEST).sn == sandbox.tickets()[0]["sn"]


def test_a_plain_refusal_stays_one(opener, sandbox):
    sandbox.fault("create_ticket", "refuse")
    with pytest.raises(errors.ItsmRefusedError):
        opener.open(HANDLE, **REQUEST)


def test_p2_beside_an_orphan_the_ticket_that_asks_somebody_is_kept(opener, sandbox, caplog):
    orphan = opener.open(HANDLE, **DOOMED).sn
    asks = opener.open(HANDLE, **REQUEST).sn
    sandbox.wait_for_step(asks)
    assert opener.find(HANDLE).sn == opener.find_open(HANDLE).sn == asks
    assert f"ticket {orphan} STAYS OPEN" in caplog.text
