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
from airflow_provider_bkitsm.callback.receiver import CallbackRequest, Registrations
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.idempotency import marked_title
from airflow_provider_bkitsm.itsm.v2.dialect import DialectV2
from tests.callback.conftest import FORM, TAG, WAITER, FakeMetadata, gateway_of, receiver_of, settled
from tests.itsm.fake_dialect import FakeDialect

ALLOWED = ("ticket_approval_result", "get_ticket_logs", "token/verify")


@pytest.mark.parametrize(("decide", "outcome"), [("approve", "approved"), ("reject", "rejected")])
async def test_a_decision_resumes_with_what_itsm_says(
    sn, sandbox, receiver, arrive, metadata, counted, decide, outcome
):
    getattr(sandbox, decide)(sn, remark="r")
    lie = {"approve_result": decide == "reject", "title": "something else"}
    assert await settled(receiver, arrive(sn, body=lie)) is Result.RESUMED
    ((waiter, verdict),) = metadata.resumed
    assert (waiter, verdict.sn, verdict.outcome) == (WAITER, sn, outcome)
    assert counted == ["answered_first", "resumed"]


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
    assert await settled(receiver, arrive(sn, **forged)) is reason
    assert metadata.resumed == []
    # The ticket is read while ITSM verifies the token, and only then.
    assert bool(sandbox.requests("ticket_approval_result")) is (reason is Result.REFUSED_TOKEN)


OTHER_TAG = TAG[::-1]


@pytest.mark.parametrize("decide", ["approve", "reject"])
async def test_p4_a_signature_for_one_approval_resumes_no_other_tickets_tasks(
    sn, sandbox, receiver, arrive, metadata, counted, decide
):
    getattr(sandbox, decide)(sn)
    assert await settled(receiver, arrive(sn, signed={"tag": OTHER_TAG})) is Result.REFUSED_MISDIRECTED
    assert metadata.resumed == []
    assert counted == ["answered_first", "refused_misdirected"]


async def test_p4_nor_does_an_answered_one(sn, sandbox, receiver, arrive, metadata, counted):
    sandbox.withdraw(sn)
    misdirected = arrive(sn, signed={"tag": OTHER_TAG}, body={"current_status": "REVOKED"})
    assert await settled(receiver, misdirected) is Result.REFUSED_MISDIRECTED
    assert metadata.resumed == []
    assert counted == ["answered_first", "refused_misdirected"]


async def test_p4_the_title_in_the_body_directs_nothing(sn, sandbox, receiver, arrive, metadata):
    sandbox.approve(sn)
    lie = arrive(sn, signed={"tag": OTHER_TAG}, body={"title": marked_title("t", OTHER_TAG)})
    assert await settled(receiver, lie) is Result.REFUSED_MISDIRECTED


async def test_p4_all_that_is_forged_is_answered_alike(sn, receiver, arrive):
    forgeries = [forged for forged, reason in REFUSALS.values() if reason is not Result.REFUSED_TOKEN]
    said = [answer((await receiver.receive(arrive(sn, **forged))).result) for forged in forgeries]
    assert said == [said[0]] * len(said)


async def test_p4_whoever_has_a_signature_learns_nothing_from_the_answer(sn, receiver, arrive):
    signed = [{}, {"body": {"token": "A" * 88}}, {"signed": {"tag": OTHER_TAG}}]
    said = [answer((await receiver.receive(arrive(sn, **forged))).result) for forged in signed]
    said.append(answer((await receiver.receive(arrive("REQ20991231000001"))).result))
    assert said == [(200, {"result": True, "code": 0, "message": "success", "data": None})] * 4


async def test_p4_a_callback_about_an_open_ticket_changes_nothing(sn, sandbox, receiver, arrive, metadata):
    assert await settled(receiver, arrive(sn)) is Result.STILL_OPEN
    sandbox.operate(sn, "SUSPEND", operator="alice")
    assert await settled(receiver, arrive(sn)) is Result.STILL_OPEN
    assert metadata.resumed == []


