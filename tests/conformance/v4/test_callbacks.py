# SPDX-License-Identifier: Apache-2.0
"""The cases of ITSM v4 about callbacks: the sandbox sends them, and the provider's receiver takes them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_bkitsm.callback.messages import Result, answer
from airflow_provider_bkitsm.callback.receiver import CallbackRequest, LostTicket, Receiver, Registrations
from airflow_provider_bkitsm.callback.signature import QUERY, Claim, digest_of, sign, signing_keys
from airflow_provider_bkitsm.hooks.connection import read_gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.idempotency import marked_title
from airflow_provider_bkitsm.itsm.models import CreatedTicket
from airflow_provider_bkitsm.plugins.metadata.resume import AirflowMetadata
from airflow_provider_bkitsm.tickets.approval import ApprovalRecord, Attempt, Subject
from airflow_provider_bkitsm.tickets.approval_store import open_approval_store
from airflow_provider_bkitsm.tickets.callback_tokens import open_callback_tokens
from airflow_provider_bkitsm.tickets.opener import TicketKey, TicketOpener
from tests.callback.conftest import TAG, WAITER, FakeMetadata, receiver_of, settled
from tests.conformance.v4.cases import case
from tests.itsm.v4.answers import ID
from tests.sandbox.receiver import Receiver as Listener


@pytest.fixture
def listener(monkeypatch):
    with Listener() as listening:
        monkeypatch.setenv("AIRFLOW__BKITSM__CALLBACK_BASE_URL", f"http://{listening.netloc}")
        yield listening


@pytest.fixture
def hook(server, monkeypatch, tmp_path) -> ItsmHook:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    for name, value in server.connections(read_retries=0, settle_seconds=0.1).items():
        monkeypatch.setenv(name, value)
    return ItsmHook()


@pytest.fixture
def sn(hook, listener, server) -> str:
    """Open a ticket that calls back, and wait until it asks somebody."""
    fields = {"title": marked_title("Drop?", TAG), "approvers": ["bob"]}
    key = TicketKey(tag=TAG, creator="alice", since=datetime.now(UTC))
    opened = TicketOpener(hook=hook).open(key, service_id="approval", fields=fields)
    assert isinstance(opened, CreatedTicket)
    server.wait_for_step(opened.sn)
    return opened.sn


@pytest.fixture
def metadata(hook, sn) -> FakeMetadata:
    gateway = read_gateway(hook.get_connection("bkitsm_default"))
    waits = {sn: Registrations(waiters=(WAITER,), ever_registered=True)}
    kept = open_callback_tokens().of_ticket(bkitsm_conn_id="bkitsm_default", tag=TAG)
    tokens = {(TAG, "bkitsm_default"): kept}
    return FakeMetadata(gateways={"bkitsm_default": gateway}, waits=waits, tokens=tokens)


@pytest.fixture
def receiver(metadata) -> Receiver:
    return receiver_of(metadata)


def arrived(listener: Listener, **changes: Any) -> CallbackRequest:
    """Return the callback that has come, changed."""
    got = listener.wait()
    address = urlsplit(got.path)
    *_, conn_id, tag, expires = address.path.split("/")
    body = json.dumps(got.body | changes).encode()
    signature = "".join(parse_qs(address.query).get(QUERY, []))
    return CallbackRequest(conn_id=conn_id, tag=tag, expires=expires, signature=signature, body=body)


@case(8)
@case(40)
@pytest.mark.parametrize(("decide", "outcome"), [("approve", "approved"), ("reject", "rejected")])
async def test_p1_a_decision_resumes_with_what_itsm_says(
    sn, server, listener, receiver, metadata, decide, outcome
):
    getattr(server, decide)(sn)
    assert await settled(receiver, arrived(listener)) is Result.RESUMED
    ((_, verdict),) = metadata.resumed
    assert (verdict.sn, verdict.outcome) == (sn, outcome)


@case(37)
async def test_p1_a_withdrawal_resumes_as_well(sn, server, listener, receiver, metadata):
    server.withdraw(sn)
    assert await settled(receiver, arrived(listener)) is Result.RESUMED
    assert [verdict.outcome for _, verdict in metadata.resumed] == ["withdrawn"]


@case(41)
@pytest.mark.parametrize("token", ["", None, "v1=" + "0" * 64, "x", 7, ["v1"]])
async def test_p4_a_wrong_token_is_refused(sn, server, listener, receiver, metadata, token):
    server.approve(sn)
    refused = await settled(receiver, arrived(listener, callback_token=token))
    assert refused in (Result.REFUSED_SIGNATURE, Result.REFUSED_SHAPE)
    assert answer(refused)[0] == 403
    assert (metadata.resumed, metadata.asked) == ([], [])


@case(41)
async def test_p8_the_token_is_random_never_logged_and_its_digest_alone_is_kept(
    sn, server, listener, receiver, caplog, tmp_path
):
    caplog.set_level("DEBUG")
    server.approve(sn)
    request = arrived(listener)
    token = listener.wait().body["callback_token"]
    assert len(token) == 43  # 256 bits
    assert await settled(receiver, request) is Result.RESUMED
    assert token not in caplog.text + repr(request)
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("bkitsm.db*"))
    assert digest_of(token).encode() in stored
    assert token.encode() not in stored


@case(41)
async def test_p4_a_signed_token_that_was_never_chosen_is_refused(sn, server, listener, receiver, metadata):
    """As whoever knows the app's secret could make one: the digest that was stored is what counts."""
    server.approve(sn)
    good, token = arrived(listener), "A" * 43
    claim = Claim(conn_id=good.conn_id, tag=good.tag, expires=int(good.expires), token_digest=digest_of(token))
    forged = replace(
        arrived(listener, callback_token=token),
        signature=sign(signing_keys(metadata.gateways["bkitsm_default"]), claim),
    )
    assert await settled(receiver, forged) is Result.REFUSED_TOKEN
    assert (metadata.resumed, metadata.asked) == ([], [])


