# SPDX-License-Identifier: Apache-2.0
"""One approval, one ticket, whatever happens to the answer of ``create_ticket`` (promise P2)."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.idempotency import marked_title
from airflow_provider_bkitsm.itsm.v2.dialect import DialectV2
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import LOG_COLLECTOR
from airflow_provider_bkitsm.tickets.opener import TicketKey, TicketOpener

TAG = "0123456789abcdef0123456789abcdef"
HANDLE = TicketKey(tag=TAG, creator="robot", since=datetime.now(UTC))
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
    assert opener.find(HANDLE).sn == first.sn
    sandbox.approve(first.sn)
    assert opener.find(HANDLE).sn == first.sn


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
    other = TicketKey(tag=TAG, creator="eve", since=HANDLE.since)
    opener.open(other, **REQUEST)
    assert opener.find(HANDLE) is None


def test_p2_of_several_tickets_the_oldest_is_kept_and_the_others_are_withdrawn(opener, sandbox):
    oldest = opener.open(HANDLE, **REQUEST)
    opener.open(HANDLE, **REQUEST)
    found = opener.find(HANDLE)
    assert found is not None
    assert found.sn == oldest.sn
    assert [one["status"] for one in sandbox.tickets()] == ["RUNNING", "REVOKED"]


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


# A text the sandbox takes, as ITSM does, and cannot start: the ticket stays for ever
# (docs/itsm-behaviour.md#flow-that-never-starts).
DOOMED = {**REQUEST, "fields": {**REQUEST["fields"], "APPROVAL_CONTENT": "\N{GRINNING FACE}"}}


def test_p2_a_ticket_whose_flow_never_starts_is_reported_and_no_second_one_is_opened(opener, sandbox):
    sn = opener.open(HANDLE, **DOOMED).sn
    with pytest.raises(errors.ItsmOrphanError, match=f"{sn}.*clear the task"):
        opener.find(HANDLE)
    assert len(sandbox.tickets()) == 1


# Of a service of one's own such a ticket lists its form, without a value in it (recorded).
STUCK = {"service_id": LOG_COLLECTOR, "fields": {"title": marked_title("t", TAG), "approvals": "alice"}}
STUCK["fields"] |= {"apply_reason": "\N{GRINNING FACE}", "collector_detail": {"form_data": []}, "bk_biz_id": 2}


def test_p2_an_orphan_that_lists_its_form_without_values_is_one_too(opener, sandbox):
    sn = opener.open(HANDLE, **STUCK).sn
    assert {field.value for field in ItsmHook().get_ticket_info(sn).fields if field.key == "title"} == {None}
    sent = replace(HANDLE, request={**STUCK, "creator": "robot"})
    with pytest.raises(errors.ItsmOrphanError, match=sn):
        opener.find(sent)
    assert len(sandbox.tickets()) == 1


@pytest.mark.parametrize("age", [0, 7200])
def test_p2_a_ticket_that_is_stuck_on_a_failed_step_is_adopted(opener, sandbox, monkeypatch, age):
    """It lists no step either, as an orphan does; its form tells it from one."""
    sn = opener.open(HANDLE, **REQUEST).sn
    sandbox.wait_for_step(sn)
    read = DialectV2.info

    def stuck(dialect, sn):
        info = yield from read(dialect, sn)
        return replace(info, current_steps=(), created_at=info.created_at - timedelta(seconds=age))

    monkeypatch.setattr(DialectV2, "info", stuck)
    sent = replace(HANDLE, request={**REQUEST, "service_id": None, "creator": "robot"})
    assert opener.find(sent).sn == opener.find(HANDLE).sn == sn
    assert not opener.never_starts(sn)


def test_p2_a_ticket_that_itsm_refused_but_made_is_reported(opener, sandbox):
    orphan = opener.open(HANDLE, **DOOMED).sn
    sandbox.fault("create_ticket", "refuse")
    with pytest.raises(errors.ItsmOrphanError, match=orphan):
        opener.open(HANDLE, **REQUEST)


def test_p2_a_ticket_that_asks_people_although_itsm_refused_it_is_left_to_a_retry(opener, sandbox):
    """It may be that of an earlier try, whose answer was lost: the tag is nobody else's."""
    made = opener.open(HANDLE, **REQUEST).sn
    sandbox.fault("create_ticket", "refuse")
    with pytest.raises(errors.ItsmOutcomeUnknownError, match=f"sandbox fault.*{made} carries this"):
        opener.open(HANDLE, **REQUEST)
    assert opener.may_have_opened
    assert opener.look_for(HANDLE, seconds=0).sn == made