async def test_a_decision_says_that_a_callback_brought_it(sn, sandbox, receiver, arrive, metadata):
    sandbox.approve(sn)
    assert await settled(receiver, arrive(sn)) is Result.RESUMED
    ((_, verdict),) = metadata.resumed
    assert verdict.seen_by == "callback"
    assert abs(datetime.now(UTC) - datetime.fromisoformat(verdict.seen_at)) < timedelta(minutes=1)


async def test_p3_finished_without_evidence_resumes_as_rejected(sn, sandbox, receiver, arrive, metadata):
    sandbox.wait_for_step(sn)
    sandbox.finish_without_evidence(sn)
    assert await settled(receiver, arrive(sn)) is Result.RESUMED
    assert metadata.resumed[0][1].outcome == "rejected"


async def test_p6_a_ticket_nobody_waits_for_is_never_asked_about(sandbox, receiver, arrive, counted):
    assert await settled(receiver, arrive("REQ20991231000001")) is Result.UNKNOWN
    assert not any(sandbox.requests(path) for path in ALLOWED)
    assert counted == ["answered_first", "unknown"]


async def test_p1_a_callback_after_the_wait_is_taken_and_does_nothing(sn, sandbox, receiver, arrive, metadata):
    metadata.waits[sn] = Registrations(ever_registered=True)
    assert await settled(receiver, arrive(sn)) is Result.DUPLICATE
    assert metadata.resumed == []
    assert not sandbox.requests("token/verify")


async def test_every_waiter_resumes_and_each_by_its_own_verdict_source(sn, sandbox, receiver, arrive, metadata):
    other = replace(WAITER, ti_id=str(WAITER.ti_id)[::-1], verdict_field="no_such_field")
    metadata.waits[sn] = Registrations(waiters=(WAITER, WAITER, other), ever_registered=True)
    sandbox.approve(sn)
    assert await settled(receiver, arrive(sn)) is Result.RESUMED
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
    assert await settled(receiver_of(broken), arrive(sn)) is Result.FAILED
    assert [waiter for waiter, _ in broken.resumed] == [slower]


async def test_p1_another_api_server_was_quicker(sn, sandbox, receiver, arrive, metadata, monkeypatch):
    monkeypatch.setattr(metadata, "resume", lambda *_: False)
    sandbox.approve(sn)
    assert await settled(receiver, arrive(sn)) is Result.LEFT_TO_POLL


@pytest.mark.parametrize("fault", [("token/verify", "html"), ("ticket_approval_result", "status")])
async def test_p1_an_outage_of_itsm_leaves_the_decision_to_the_poll(
    sn, sandbox, receiver, arrive, metadata, fault
):
    sandbox.approve(sn)
    sandbox.fault(*fault, times=9)
    assert await settled(receiver, arrive(sn)) is Result.UNAVAILABLE
    assert metadata.resumed == []


async def test_an_itsm_that_does_not_answer_is_given_up_in_the_end(
    sn, sandbox, receiver, arrive, monkeypatch, caplog
):
    monkeypatch.setattr(module, "ITSM_SECONDS", 0.2)
    sandbox.fault("token/verify", "delay", seconds=3)
    assert await settled(receiver, arrive(sn)) is Result.UNAVAILABLE
    assert f"callback for ticket {sn}: unavailable (no answer in 0.2 s)" in caplog.messages


async def test_itsm_gets_its_answer_before_it_is_asked_anything(sn, sandbox, receiver, arrive, metadata):
    sandbox.withdraw(sn)
    sandbox.fault("token/verify", "delay", seconds=1)
    reception = await receiver.receive(arrive(sn, body={"current_status": "REVOKED"}))
    assert (reception.result, sandbox.requests("token/verify")) == (Result.ANSWERED_FIRST, [])
    await reception.check
    assert metadata.resumed[0][1].outcome == "withdrawn"


async def test_p4_the_status_in_the_body_says_nothing(sn, receiver, arrive, metadata):
    for status in ("REVOKED", "TERMINATED"):
        assert await settled(receiver, arrive(sn, body={"current_status": status})) is Result.STILL_OPEN
    assert metadata.resumed == []


