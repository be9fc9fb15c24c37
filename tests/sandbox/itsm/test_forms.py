# SPDX-License-Identifier: Apache-2.0
"""What create_ticket takes and refuses, each with the code of the recorded server."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.sandbox.itsm import service_catalog

FAST = service_catalog.FAST_APPROVAL
FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}


def pairs(**values):
    return [{"key": key, "value": value} for key, value in values.items()]


def body(**more):
    return {"service_id": FAST, "creator": "carol", "fields": pairs(**FORM)} | more


def without(name):
    return {key: value for key, value in body().items() if key != name}


def form(**more):
    return body(fields=pairs(**(FORM | more)))


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({}, 3900004),
        (without("service_id"), 3900004),
        (body(service_id="abc"), 3900004),
        (body(service_id=99999), 3900004),
        (body(service_id=service_catalog.NO_CATALOG), 3900004),
        (body(creator=""), 3900004),
        (without("creator"), 3900004),
        (without("fields"), 3900004),
        (body(fields=[]), 3900004),
        (body(fields={"title": "t"}), 3900004),
        (body(fields=["title"]), 3900004),
        (body(fields=[{"key": "title"}]), 3900004),
        (body(fields=pairs(title="t", APPROVER="alice")), 3900003),
        (form(title=""), 3900003),
        (form(APPROVER=""), 3900003),
        (form(APPROVAL_CONTENT=None), 3900003),
        (form(NOPE="x"), 3900003),
        (form(title="x" * 129), 3900003),
        (form(title=12345), 3900003),
        (form(title="hi 😀"), 3900004),
        (body(meta=None), 3900004),
        (body(meta="abc"), 3900004),
        (body(meta={"state_processors": {"777": "x"}}), 3900004),
        (body(meta={"state_processors": {"15": ""}}), 3900004),
        (body(tag=""), 3900004),
        (body(tag=None), 3900004),
        (body(tag="x" * 33), 3900004),
        ([], 3900004),
    ],
)
def test_what_is_refused_opens_nothing(client, server, wanted, code):
    before = len(server.tickets())
    answer = client.post("create_ticket", wanted)
    assert (answer["result"], answer["code"], answer["data"]) == (False, code, None)
    assert len(server.tickets()) == before


@pytest.mark.parametrize(
    ("wanted", "key"),
    [(without("fields"), "'title'"), (body(fields=pairs(title="t", APPROVER="a")), "APPROVAL_CONTENT")],
)
def test_the_message_names_what_is_missing(client, wanted, key):
    assert key in client.post("create_ticket", wanted)["message"]


@pytest.mark.parametrize(
    "wanted",
    [
        body(),
        body(service_id=str(FAST)),
        body(fast_approval="false", service_id=99999),
        form(title="x" * 128),
        body(meta={"callback_url": "not a url"}),
        body(tag="x" * 32),
        body(operator="somebody", unknown=1),
        body(dynamic_fields=[{"name": "run", "type": "LINK", "value": "http://x/y"}]),
    ],
)
def test_what_is_accepted(client, server, wanted):
    data = client.post("create_ticket", wanted)["data"]
    assert set(data) == {"sn", "id", "ticket_url"}
    assert data["sn"].startswith("REQ20")
    assert len(data["sn"]) == len("REQ20260101000001")
    assert data["ticket_url"] == f"{server.url}/#/ticket/detail?id={data['id']}"


def test_the_same_body_twice_makes_two_tickets(client):
    assert client.post("create_ticket", body())["data"]["sn"] != client.post("create_ticket", body())["data"]["sn"]


def test_a_list_of_approvers_becomes_one_odd_name(client, server):
    sn = client.opened(fields={"APPROVER": ["alice", "bob"]})
    assert server.ticket(sn)["waits_for"] == ["['alice'", " 'bob']"]


def test_processors_given_with_the_ticket_replace_the_flows(client, server):
    sn = client.opened(meta={"state_processors": {"15": "zoe,yan"}})
    assert server.ticket(sn)["waits_for"] == ["zoe", "yan"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"dynamic_fields": [{"name": "n", "type": "BOGUS", "value": "v"}]}, 3900004),
        ({"fields": {"APPROVAL_CONTENT": "hi 😀"}}, 0),
    ],
)
def test_some_tickets_are_opened_and_never_start(client, server, more, code):
    assert client.create(**more)["code"] == code
    orphan = server.tickets()[-1]
    assert orphan["orphan"]
    shown = client.status(orphan["sn"])
    assert (shown["current_status"], shown["current_steps"]) == ("RUNNING", [])
    assert client.operate(orphan["sn"], "WITHDRAW")["code"] == 3900004
    assert client.operate(orphan["sn"], "TERMINATE", "alice")["code"] == 3900004


@pytest.mark.parametrize(
    ("proof", "creator"), [({"access_token": "t", "bk_username": "dora"}, "dora"), ({"bk_username": "dora"}, None)]
)
def test_only_a_verified_user_is_the_creator_by_default(client, server, proof, creator):
    answer = client.raw(
        "POST", f"{server.itsm_url}/create_ticket/", json=without("creator"), headers=server.headers(**proof)
    ).json()
    assert answer["result"] is (creator is not None)
    assert creator is None or server.ticket(answer["data"]["sn"])["creator"] == creator


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("hello", "text/plain"),
        ("{", "application/json"),
        ("fields=x&service_id=2", "application/x-www-form-urlencoded"),
    ],
)
def test_other_bodies_are_bad_parameters(client, server, text, kind):
    headers = server.headers() | {"Content-Type": kind}
    answer = client.raw("POST", f"{server.itsm_url}/create_ticket/", data=text, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (200, 3900004)