def test_p2_a_refusal_while_itsm_cannot_be_read_is_not_believed(opener, sandbox):
    """Its catch-all code is also that of trouble of its own."""
    sandbox.fault("create_ticket", "refuse")
    sandbox.fault("get_tickets", "status")
    with pytest.raises(errors.ItsmOutcomeUnknownError, match=r"sandbox fault.*looks for it before it opens one"):
        opener.open(HANDLE, **REQUEST)
    assert opener.may_have_opened


def test_a_refusal_is_believed_where_the_application_may_not_search(opener, sandbox):
    sandbox.fault("create_ticket", "refuse")
    sandbox.fault("get_tickets", "app_refused")
    with pytest.raises(errors.ItsmRefusedError):
        opener.open(HANDLE, **REQUEST)
    assert not opener.may_have_opened


def test_p2_a_ticket_opened_after_the_kept_one_had_ended_is_not_touched(opener, sandbox):
    first = opener.open(HANDLE, **REQUEST).sn
    sandbox.reject(first)
    again = opener.open(HANDLE, **REQUEST).sn
    assert opener.find(HANDLE).sn == first
    assert sandbox.ticket(again)["status"] == "RUNNING"


def test_a_plain_refusal_stays_one(opener, sandbox):
    sandbox.fault("create_ticket", "refuse")
    with pytest.raises(errors.ItsmRefusedError):
        opener.open(HANDLE, **REQUEST)


def test_p2_beside_an_orphan_the_ticket_that_asks_somebody_is_kept(opener, sandbox, caplog):
    orphan = opener.open(HANDLE, **DOOMED).sn
    asks = opener.open(HANDLE, **REQUEST).sn
    sandbox.wait_for_step(asks)
    assert opener.find(HANDLE).sn == asks
    assert f"ticket {orphan} STAYS OPEN" in caplog.text


def test_p3_of_two_that_carry_the_mark_the_one_that_asks_what_was_sent_is_ours(opener, sandbox):
    """The mark can be copied from a ticket that shows it; what is asked cannot be something else (P3)."""
    copied = {**REQUEST, "fields": {**REQUEST["fields"], "APPROVER": "mallory"}}
    opener.open(HANDLE, **copied)
    ours = opener.open(HANDLE, **REQUEST).sn
    sent = {**REQUEST, "service_id": None, "creator": "robot"}
    found = opener.find(replace(HANDLE, request=sent))
    assert found is not None
    assert found.sn == ours
    assert [one["status"] for one in sandbox.tickets()] == ["RUNNING", "RUNNING"]


@pytest.mark.parametrize("fault", [{"status": 403}, {"status": 400}])
def test_p2_a_refused_look_for_a_lost_ticket_is_no_refusal_of_the_ticket(opener, sandbox, fault):
    sandbox.fault("create_ticket", "drop_answer")
    sandbox.fault("get_tickets", "status", times=99, **fault)
    with pytest.raises(errors.ItsmOutcomeUnknownError, match="a retry looks for it again"):
        opener.open(HANDLE, **REQUEST)


@pytest.mark.parametrize("title", ["Go <script>live", "Go <style>live"])
def test_p2_a_title_whose_mark_itsm_would_not_keep_opens_no_ticket(opener, sandbox, title):
    fields = {**REQUEST["fields"], "title": marked_title(title, TAG)}
    with pytest.raises(errors.ItsmInvalidRequestError, match="without the mark"):
        opener.open(HANDLE, **{**REQUEST, "fields": fields})
    assert sandbox.tickets() == []
