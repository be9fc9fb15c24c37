# SPDX-License-Identifier: Apache-2.0
"""Four locks, and what becomes of a callback that opens them all; ITSM is the sandbox."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_bkitsm.callback import receiver as module
from airflow_provider_bkitsm.callback.messages import Result, answer
from airflow_provider_bkitsm.callback.receiver import CallbackRequest, Receiver, Registrations
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.idempotency import marked_title
from airflow_provider_bkitsm.itsm.v2.dialect import DialectV2
from tests.callback.conftest import FORM, TAG, WAITER, FakeMetadata, gateway_of
from tests.itsm.fake_dialect import FakeDialect

ALLOWED = ("ticket_approval_result", "get_ticket_logs", "token/verify")


async def settled(receiver: Receiver) -> None:
    await asyncio.gather(*receiver._background)


@pytest.mark.parametrize(("decide", "outcome"), [("approve", "approved"), ("reject", "rejected")])
async def test_a_decision_resumes_with_what_itsm_says(
    sn, sandbox, receiver, arrive, metadata, counted, decide, outcome
):
    getattr(sandbox, decide)(sn, remark="r")
    lie = {"approve_result": decide == "reject", "title": "something else"}
    assert await receiver.receive(arrive(sn, body=lie)) is Result.RESUMED
    ((waiter, verdict),) = metadata.resumed
    assert (waiter, verdict.sn, verdict.outcome) == (WAITER, sn, outcome)
    assert counted == ["resumed"]


REFUSALS = {
    "no body": ({"body": b""}, Result.REFUSED_SHAPE),
    "no number": ({"body": {"sn": None}}, Result.REFUSED_SHAPE),
    "bad expiry": ({"expires": "soon"}, Result.REFUSED_SHAPE),
    "no signature": ({"signature": ""}, Result.REFUSED_SIGNATURE),
    "another tag": ({"tag": TAG[::-1]}, Result.REFUSED_SIGNATURE),
    "a later expiry": ({"expires": "99999999999"}, Result.REFUSED_SIGNATURE),
    "another connection": ({"conn_id": "other"}, Result.REFUSED_SIGNATURE),
    "an unknown connection": ({"signed": {"conn_id": "nowhere"}}, Result.REFUSED_SIGNATURE),
    "expired": ({"signed": {"expires": 1_700_000_000}}, Result.REFUSED_EXPIRED),
    "a made-up token": ({"body": {"token": "A" * 88}}, Result.REFUSED_TOKEN),
}


@pytest.mark.parametrize(("forged", "reason"), REFUSALS.values(), ids=REFUSALS)
async def test_p4_a_forged_callback_changes_nothing(sn, sandbox, receiver, arrive, metadata, forged, reason):
    metadata.gateways["other"] = replace(metadata.gateways["bkitsm_default"], conn_id="other", app_secret="other")
    sandbox.approve(sn)
    assert await receiver.receive(arrive(sn, **forged)) is reason
    assert metadata.resumed == []
    # The ticket is read while ITSM verifies the token, and only then.
    assert bool(sandbox.requests("ticket_approval_result")) is (reason is Result.REFUSED_TOKEN)


OTHER_TAG = TAG[::-1]


@pytest.mark.parametrize("decide", ["approve", "reject"])
async def test_p4_a_signature_for_one_approval_resumes_no_other_tickets_tasks(
    sn, sandbox, receiver, arrive, metadata, counted, decide
):
    getattr(sandbox, decide)(sn)
    assert await receiver.receive(arrive(sn, signed={"tag": OTHER_TAG})) is Result.REFUSED_MISDIRECTED
    assert metadata.resumed == []
    assert counted == ["refused_misdirected"]


async def test_p4_nor_where_the_answer_comes_first(sn, sandbox, receiver, arrive, metadata, counted):
    sandbox.withdraw(sn)
    misdirected = arrive(sn, signed={"tag": OTHER_TAG}, body={"current_status": "REVOKED"})
    assert await receiver.receive(misdirected) is Result.ANSWERED_FIRST
    await settled(receiver)
    assert metadata.resumed == []
    assert "refused_misdirected" in counted


async def test_p4_the_title_in_the_body_directs_nothing(sn, sandbox, receiver, arrive, metadata):
    sandbox.approve(sn)
    lie = arrive(sn, signed={"tag": OTHER_TAG}, body={"title": marked_title("t", OTHER_TAG)})
    assert await receiver.receive(lie) is Result.REFUSED_MISDIRECTED


async def test_p4_all_that_is_forged_is_answered_alike(sn, receiver, arrive):
    forgeries = [*(forged for forged, _ in REFUSALS.values()), {"signed": {"tag": OTHER_TAG}}]
    said = [answer(await receiver.receive(arrive(sn, **forged))) for forged in forgeries]
    assert said == [said[0]] * len(said)


async def test_p4_a_callback_about_an_open_ticket_changes_nothing(sn, sandbox, receiver, arrive, metadata):
    assert await receiver.receive(arrive(sn)) is Result.STILL_OPEN
    sandbox.operate(sn, "SUSPEND", operator="alice")
    assert await receiver.receive(arrive(sn)) is Result.STILL_OPEN
    assert metadata.resumed == []


async def test_a_decision_says_that_a_callback_brought_it(sn, sandbox, receiver, arrive, metadata):
    sandbox.approve(sn)
    assert await receiver.receive(arrive(sn)) is Result.RESUMED
    ((_, verdict),) = metadata.resumed
    assert verdict.seen_by == "callback"
    assert abs(datetime.now(UTC) - datetime.fromisoformat(verdict.seen_at)) < timedelta(minutes=1)


async def test_p3_finished_without_evidence_resumes_as_rejected(sn, sandbox, receiver, arrive, metadata):
    sandbox.wait_for_step(sn)
    sandbox.finish_without_evidence(sn)
    assert await receiver.receive(arrive(sn)) is Result.RESUMED
    assert metadata.resumed[0][1].outcome == "rejected"


async def test_p6_a_ticket_nobody_waits_for_is_never_asked_about(sandbox, receiver, arrive, counted):
    assert await receiver.receive(arrive("REQ20991231000001")) is Result.UNKNOWN
    assert not any(sandbox.requests(path) for path in ALLOWED)
    assert counted == ["unknown"]


async def test_p1_a_callback_after_the_wait_is_taken_and_does_nothing(sn, sandbox, receiver, arrive, metadata):
    metadata.waits[sn] = Registrations(ever_registered=True)
    assert await receiver.receive(arrive(sn)) is Result.DUPLICATE
    assert metadata.resumed == []
    assert not sandbox.requests("token/verify")


async def test_every_waiter_resumes_and_each_by_its_own_verdict_source(sn, sandbox, receiver, arrive, metadata):
    other = replace(WAITER, ti_id=str(WAITER.ti_id)[::-1], verdict_field="no_such_field")
    metadata.waits[sn] = Registrations(waiters=(WAITER, WAITER, other), ever_registered=True)
    sandbox.approve(sn)
    assert await receiver.receive(arrive(sn)) is Result.RESUMED
    told = sorted((waiter.verdict_field or "", verdict.outcome) for waiter, verdict in metadata.resumed)
    assert told == [("", "approved"), ("", "approved"), ("no_such_field", "rejected")]
    assert len(sandbox.requests("ticket_approval_result")) == 2


async def test_p1_what_goes_wrong_with_one_waiter_does_not_stop_the_others(sn, sandbox, arrive, metadata):
    class Broken(FakeMetadata):
        def resume(self, waiter, verdict):
            if waiter is WAITER:
                raise RuntimeError("database is locked")
            time.sleep(0.2)
            return super().resume(waiter, verdict)

    slower = replace(WAITER, ti_id=str(WAITER.ti_id)[::-1])
    broken = Broken(
        gateways=metadata.gateways, waits={sn: Registrations(waiters=(WAITER, slower), ever_registered=True)}
    )
    sandbox.approve(sn)
    assert await Receiver(metadata=broken).receive(arrive(sn)) is Result.FAILED
    assert [waiter for waiter, _ in broken.resumed] == [slower]


async def test_p1_another_api_server_was_quicker(sn, sandbox, receiver, arrive, metadata, monkeypatch):
    monkeypatch.setattr(metadata, "resume", lambda *_: False)
    sandbox.approve(sn)
    assert await receiver.receive(arrive(sn)) is Result.LEFT_TO_POLL


@pytest.mark.parametrize("fault", [("token/verify", "html"), ("ticket_approval_result", "status")])
async def test_p1_an_outage_of_itsm_leaves_the_decision_to_the_poll(
    sn, sandbox, receiver, arrive, metadata, fault
):
    sandbox.approve(sn)
    sandbox.fault(*fault, times=9)
    assert await receiver.receive(arrive(sn)) is Result.UNAVAILABLE
    assert metadata.resumed == []


async def test_itsm_is_not_waited_for_longer_than_a_few_seconds(sn, sandbox, receiver, arrive, monkeypatch):
    monkeypatch.setattr(module, "ITSM_SECONDS", 0.2)
    sandbox.fault("token/verify", "delay", seconds=3)
    assert await receiver.receive(arrive(sn)) is Result.UNAVAILABLE


async def test_a_flood_talks_to_itsm_in_turns_and_those_whose_turn_does_not_come_are_left_to_the_poll(
    sn, sandbox, receiver, arrive, monkeypatch
):
    sandbox.fault("token/verify", "delay", times=module.TURNS, seconds=3)
    monkeypatch.setattr(module, "ITSM_SECONDS", 60)
    flood = [asyncio.create_task(receiver.receive(arrive(sn))) for _ in range(module.TURNS)]
    while len(sandbox.requests("token/verify")) < module.TURNS:
        await asyncio.sleep(0.02)
    monkeypatch.setattr(module, "ITSM_SECONDS", 0.2)
    assert await receiver.receive(arrive(sn)) is Result.UNAVAILABLE
    assert len(sandbox.requests("token/verify")) == module.TURNS
    assert await asyncio.gather(*flood) == [Result.STILL_OPEN] * module.TURNS
    monkeypatch.setattr(module, "ITSM_SECONDS", 60)
    assert await receiver.receive(arrive(sn)) is Result.STILL_OPEN


async def test_what_is_posted_inside_a_call_is_answered_first_and_checked_after(
    sn, sandbox, receiver, arrive, metadata
):
    sandbox.withdraw(sn)
    sandbox.fault("token/verify", "delay", seconds=1)
    began = time.monotonic()
    assert await receiver.receive(arrive(sn, body={"current_status": "REVOKED"})) is Result.ANSWERED_FIRST
    assert metadata.resumed == []
    assert time.monotonic() - began < 1
    await settled(receiver)
    assert metadata.resumed[0][1].outcome == "withdrawn"


@pytest.mark.parametrize(
    "forged", [{"current_status": "REVOKED", "token": "A" * 88}, {"current_status": "TERMINATED"}]
)
async def test_p4_the_status_only_says_when_to_answer(sn, receiver, arrive, metadata, forged):
    assert await receiver.receive(arrive(sn, body=forged)) is Result.ANSWERED_FIRST
    await settled(receiver)
    assert metadata.resumed == []


INSIDE = {"current_status": "REVOKED"}


async def test_what_goes_wrong_after_the_answer_is_counted_and_logged(
    sn, sandbox, receiver, arrive, metadata, counted, monkeypatch, caplog
):
    def locked(*_):
        raise RuntimeError("database is locked")

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(metadata, "resume", locked)
    sandbox.withdraw(sn)
    assert await receiver.receive(arrive(sn, body=INSIDE)) is Result.ANSWERED_FIRST
    await settled(receiver)
    assert counted == ["answered_first", "failed"]
    assert f"callback for ticket {sn}: answered_first" in caplog.messages
    assert f"callback for ticket {sn}: failed (RuntimeError)" in caplog.messages


async def test_what_is_checked_after_the_answer_ends_and_makes_room(
    sn, sandbox, receiver, arrive, counted, monkeypatch, caplog
):
    monkeypatch.setattr(module, "BACKGROUND_LIMIT", 1)
    monkeypatch.setattr(module, "BACKGROUND_SECONDS", 0.2)
    sandbox.fault("token/verify", "delay", seconds=3)
    assert await receiver.receive(arrive(sn, body=INSIDE)) is Result.ANSWERED_FIRST
    await settled(receiver)
    assert f"callback for ticket {sn}: unavailable (no answer in 0.2 s)" in caplog.messages
    assert await receiver.receive(arrive(sn, body=INSIDE)) is Result.ANSWERED_FIRST
    await settled(receiver)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"body": {"token": "A" * 88}}, "refused_token (its token was not made by ITSM"),
        ({"signed": {"tag": OTHER_TAG}}, "refused_misdirected (its signature is another approval's)"),
        ({}, "still_open"),
    ],
)
async def test_the_log_tells_the_ticket_and_why(sn, receiver, arrive, caplog, changes, said):
    caplog.set_level(logging.INFO)
    await receiver.receive(arrive(sn, **changes))
    assert any(line.startswith(f"callback for ticket {sn}: {said}") for line in caplog.messages)


async def test_the_log_is_as_loud_as_it_is_bad(sn, receiver, arrive, metadata, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    await receiver.receive(arrive(sn))
    await receiver.receive(arrive(sn, signed={"tag": OTHER_TAG}))
    monkeypatch.delattr(FakeMetadata, "waiting")
    await receiver.receive(arrive(sn))
    levels = [(one.levelname, bool(one.exc_info)) for one in caplog.records if one.name == module.__name__]
    assert levels == [("INFO", False), ("WARNING", False), ("ERROR", True)]
    assert caplog.messages[-1] == f"callback for ticket {sn}: failed (AttributeError)"


async def test_the_log_tells_what_itsm_answered_and_who_is_not_waited_for(
    sn, sandbox, receiver, arrive, metadata, caplog
):
    caplog.set_level(logging.INFO)
    sandbox.fault("token/verify", "html", times=9)
    await receiver.receive(arrive(sn))
    metadata.waits.clear()
    await receiver.receive(arrive(sn))
    failed, unknown = (line for line in caplog.messages if line.startswith(f"callback for ticket {sn}: "))
    assert "unavailable (connection 'bkitsm_default': expected ITSM's JSON envelope" in failed
    assert unknown.endswith(": unknown")


async def test_what_is_checked_after_the_answer_is_bounded(sn, receiver, arrive, metadata, monkeypatch):
    monkeypatch.setattr(module, "BACKGROUND_LIMIT", 0)
    assert await receiver.receive(arrive(sn, body={"current_status": "REVOKED"})) is Result.LEFT_TO_POLL
    assert not receiver._background


async def test_rotated_keys_are_believed_and_unusable_ones_are_not(sn, sandbox, receiver, arrive, metadata):
    old, new = "an-old-key-long-enough", "a-new-key-long-enough"
    metadata.gateways["bkitsm_default"] = gateway_of(sandbox, callback_signing_keys=[old])
    arrived = arrive(sn)
    for configured, said in (
        ([new, old], Result.STILL_OPEN),
        ([new], Result.REFUSED_SIGNATURE),
        ([" "], Result.REFUSED_SIGNATURE),
    ):
        metadata.gateways["bkitsm_default"] = gateway_of(sandbox, callback_signing_keys=configured)
        assert await receiver.receive(arrived) is said


async def test_p8_keys_that_cannot_be_used_are_told_in_the_log_and_not_shown(
    sn, sandbox, receiver, arrive, metadata, caplog
):
    arrived = arrive(sn)
    metadata.gateways["bkitsm_default"] = gateway_of(sandbox, callback_signing_keys=["too short"])
    assert await receiver.receive(arrived) is Result.REFUSED_SIGNATURE
    told = "connection 'bkitsm_default': extra 'callback_signing_keys'"
    assert any(line.startswith(told) for line in caplog.messages)
    assert "too short" not in caplog.text


@pytest.mark.parametrize(("late", "said"), [(0, Result.STILL_OPEN), (1, Result.REFUSED_EXPIRED)])
async def test_p4_a_signature_is_good_up_to_its_last_second(sn, arrive, metadata, late, said):
    arrived = arrive(sn)
    receiver = Receiver(metadata=metadata, clock=lambda: float(arrived.expires) + late)
    assert await receiver.receive(arrived) is said


async def test_p8_no_log_shows_token_signature_or_body(sn, sandbox, receiver, arrive, token, caplog):
    caplog.set_level(logging.DEBUG)
    sandbox.approve(sn)
    good = arrive(sn)
    for arrived in (good, replace(good, signature="v1=forged"), arrive(sn, body={"token": "A" * 88})):
        await receiver.receive(arrived)
    for secret in (token, good.signature, "v1=forged", "A" * 88, "approve_result", sandbox.app_secret):
        assert secret not in caplog.text
    assert good.signature not in repr(good)
    assert [one.message.partition(":")[0] for one in caplog.records if one.name == module.__name__] == [
        f"callback for ticket {sn}",
        "callback",
        f"callback for ticket {sn}",
    ]


@settings(suppress_health_check=list(HealthCheck), max_examples=200, deadline=None)
@given(st.text(), st.text(), st.text(), st.text(), st.binary(max_size=300))
def test_p4_anything_ends_in_an_answer(conn_id, tag, expires, signature, body):
    metadata = FakeMetadata(gateways={})
    arrived = CallbackRequest(conn_id=conn_id, tag=tag, expires=expires, signature=signature, body=body)
    assert asyncio.run(Receiver(metadata=metadata).receive(arrived)).startswith("refused")


async def test_p3_a_ticket_that_was_edited_while_it_was_open_is_not_approved(
    sn, sandbox, receiver, arrive, metadata
):
    title = sandbox.ticket(sn)["title"]
    for fields, outcome in ((FORM, "approved"), (FORM | {"APPROVAL_CONTENT": "drop it"}, "rejected")):
        request = {"fast_approval": True, "fields": {**fields, "title": title}}
        metadata.waits[sn] = Registrations(waiters=(WAITER,), ever_registered=True, request=request)
        if sandbox.ticket(sn)["status"] == "RUNNING":
            sandbox.approve(sn)
        assert await receiver.receive(arrive(sn)) is Result.RESUMED
        _, verdict = metadata.resumed[-1]
        assert verdict.outcome == outcome
    assert verdict.reason_code == "form_changed"
    assert "drop it" in verdict.reason


async def test_p3_a_ticket_that_was_opened_in_another_dialect_is_not_approved(
    sn, sandbox, receiver, arrive, metadata
):
    request = {"fast_approval": True, "fields": {**FORM, "title": sandbox.ticket(sn)["title"]}, "dialect": "v9"}
    metadata.waits[sn] = Registrations(waiters=(WAITER,), ever_registered=True, request=request)
    sandbox.approve(sn)
    assert await receiver.receive(arrive(sn)) is Result.RESUMED
    _, verdict = metadata.resumed[-1]
    assert (verdict.outcome, verdict.reason_code) == ("rejected", "another_dialect")


async def test_p4_a_callback_in_another_dialect_than_its_connections_is_refused(sn, receiver, arrive, metadata):
    other = FakeDialect()
    metadata.gateways["bkitsm_default"] = replace(metadata.gateways["bkitsm_default"], dialect=other)
    assert await receiver.receive(arrive(sn)) is Result.REFUSED_SHAPE
    assert metadata.resumed == []


async def test_p3_a_policy_that_the_connection_loosened_after_asking_releases_nothing(
    sn, sandbox, receiver, arrive, metadata
):
    policy = asdict(ItsmHook().verdict_policy())
    sandbox.wait_for_step(sn)
    sandbox.finish_without_evidence(sn)
    metadata.gateways["bkitsm_default"] = gateway_of(sandbox, require_evidence=False)
    own = replace(WAITER, ti_id=str(UUID(int=7)), require_evidence=False)
    for asked, outcome in ({"policy": policy}, "rejected"), ({}, "approved"):
        metadata.resumed.clear()
        metadata.waits[sn] = Registrations(
            waiters=(WAITER, own), ever_registered=True, request={"fields": FORM, **asked}
        )
        assert await receiver.receive(arrive(sn)) is Result.RESUMED
        # The second one's task says by itself that it asks for no evidence.
        assert {who: verdict.outcome for who, verdict in metadata.resumed} == {WAITER: outcome, own: "approved"}


async def test_p3_a_form_that_was_read_before_the_ticket_ended_is_read_again(
    sn, sandbox, receiver, arrive, metadata, monkeypatch
):
    """Token, verdict and form are read side by side: the ticket may be edited, and end, in between."""
    sandbox.wait_for_step(sn)
    early = ItsmHook().run(ask(lambda itsm: itsm.info(sn)))
    sandbox.edit(sn, APPROVAL_CONTENT="Water the plants")
    sandbox.approve(sn)
    read, infos = DialectV2.info, [early]

    def late(dialect, number):
        return infos.pop() if infos else (yield from read(dialect, number))

    monkeypatch.setattr(DialectV2, "info", late)
    metadata.waits[sn] = Registrations(waiters=(WAITER,), ever_registered=True, request={"fields": FORM})
    assert await receiver.receive(arrive(sn)) is Result.RESUMED
    ((_, verdict),) = metadata.resumed
    assert (verdict.outcome, verdict.reason_code, infos) == ("rejected", "form_changed", [])