async def test_what_goes_wrong_after_the_answer_is_counted_and_logged(
    sn, sandbox, receiver, arrive, metadata, counted, monkeypatch, caplog
):
    def locked(*_):
        raise RuntimeError("database is locked")

    monkeypatch.setattr(metadata, "resume", locked)
    sandbox.withdraw(sn)
    assert await settled(receiver, arrive(sn)) is Result.FAILED
    assert counted == ["answered_first", "failed"]
    assert f"callback for ticket {sn}: failed (RuntimeError)" in caplog.messages


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
    await settled(receiver, arrive(sn, **changes))
    assert any(line.startswith(f"callback for ticket {sn}: {said}") for line in caplog.messages)


async def test_p8_the_log_quotes_nothing_of_a_callback_that_is_not_proved(
    receiver, arrive, sn, metadata, monkeypatch, caplog
):
    """A secrets backend may quote the id that it was asked for, which anybody can post."""

    def down(conn_id):
        try:
            raise KeyError(f"no such path: {conn_id}")
        except KeyError as error:
            raise RuntimeError(f"backend is down for {conn_id}") from error

    monkeypatch.setattr(metadata, "gateway", down)
    assert await settled(receiver, arrive(sn, conn_id="posted-by-anybody")) is Result.FAILED
    assert "callback: failed (RuntimeError)" in caplog.text
    assert f", in {down.__name__}" in caplog.text
    assert "posted-by-anybody" not in caplog.text