@case(41)
async def test_p4_the_address_alone_is_good_for_nothing(sn, server, listener, receiver, metadata):
    """Addresses end up in access logs: the signature that stands in one is no token."""
    server.approve(sn)
    good = arrived(listener)
    assert good.signature.startswith("v1=")
    for signature in (good.signature, ""):
        stolen = replace(arrived(listener, callback_token=good.signature), signature=signature)
        assert await settled(receiver, stolen) is Result.REFUSED_SIGNATURE
    assert await settled(receiver, replace(good, signature="")) is Result.REFUSED_SIGNATURE
    assert metadata.resumed == []


async def test_p1_a_ticket_of_0_2_0_is_followed_whose_token_was_its_signature(
    sn, server, listener, receiver, metadata
):
    server.approve(sn)
    good = arrived(listener)
    claim = Claim(conn_id=good.conn_id, tag=good.tag, expires=int(good.expires))
    earlier = sign(signing_keys(metadata.gateways["bkitsm_default"]), claim)
    metadata.tokens.clear()
    forged = replace(arrived(listener, callback_token=earlier[:-1] + "x"), signature="")
    assert await settled(receiver, forged) is Result.REFUSED_SIGNATURE
    of_before = replace(arrived(listener, callback_token=earlier), signature="")
    assert await settled(receiver, of_before) is Result.RESUMED


async def test_p4_where_a_site_takes_no_signed_address_the_token_does_alone(
    sn, server, listener, receiver, metadata, monkeypatch
):
    server.approve(sn)
    unsigned = replace(arrived(listener), signature="")
    assert await settled(receiver, unsigned) is Result.REFUSED_SIGNATURE
    monkeypatch.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", server.connection("bkitsm", sign_callback_url="false"))
    gateway = read_gateway(ItsmHook().get_connection("bkitsm_default"))
    there = receiver_of(replace(metadata, gateways={"bkitsm_default": gateway}))
    for wrong in ("A" * 43, "", "x"):
        refused = await settled(there, replace(arrived(listener, callback_token=wrong), signature=""))
        assert refused in (Result.REFUSED_SIGNATURE, Result.REFUSED_SHAPE)
    assert await settled(there, unsigned) is Result.RESUMED


async def test_p4_what_lost_its_signature_on_the_way_is_refused_unless_the_connection_says_so(
    sn, server, listener, receiver, metadata
):
    server.set_itsm_v4(callback_query="dropped")
    server.approve(sn)
    dropped = arrived(listener)
    assert dropped.signature == ""
    assert await settled(receiver, dropped) is Result.REFUSED_SIGNATURE
    assert metadata.resumed == []


