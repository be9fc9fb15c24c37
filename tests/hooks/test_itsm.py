# SPDX-License-Identifier: Apache-2.0
"""Both ITSM clients against a running sandbox: same calls, same errors."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook, ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.v2 import calls
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings

FORM = {"title": "Go live", "APPROVER": "alice", "APPROVAL_CONTENT": "content"}


class Client:
    """One way to call ITSM: the sync hook, or the async one run to its end."""

    def __init__(self, kind: str, conn_id: str = "bkitsm_default") -> None:
        self.kind, self.conn_id = kind, conn_id

    def call(self, name: str, *args, **kwargs):
        if self.kind == "sync":
            return getattr(ItsmHook(self.conn_id), name)(*args, **kwargs)
        return asyncio.run(self._call(name, *args, **kwargs))

    def every(self, name: str, **filters) -> list:
        if self.kind == "sync":
            return list(getattr(ItsmHook(self.conn_id), name)(**filters))
        return asyncio.run(self._every(name, **filters))

    async def _every(self, name: str, **filters) -> list:
        async with ItsmAsyncHook(self.conn_id) as hook:
            return [row async for row in getattr(hook, name)(**filters)]

    async def _call(self, name: str, *args, **kwargs):
        async with ItsmAsyncHook(self.conn_id) as hook:
            return await getattr(hook, name)(*args, **kwargs)


@pytest.fixture(params=["sync", "async"])
def client(request, connections) -> Client:
    return Client(request.param)


def until(happened: Callable[[], object], *, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def open_ticket(client: Client, **more) -> str:
    return client.call("create_ticket", creator="robot", fields=FORM, fast_approval=True, **more).sn


def test_a_ticket_from_opening_to_verdict(client, sandbox):
    sn = open_ticket(client, tag="a" * 32)
    assert client.call("get_ticket_status", sn).current_status == "RUNNING"
    assert client.call("get_ticket_info", sn).creator == "robot"
    assert [one.sn for one in client.call("get_tickets", tag="a" * 32).items] == [sn]
    assert client.call("run", read_verdict(sn, VerdictPolicy())).outcome is Outcome.WAITING
    sandbox.approve(sn, remark="fine")
    verdict = client.call("run", read_verdict(sn, VerdictPolicy()))
    assert (verdict.outcome, verdict.approvers[0].remark) == (Outcome.APPROVED, "fine")
    assert client.call("get_ticket_logs", sn).logs[-2].from_state_type == "APPROVAL"


def test_services(client):
    found = client.call("get_services", display_role="LOG_SEARCH", display_type="API")
    assert len(found) == 1
    keys = {field.key for field in client.call("get_service_detail", found[0].id).fields}
    assert {"title", "approvals", "collector_detail"} <= keys


def test_a_ticket_is_withdrawn_by_its_creator_only(client, sandbox):
    sn = open_ticket(client)
    sandbox.wait_for_step(sn)
    with pytest.raises(errors.ItsmRefusedError):
        client.call("operate_ticket", sn=sn, action_type="WITHDRAW", operator="eve", action_message="m")
    client.call("operate_ticket", sn=sn, action_type="WITHDRAW", operator="robot", action_message="m")
    assert sandbox.ticket(sn)["status"] == "REVOKED"


def test_a_token_that_is_not_itsms_own_does_not_pass(client):
    assert client.call("token_verify", "nonsense").is_passed is False


# Of something in front of ITSM: all but the pages have a code in their body.
OUTAGES: list[dict[str, Any]] = [
    {"kind": "status", "status": 502, "code": 1650201},
    {"kind": "status", "status": 508},
    {"kind": "esb", "code": 1306201},
    {"kind": "esb", "code": 1306500},
    {"kind": "esb", "code": 1308201, "status": 502},
    {"kind": "esb", "code": 1306000, "status": 504},
    {"kind": "refuse", "code": 3900004, "status": 500},
    {"kind": "page", "status": 200},
    {"kind": "page", "status": 503},
]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "html"}, errors.ItsmUnavailableError),
        ({"kind": "status", "status": 502}, errors.ItsmUnavailableError),
        ({"kind": "status", "status": 403}, errors.ItsmPermissionError),
        ({"kind": "status", "status": 301}, errors.ItsmEndpointNotFoundError),
        ({"kind": "refuse", "code": "SERVER_500_ERROR"}, errors.ItsmUnavailableError),
        *((outage, errors.ItsmUnavailableError) for outage in OUTAGES),
        ({"kind": "drop_answer", "times": 2}, errors.ItsmUnavailableError),
    ],
)
def test_a_read_that_fails_is_told_apart(client, sandbox, fault, error):
    sn = open_ticket(client)
    sandbox.fault("get_ticket_status", **fault)
    with pytest.raises(error):
        client.call("get_ticket_status", sn)
    assert client.call("get_ticket_status", sn).current_status == "RUNNING"


def test_a_read_whose_connection_was_cut_is_sent_again(client, sandbox):
    sn = open_ticket(client)
    sandbox.fault("get_ticket_status", "drop_answer")
    assert client.call("get_ticket_status", sn).current_status == "RUNNING"


def test_a_rate_limit_names_its_pause(client, sandbox):
    sandbox.fault("get_services", "status", status=429, retry_after="7")
    with pytest.raises(errors.ItsmRateLimitedError) as caught:
        client.call("get_services")
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    "fault", [{"kind": "drop_answer"}, {"kind": "html"}, {"kind": "status", "status": 504}, *OUTAGES]
)
def test_p2_a_write_without_an_answer_has_an_unknown_outcome(client, sandbox, fault):
    sandbox.fault("create_ticket", **fault)
    with pytest.raises(errors.ItsmOutcomeUnknownError) as caught:
        open_ticket(client)
    assert not caught.value.retry_safe


def test_p2_a_write_that_never_left_was_not_done(client, connections):
    connections("nobody", conn_type="bkitsm", host="http://127.0.0.1:9", login="a", password="b")
    with pytest.raises(errors.ItsmUnavailableError, match="nothing was done"):
        Client(client.kind, "nobody").call("create_ticket", creator="r", fields=FORM, fast_approval=True)


def test_a_slow_server_is_given_up_on(client, sandbox, connections):
    extra = {"read_timeout": 0.2, "read_retries": 0}
    login = {"login": "sandbox", "password": "sandbox-secret"}
    connections("slow", conn_type="bkitsm", host=sandbox.itsm_url, extra=extra, **login)
    sandbox.fault("get_services", "delay", seconds=1.5)
    with pytest.raises(errors.ItsmUnavailableError):
        Client(client.kind, "slow").call("get_services")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"password": "wr0ng"}, errors.ItsmAuthenticationError),
        ({"host": "{url}/nowhere"}, errors.ItsmEndpointNotFoundError),
        pytest.param(
            {"extra": "{"},
            errors.ItsmConfigurationError,
            marks=pytest.mark.since_airflow("3.2", "3.1 itself says of such a connection that it isn't defined"),
        ),
    ],
)
def test_a_wrong_connection_has_a_clear_error(client, sandbox, connections, wrong, error):
    good = {"host": sandbox.itsm_url, "login": "sandbox", "password": "sandbox-secret"}
    fields = {key: str(value).replace("{url}", sandbox.url) for key, value in (good | wrong).items()}
    connections("wrong", conn_type="bkitsm", **fields)
    with pytest.raises(error) as caught:
        Client(client.kind, "wrong").call("get_services")
    assert "wr0ng" not in str(caught.value)


def test_the_verdict_source_comes_from_the_connection_unless_the_task_names_one(client, sandbox, connections):
    extra = {"verdict_field": "approval_result", "require_evidence": "false"}
    login = {"login": "sandbox", "password": "sandbox-secret"}
    connections("form", conn_type="bkitsm", host=sandbox.itsm_url, extra=extra, **login)
    form = Client(client.kind, "form")
    assert form.call("verdict_policy") == VerdictPolicy(verdict_field="approval_result", require_evidence=False)
    assert form.call("verdict_policy", verdict_field="x", require_evidence=True).verdict_field == "x"
    assert client.call("verdict_policy") == VerdictPolicy()


def test_every_page_of_a_search_is_read(client, sandbox, monkeypatch):
    monkeypatch.setattr(calls.get_tickets, "__kwdefaults__", {"page": 1, "page_size": 2})
    opened = [open_ticket(client) for _ in range(5)]
    assert [row.sn for row in client.every("iter_tickets", creator="robot")] == opened[::-1]
    assert len(sandbox.requests("get_tickets")) == 3
    assert [row.sn for row in client.every("iter_tickets", sns=opened[:2])] == opened[1::-1]
    assert client.every("iter_tickets", tag="nobody's") == []


def test_p6_a_search_for_everything_is_refused(client, sandbox):
    with pytest.raises(errors.ItsmInvalidRequestError):
        client.every("iter_tickets")
    assert sandbox.requests("get_tickets") == []


@pytest.fixture
def in_pairs(sandbox, connections, client) -> Client:
    login = {"login": "sandbox", "password": "sandbox-secret"}
    extra = {"batch_size": 2, "read_retries": 0}
    connections("pairs", conn_type="bkitsm", host=sandbox.itsm_url, extra=extra, **login)
    return Client(client.kind, "pairs")


def test_many_tickets_are_asked_for_in_pieces(in_pairs, sandbox):
    opened = [open_ticket(in_pairs) for _ in range(5)]
    rows = in_pairs.call("ticket_approval_result", [*opened, opened[0], "REQ-unknown"])
    assert sorted(row.sn for row in rows) == opened
    assert len(sandbox.requests("ticket_approval_result")) == 3
    assert [row.sn for row in in_pairs.every("iter_tickets", sns=opened[:3])] == [opened[1], opened[0], opened[2]]


def test_a_piece_that_fails_fails_the_whole(in_pairs, sandbox):
    opened = [open_ticket(in_pairs) for _ in range(3)]
    sandbox.fault("ticket_approval_result", "status", status=502)
    with pytest.raises(errors.ItsmUnavailableError):
        in_pairs.call("ticket_approval_result", opened)


@pytest.mark.parametrize("wrong", ["0", "-1", "many", 1.5])
def test_a_batch_size_that_is_none_is_named(client, sandbox, connections, wrong):
    extra, login = {"batch_size": wrong}, {"login": "sandbox", "password": "sandbox-secret"}
    connections("wrong", conn_type="bkitsm", host=sandbox.itsm_url, extra=extra, **login)
    with pytest.raises(errors.ItsmConfigurationError, match="batch_size"):
        Client(client.kind, "wrong").call("get_services")


def test_both_clients_offer_the_same_searches():
    for name in ("iter_tickets", "iter_tickets_by_user"):
        sync, other = getattr(ItsmHook, name), getattr(ItsmAsyncHook, name)
        assert inspect.signature(sync).parameters == inspect.signature(other).parameters
        assert inspect.getdoc(sync) == inspect.getdoc(other)


def test_both_clients_offer_the_same_calls():
    calls = [name for name, one in inspect.getmembers(ItsmHook) if hasattr(one, "is_itsm_call")]
    assert len(calls) == 23
    for name in calls:
        assert callable(getattr(ItsmAsyncHook, name))
        assert inspect.getdoc(getattr(ItsmHook, name)) == inspect.getdoc(getattr(ItsmAsyncHook, name))


def test_the_connection_test_says_what_works(connections):
    passed, message = ItsmHook().test_connection()
    assert passed
    assert message == "ITSM answers: app 'sandbox' is accepted, 8 services are visible, and verdicts can be read"


def test_the_connection_test_says_that_the_default_service_is_not_there(sandbox, connect):
    caller = {"login": "sandbox", "password": "sandbox-secret"}
    connect("bkitsm_default", conn_type="bkitsm", host=sandbox.itsm_url, extra={"service_id": 4711}, **caller)
    passed, message = ItsmHook().test_connection()
    assert passed
    assert "though not service 4711" in message


def test_the_connection_test_names_the_missing_grant_and_what_it_is_for(connections):
    with SandboxServer(Settings(demand_verified_user=True)) as strict:
        caller = {"login": "sandbox", "password": "sandbox-secret"}
        connections("strict", conn_type="bkitsm", host=strict.itsm_url, **caller)
        passed, message = ItsmHook("strict").test_connection()
        assert not passed
        for said in ("app 'sandbox' is accepted", "8 services", "no task would learn", "access_token"):
            assert said in message
        extra = {"access_token": "a-users-token"}
        connections("strict", conn_type="bkitsm", host=strict.itsm_url, extra=extra, **caller)
        assert ItsmHook("strict").test_connection()[0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"password": "wr0ng"}, "app code or app secret is wrong"),
        ({"password": ""}, "password (app secret) is empty"),
        ({"extra": {"read_timeout": "soon"}}, "read_timeout"),
        ({"host": "http://127.0.0.1:1/api"}, "no answer from http://127.0.0.1:1/api"),
        ({"extra": {"proxy": "http://me:pr0xypw@127.0.0.1:1"}}, "no answer"),
    ],
)
def test_p8_the_connection_test_says_what_does_not_and_no_secret(sandbox, connect, fields, said):
    good = {"host": sandbox.itsm_url, "login": "sandbox", "password": "s3cret"}
    connect("bkitsm_default", conn_type="bkitsm", **(good | fields))
    passed, message = ItsmHook().test_connection()
    assert not passed
    assert said in message
    for secret in ("s3cret", "wr0ng", "pr0xypw"):
        assert secret not in message


def test_the_connection_test_says_what_the_gateway_answered(sandbox, connections):
    sandbox.fault("ticket_approval_result", "status", status=403)
    passed, message = ItsmHook().test_connection()
    assert not passed
    assert "403" in message


@pytest.mark.parametrize("people", ["alice, bob", ["alice", "bob"], "alice;bob", '["alice", "bob"]'])
def test_p3_both_people_are_asked_however_they_are_given(client, sandbox, people):
    sn = client.call("create_ticket", creator=" robot ", fields=FORM | {"APPROVER": people}, fast_approval=True).sn
    until(lambda: client.call("get_ticket_status", sn).current_steps)
    sandbox.wait_for_step(sn)
    (step,) = client.call("get_ticket_status", sn).current_steps
    assert step.processors == ("alice", "bob")
    assert sandbox.ticket(sn)["creator"] == "robot"


def test_a_creator_who_cannot_be_one_opens_no_ticket(client, sandbox):
    with pytest.raises(errors.ItsmInvalidRequestError, match="give the login name only: robot"):
        client.call("create_ticket", creator="robot (Robot)", fields=FORM, fast_approval=True)
    assert sandbox.tickets() == []


ROCKET = "\U0001f680"
QUOTED = f"\"a\" 'b' < c & {ROCKET}"


def test_texts_come_back_as_they_were_sent_and_the_flow_starts(client, sandbox):
    form = FORM | {"title": QUOTED, "APPROVAL_CONTENT": QUOTED}
    sn = client.call("create_ticket", creator="robot", fields=form, fast_approval=True, tag="b" * 32).sn
    until(lambda: client.call("get_ticket_status", sn).current_steps)
    info = client.call("get_ticket_info", sn)
    assert info.title == QUOTED
    assert {field.key: field.value for field in info.fields}["APPROVAL_CONTENT"] == QUOTED
    assert [one.title for one in client.call("get_tickets", tag="b" * 32).items] == [QUOTED]
    assert [one.title for one in client.call("ticket_approval_result", [sn])] == [QUOTED]
    assert ROCKET not in str(sandbox.ticket(sn))


def test_a_remark_is_sent_without_four_byte_characters_and_an_approvers_is_read_back(client, sandbox):
    sn = open_ticket(client)
    sandbox.wait_for_step(sn)
    sandbox.reject(sn, remark=f"{QUOTED[:-1]}[U+1F680]")
    sandbox.wait_for_status(sn, "FINISHED")
    values = [one.value for entry in client.call("get_ticket_logs", sn).logs for one in entry.form_data]
    assert QUOTED in values
    other = open_ticket(client)
    sandbox.wait_for_step(other)
    wish = {"sn": other, "action_type": "WITHDRAW", "operator": "robot", "action_message": QUOTED}
    client.call("operate_ticket", **wish)
    assert ROCKET not in str(sandbox.requests("operate_ticket"))


def policy_of(connections, sandbox, four_byte: str) -> None:
    login = {"login": "sandbox", "password": "sandbox-secret", "extra": {"four_byte": four_byte}}
    connections("bkitsm_default", conn_type="bkitsm", host=sandbox.itsm_url, **login)


def test_a_connection_may_refuse_four_byte_characters(client, sandbox, connections):
    policy_of(connections, sandbox, "refuse")
    with pytest.raises(errors.ItsmInvalidRequestError, match=r"field 'title' holds .* \(U\+1F680"):
        client.call("create_ticket", creator="robot", fields=FORM | {"title": ROCKET}, fast_approval=True)
    assert not sandbox.requests("create_ticket")


def test_a_connection_may_send_four_byte_characters(client, sandbox, connections):
    policy_of(connections, sandbox, "send")
    form = FORM | {"APPROVAL_CONTENT": ROCKET}
    client.call("create_ticket", creator="robot", fields=form, fast_approval=True)
    assert ROCKET in str(sandbox.requests("create_ticket"))