async def test_the_log_is_as_loud_as_it_is_bad(sn, receiver, arrive, metadata, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    await settled(receiver, arrive(sn))
    await settled(receiver, arrive(sn, signed={"tag": OTHER_TAG}))
    monkeypatch.delattr(FakeMetadata, "waiting")
    await settled(receiver, arrive(sn))
    levels = [(one.levelname, bool(one.exc_info)) for one in caplog.records if one.name == module.__name__]
    assert levels == [("INFO", False), ("WARNING", False), ("ERROR", True)]
    assert caplog.messages[-1] == f"callback for ticket {sn}: failed (AttributeError)"


async def test_the_log_tells_what_itsm_answered_and_who_is_not_waited_for(
    sn, sandbox, receiver, arrive, metadata, caplog
):
    caplog.set_level(logging.INFO)
    sandbox.fault("token/verify", "html", times=9)
    await settled(receiver, arrive(sn))
    metadata.waits.clear()
    await settled(receiver, arrive(sn))
    failed, unknown = (line for line in caplog.messages if line.startswith(f"callback for ticket {sn}: "))
    assert "unavailable (connection 'bkitsm_default': expected ITSM's JSON envelope" in failed
    assert unknown.endswith(": unknown")


async def test_rotated_keys_are_believed_and_unusable_ones_are_not(sn, sandbox, arrive, metadata):
    old, new = "an-old-key-long-enough", "a-new-key-long-enough"
    metadata.gateways["bkitsm_default"] = gateway_of(sandbox, callback_signing_keys=[old])
    arrived = arrive(sn)
    for configured, said in (
        ([new, old], Result.STILL_OPEN),
        ([new], Result.REFUSED_SIGNATURE),
        ([" "], Result.REFUSED_SIGNATURE),
    ):
        metadata.gateways["bkitsm_default"] = gateway_of(sandbox, callback_signing_keys=configured)
        assert await settled(receiver_of(metadata), arrived) is said


async def test_p8_keys_that_cannot_be_used_are_told_in_the_log_and_not_shown(
    sn, sandbox, receiver, arrive, metadata, caplog
):
    arrived = arrive(sn)
    metadata.gateways["bkitsm_default"] = gateway_of(sandbox, callback_signing_keys=["too short"])
    assert await settled(receiver, arrived) is Result.REFUSED_SIGNATURE
    told = "connection 'bkitsm_default': extra 'callback_signing_keys'"
    assert any(line.startswith(told) for line in caplog.messages)
    assert "too short" not in caplog.text


@pytest.mark.parametrize(("late", "said"), [(0, Result.STILL_OPEN), (1, Result.REFUSED_EXPIRED)])
async def test_p4_a_signature_is_good_up_to_its_last_second(sn, arrive, metadata, late, said):
    arrived = arrive(sn)
    receiver = receiver_of(metadata, clock=lambda: float(arrived.expires) + late)
    assert await settled(receiver, arrived) is said


async def test_p8_no_log_shows_token_signature_or_body(sn, sandbox, receiver, arrive, token, caplog):
    caplog.set_level(logging.DEBUG)
    sandbox.approve(sn)
    good = arrive(sn)
    for arrived in (good, replace(good, signature="v1=forged"), arrive(sn, body={"token": "A" * 88})):
        await settled(receiver, arrived)
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
    assert asyncio.run(settled(receiver_of(metadata), arrived)).startswith("refused")


async def test_p3_a_ticket_that_was_edited_while_it_was_open_is_not_approved(
    sn, sandbox, receiver, arrive, metadata
):
    title = sandbox.ticket(sn)["title"]
    for fields, outcome in ((FORM, "approved"), (FORM | {"APPROVAL_CONTENT": "drop it"}, "rejected")):
        request = {"fast_approval": True, "fields": {**fields, "title": title}}
        metadata.waits[sn] = Registrations(waiters=(WAITER,), ever_registered=True, request=request)
        if sandbox.ticket(sn)["status"] == "RUNNING":
            sandbox.approve(sn)
        assert await settled(receiver, arrive(sn)) is Result.RESUMED
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
    assert await settled(receiver, arrive(sn)) is Result.RESUMED
    _, verdict = metadata.resumed[-1]
    assert (verdict.outcome, verdict.reason_code) == ("rejected", "another_dialect")


async def test_p4_a_callback_in_another_dialect_than_its_connections_is_refused(sn, receiver, arrive, metadata):
    other = FakeDialect()
    metadata.gateways["bkitsm_default"] = replace(metadata.gateways["bkitsm_default"], dialect=other)
    assert await settled(receiver, arrive(sn)) is Result.REFUSED_SHAPE
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
        assert await settled(receiver, arrive(sn)) is Result.RESUMED
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
    assert await settled(receiver, arrive(sn)) is Result.RESUMED
    ((_, verdict),) = metadata.resumed
    assert (verdict.outcome, verdict.reason_code, infos) == ("rejected", "form_changed", [])


async def test_p4_whoever_has_no_signature_makes_airflow_look_up_next_to_nothing(sn, receiver, arrive, metadata):
    good = arrive(sn)
    forged = "v1=" + "0" * 64
    for number in range(401):
        await receiver.receive(replace(good, conn_id=f"made-up-{number}", signature=""))
        await receiver.receive(replace(good, conn_id=f"long-{number}-" + "x" * 250, signature=forged))
        await receiver.receive(replace(good, conn_id=f"control-{number}-\x00", signature=forged))
        await receiver.receive(replace(good, conn_id=f"surrogate-{number}-\udc80", signature=forged))
    assert metadata.looked_up == []
    for _ in range(401):
        await receiver.receive(replace(good, conn_id="nowhere", signature=forged))
        await receiver.receive(replace(good, signature=forged))
    assert sorted(metadata.looked_up) == ["bkitsm_default", "nowhere"]


async def test_p1_a_flood_of_made_up_connections_is_answered_not_now_and_a_genuine_callback_is_not(
    sn, sandbox, receiver, arrive, metadata
):
    sandbox.approve(sn)
    good = arrive(sn)
    forged = [replace(good, conn_id=f"made-up-{number}", signature="v1=" + "0" * 64) for number in range(401)]
    received = await asyncio.gather(*map(receiver.receive, forged))
    assert {one.result for one in received} == {Result.REFUSED_SIGNATURE, Result.BUSY}
    assert answer(Result.BUSY)[0] == 503
    assert len(metadata.looked_up) < 50
    assert await settled(receiver, good) is Result.RESUMED


@pytest.mark.parametrize("conn_id", ["team/itsm", "bk:itsm#1", "审批连接", "x" * 200, "a b\u3000c", "😀"])
async def test_a_connections_id_is_free_text(sn, sandbox, receiver, arrive, metadata, conn_id):
    metadata.gateways[conn_id] = replace(metadata.gateways["bkitsm_default"], conn_id=conn_id)
    metadata.waits[sn] = Registrations(waiters=(replace(WAITER, conn_id=conn_id),), ever_registered=True)
    sandbox.approve(sn)
    assert await settled(receiver, arrive(sn, signed={"conn_id": conn_id})) is Result.RESUMED


async def test_p1_a_genuine_callback_amid_replays_is_followed(sn, sandbox, arrive, metadata):
    """The replays' check reads the ticket before its decision."""
    receiver, good = receiver_of(metadata), arrive(sn)
    sandbox.fault("token/verify", "delay", seconds=0.5)
    replays = [await receiver.receive(good) for _ in range(400)]
    while not sandbox.requests("ticket_approval_result"):
        await asyncio.sleep(0.02)
    sandbox.approve(sn)
    genuine = await receiver.receive(arrive(sn))
    assert {(await one.check).result for one in replays} == {Result.STILL_OPEN}
    assert (await genuine.check).result is Result.RESUMED
    assert len(sandbox.requests("ticket_approval_result")) == 2


async def test_p1_a_made_up_token_beside_a_genuine_one_stops_nothing(sn, sandbox, receiver, arrive, metadata):
    sandbox.approve(sn)
    made_up = [arrive(sn, body={"token": letter * 88}) for letter in "ABC"]
    received = [await receiver.receive(one) for one in (*made_up, arrive(sn), *made_up)]
    assert {(await one.check).result for one in received} == {Result.RESUMED}
    assert len(metadata.resumed) == 1


async def test_p1_an_outage_that_ends_soon_loses_nothing(sn, sandbox, arrive, metadata, counted):
    receiver = receiver_of(metadata, count=counted.append, retries=(0.01, 0.01, 0.01))
    sandbox.approve(sn)
    sandbox.fault("token/verify", "html", times=2)
    await receiver.receive(arrive(sn))
    while len(counted) < 2:
        await asyncio.sleep(0.02)
    assert counted == ["answered_first", "resumed"]
    assert metadata.resumed


async def test_p1_a_task_that_cannot_go_on_yet_goes_on_a_little_later(sn, sandbox, arrive, metadata, monkeypatch):
    results = [False, True]
    monkeypatch.setattr(metadata, "resume", lambda *_: results.pop(0))
    sandbox.approve(sn)
    await receiver_of(metadata, retries=(0.01,)).receive(arrive(sn))
    while results:
        await asyncio.sleep(0.02)


async def test_too_many_callbacks_at_once_are_answered_not_now(sn, receiver, arrive, monkeypatch):
    monkeypatch.setattr(module, "RECEIVED_LIMIT", 2)
    received = await asyncio.gather(*(receiver.receive(arrive(sn)) for _ in range(4)))
    assert sorted(one.result for one in received) == ["answered_first", "answered_first", "busy", "busy"]


async def test_a_flood_of_refusals_is_counted_and_logged_once(sn, receiver, arrive, counted, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(400):
        await receiver.receive(arrive(sn, signature=""))
    assert counted == ["refused_signature"] * 400
    assert len([one for one in caplog.records if one.name == module.__name__]) < 5


@pytest.mark.parametrize(
    ("settings", "request_", "reason"),
    [
        ({"forbid_self_approval": True, "requester": "alice"}, None, "self_approved"),
        ({"forbid_self_approval": True, "requester": "bob"}, None, "approved"),
        ({"min_approvers": 2}, None, "too_few_approvers"),
        ({}, {"forbid_self_approval": True, "requester": "alice"}, "self_approved"),
        ({}, {"forbid_self_approval": True, "requester": "bob"}, "approved"),
        ({"requester": "alice"}, {"forbid_self_approval": True, "requester": "bob"}, "self_approved"),
        ({}, {"min_approvers": 2}, "too_few_approvers"),
    ],
)
async def test_p3_a_callback_brings_no_approval_that_the_duties_refuse(
    sn, sandbox, receiver, arrive, metadata, settings, request_, reason
):
    waiter = replace(WAITER, **settings)
    stored = None
    if request_ is not None:
        policy = asdict(ItsmHook().verdict_policy(**request_))
        stored = {"fields": FORM, "fast_approval": True, "dialect": "v2", "policy": policy}
    metadata.waits[sn] = Registrations(waiters=(waiter,), ever_registered=True, request=stored)
    sandbox.approve(sn)
    assert await settled(receiver, arrive(sn)) is Result.RESUMED
    ((_, verdict),) = metadata.resumed
    assert verdict.reason_code == reason