def test_p8_a_site_that_takes_no_signed_address_gets_none(hook, server, listener, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", server.connection("bkitsm", sign_callback_url="false"))
    fields = {"title": marked_title("Drop?", TAG), "approvers": ["bob"]}
    key = TicketKey(tag=TAG, creator="alice", since=datetime.now(UTC))
    sn = TicketOpener(hook=ItsmHook()).open(key, service_id="approval", fields=fields).sn
    assert "?" not in server.ticket(sn)["callback_url"]


@case(8)
async def test_p2_whichever_attempt_reached_itsm_its_callback_is_recognised(hook, sn, server, listener, receiver):
    """Each attempt to open the ticket has a token of its own, and a few of them are kept."""
    fields = {"title": marked_title("Drop?", TAG), "approvers": ["bob"]}
    key = TicketKey(tag=TAG, creator="alice", since=datetime.now(UTC))
    again = TicketOpener(hook=hook).open(key, service_id="approval", fields=fields).sn
    sent = [server.callback_body(one)["callback_token"] for one in (sn, again)]
    kept = open_callback_tokens().of_ticket(bkitsm_conn_id="bkitsm_default", tag=TAG)
    assert {digest_of(one) for one in sent} == set(kept)
    assert len(set(sent)) == 2


@case(42)
async def test_p4_the_right_token_with_another_ticket_resumes_nobody(sn, server, listener, receiver, metadata):
    other = server.call(
        "POST",
        "ticket/create",
        json={
            "workflow_key": "approval",
            "operator": "alice",
            "form_data": {"ticket__title": "Other #00000000", "approvers": ["bob"]},
        },
    )["id"]
    metadata.waits[other] = Registrations(waiters=(WAITER,), ever_registered=True)
    server.approve(other)
    server.approve(sn)
    stolen = arrived(listener, ticket={"id": other, "status": "finished", "approve_result": True})
    assert await settled(receiver, stolen) is Result.REFUSED_MISDIRECTED
    assert metadata.resumed == []


@case(43)
async def test_p4_a_lie_about_a_running_ticket_resumes_nobody(sn, server, listener, receiver, metadata):
    server.post_callback(sn, ticket={"id": sn, "status": "finished", "approve_result": True})
    assert await settled(receiver, arrived(listener)) is Result.STILL_OPEN
    assert metadata.resumed == []


@case(44)
async def test_p4_a_second_callback_is_answered_and_has_no_effect(sn, server, listener, receiver, metadata):
    server.approve(sn)
    await settled(receiver, arrived(listener))
    metadata.waits[sn] = Registrations(ever_registered=True)
    twice = await settled(receiver, arrived(listener))
    assert (twice, answer(twice)[1]["result"], len(metadata.resumed)) == (Result.DUPLICATE, True, 1)


@case(45)
async def test_p6_a_ticket_that_nobody_waits_for_is_not_read(sn, server, listener, receiver, metadata):
    """Our own rule: it is answered like a duplicate, so that a sender learns nothing."""
    server.approve(sn)
    metadata.waits.clear()
    before = len(server.requests())
    assert await settled(receiver, arrived(listener)) is Result.UNKNOWN
    assert (len(server.requests()), metadata.resumed) == (before, [])


@case(54)
async def test_p3_a_callback_of_v2_means_nothing_to_a_connection_of_v4(sn, server, listener, receiver, metadata):
    server.approve(sn)
    request = arrived(listener)
    claim = Claim(conn_id=request.conn_id, tag=request.tag, expires=int(request.expires))
    v2 = CallbackRequest(
        conn_id=request.conn_id,
        tag=request.tag,
        expires=request.expires,
        signature=sign(signing_keys(metadata.gateways["bkitsm_default"]), claim),
        body=json.dumps({"sn": sn, "token": "t" * 8}).encode(),
    )
    assert await settled(receiver, v2) is Result.REFUSED_SHAPE
    assert metadata.resumed == []


@pytest.fixture
def adopted(metadata) -> list[tuple[str, str]]:
    """A store that has begun to open this ticket, and has not learnt its number."""
    request = {
        "creator": "alice",
        "service_id": "approval",
        "fields": {"title": marked_title("Drop?", TAG), "approvers": ["bob"]},
        "dialect": "v4",
    }
    found: list[tuple[str, str]] = []
    metadata.waits.clear()
    lost = LostTicket(request=request, found=lambda sn, url: found.append((sn, url)))
    metadata.lost_tickets[TAG, "bkitsm_default"] = lost
    return found


@case(8)
async def test_p2_a_callback_names_the_ticket_of_a_lost_answer(sn, server, listener, receiver, adopted):
    server.approve(sn)
    assert await settled(receiver, arrived(listener)) is Result.UNKNOWN
    assert [one for one, _ in adopted] == [sn]


@case(8)
async def test_p2_a_ticket_that_asks_something_else_is_not_adopted(
    sn, server, listener, receiver, adopted, caplog
):
    server.edit(sn, approvers=["mallory"])
    server.approve(sn)
    await settled(receiver, arrived(listener))
    assert adopted == []
    assert f"ticket {sn} of a callback is not taken" in caplog.text
    assert "mallory" in caplog.text


@case(42)
async def test_p2_another_ticket_is_not_adopted(sn, server, listener, receiver, adopted):
    body = {"workflow_key": "approval", "operator": "alice"}
    form = {"ticket__title": "Other #00000000", "approvers": ["bob"]}
    other = server.call("POST", "ticket/create", json=body | {"form_data": form})["id"]
    server.approve(sn)
    await settled(receiver, arrived(listener, ticket={"id": other}))
    assert adopted == []


@case(54)
async def test_p2_the_lost_ticket_of_another_version_is_none_of_this_one(
    sn, server, listener, receiver, metadata, adopted
):
    (lost,) = metadata.lost_tickets.values()
    metadata.lost_tickets[TAG, "bkitsm_default"] = replace(lost, request={**lost.request, "dialect": "v2"})
    server.approve(sn)
    request, before = arrived(listener), len(server.requests())
    assert await settled(receiver, request) is Result.UNKNOWN
    assert (adopted, len(server.requests())) == ([], before)


@case(8)
async def test_p1_an_outage_leaves_the_ticket_to_the_search(sn, server, listener, receiver, adopted):
    server.approve(sn)
    request = arrived(listener)
    server.fault("ticket/detail", "page", status=502)
    assert await settled(receiver, request) is Result.UNAVAILABLE
    assert adopted == []


@case(8)
def test_p2_the_store_knows_which_ticket_was_lost(hook, sn):
    store, now = open_approval_store(), datetime.now(UTC)
    subject = Subject(installation="i", bkitsm_conn_id="bkitsm_default", dag_id="d", run_id="r", task_id="t")
    attempt = Attempt(ti_id=None, try_number=1, max_tries=0, retries=0)
    record = ApprovalRecord(
        nonce="n" * 32,
        subject=subject,
        round_number=1,
        attempt=attempt,
        digest="d",
        asked_digest="d",
        tag=TAG,
        request={"creator": "alice", "dialect": "v4"},
    )
    begun = store.begin(record)
    assert AirflowMetadata().lost(TAG, "bkitsm_default") is None
    store.change(begun, create_started_at=now)
    lost = AirflowMetadata().lost(TAG, "bkitsm_default")
    assert AirflowMetadata().lost(TAG, "other") is None
    lost.found(sn, "u")
    lost.found("102000000000000000000000", "later")
    assert store.get("n" * 32).sn == sn
    assert AirflowMetadata().lost(TAG, "bkitsm_default") is None


def mutated(good: CallbackRequest, chance: Random) -> CallbackRequest:
    """Return a callback with one thing changed: a part of its address, a byte, a key or a value of its body."""
    body = json.loads(good.body)
    junk = [None, "", 0, True, [], {}, "x", "v1=" + "0" * 64, body["callback_token"][:-1], ID]
    kind = chance.randrange(5)
    if kind == 0:
        part = chance.choice(["conn_id", "tag", "expires", "signature"])
        text = getattr(good, part)
        place = chance.randrange(len(text))
        return replace(good, **{part: text[:place] + chance.choice("0aZ%/") + text[place + 1 :]})
    if kind == 1:
        place = chance.randrange(len(good.body))
        return replace(good, body=good.body[:place] + bytes([chance.randrange(256)]) + good.body[place + 1 :])
    if kind == 2:
        del body[chance.choice([*body])]
    elif kind == 3:
        body[chance.choice([*body, "sn", "token"])] = chance.choice(junk)
    else:
        body["callback_token"] = chance.choice(junk)
    return replace(good, body=json.dumps(body).encode())


async def test_p4_no_changed_callback_resumes_anybody(sn, server, listener, receiver, metadata):
    """As long as the ticket runs none can; with another token or address none is even looked at."""
    server.post_callback(sn)
    good, chance = arrived(listener), Random(19)
    for _ in range(300):
        await settled(receiver, mutated(good, chance))
    assert metadata.resumed == []
    server.approve(sn)
    token, asked = json.loads(good.body)["callback_token"].encode(), len(metadata.asked)
    for _ in range(300):
        forged = mutated(good, chance)
        is_of_another_address = forged.body == good.body and forged != good
        if is_of_another_address or token not in forged.body:
            await settled(receiver, forged)
    assert metadata.resumed == []
    assert len(metadata.asked) == asked
