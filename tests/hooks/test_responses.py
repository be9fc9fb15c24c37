# SPDX-License-Identifier: Apache-2.0
"""Whatever a server answers to whichever call, the end is a result or an ``ItsmError``."""

from __future__ import annotations

import contextlib
import inspect
import json
from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Connection
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import Retrying

from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.responses import policy, understand
from airflow_provider_bkitsm.hooks.transport import Reply
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.itsm.v2 import calls, models
from airflow_provider_bkitsm.itsm.v4 import calls as v4_calls
from airflow_provider_bkitsm.itsm.v4.dialect import V4
from tests.tables import table

EXPORT = {"key": "request", "name": "n", "catalog_id": 1, "workflow": {"states": {}}}
CALLS: dict[str, Call[Any]] = {
    "create_ticket": calls.create_ticket(creator="a", fields={"title": "t"}, service_id=1),
    "get_ticket_status": calls.get_ticket_status("REQ1"),
    "get_ticket_info": calls.get_ticket_info("REQ1"),
    "get_ticket_logs": calls.get_ticket_logs("REQ1"),
    "get_tickets": calls.get_tickets(tag="t"),
    "ticket_approval_result": calls.ticket_approval_result(["REQ1"]),
    "token_verify": calls.token_verify("t"),
    "operate_ticket": calls.operate_ticket(sn="REQ1", action_type="WITHDRAW", operator="a", action_message="m"),
    "get_tickets_by_user": calls.get_tickets_by_user(user="a", view_type="my_todo"),
    "callback_failed_ticket": calls.callback_failed_ticket(),
    "operate_node": calls.operate_node(sn="REQ1", state_id=15, operator="a", fields={}),
    "approve": calls.approve(sn="REQ1", state_id=15, approver="a", approved=True),
    "comment_ticket": calls.comment_ticket(sn="REQ1", stars=6, operator="a"),
    "get_approver": calls.get_approver("REQ1", 15),
    "get_approve_node_result": calls.get_approve_node_result("REQ1", 15),
    "get_services": calls.get_services(),
    "get_service_detail": calls.get_service_detail(1),
    "get_service_catalogs": calls.get_service_catalogs(),
    "get_service_roles": calls.get_service_roles(1),
    "get_workflow_detail": calls.get_workflow_detail(1),
    "import_service": calls.import_service(EXPORT),
    "update_service": calls.update_service(1, EXPORT),
    "create_service_catalog": calls.create_service_catalog(name="n", project_key="0"),
}
KNOWN_KEYS = sorted({key for one in vars(models).values() for key in getattr(one, "model_fields", {})})
ODD_DATES = ["0000-00-00 00:00:00", "0001-01-01 00:00:00", "9999-12-31 23:59:59", "9999-12-31T23:59:59-23:59", ""]
# Spelt as text, since Python itself would not write some of them.
ODD_JSON = [
    "1e999",
    "-1e999",
    "NaN",
    "1" * 4000,
    "1" * 5000,
    '"\\ud800"',
    '{"\\udfff": "\\ud800"}',
    "[" * 900 + "]" * 900,
    "[" * 100_000,
    '{"children": [' * 300 + "]}" * 300,
    '{"id": 1, "children": [' * 300 + "]}" * 300,
    '{"id": 1, "children": [' * 900 + "]}" * 900,
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**20, 10**30)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*ODD_DATES, "REQ1", "RUNNING", "\ud800", "a,b"])
)
ANY_JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KNOWN_KEYS), inner, max_size=8),
    max_leaves=20,
)


GATEWAY = Gateway(conn_id="itsm", root="https://bkapi.example.com/api", app_code="code", app_secret="s3cret")


def take(call: Call[Any], body: bytes, status: int = 200, content_type: str | None = "application/json") -> Any:
    return understand(call, Reply(status_code=status, content_type=content_type, body=body))


def envelope(data: str) -> bytes:
    return f'{{"result": true, "code": 0, "message": "", "data": {data}}}'.encode()


def test_every_call_of_the_hooks_is_here():
    assert set(CALLS) == {name for name, one in inspect.getmembers(ItsmHook) if hasattr(one, "is_itsm_call")}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@settings(max_examples=60, deadline=None)
@given(data=ANY_JSON)
def test_any_data_ends_in_a_result_or_an_itsm_error(call, data):
    with contextlib.suppress(errors.ItsmError):
        take(call, envelope(json.dumps(data)))


@table(("name", "data"), product(CALLS, ODD_JSON), ids=lambda row: f"{row[0]} {row[1][:24]}")
def test_odd_json_ends_in_a_result_or_an_itsm_error(name, data):
    for body in (envelope(data), envelope(f"[{data}]"), data.encode(), f'{{"result": {data}}}'.encode()):
        with contextlib.suppress(errors.ItsmError):
            take(CALLS[name], body)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@settings(max_examples=20, deadline=None)
@given(body=st.binary(max_size=200), status=st.integers(100, 599), content_type=st.none() | st.text(max_size=40))
def test_any_bytes_end_in_a_result_or_an_itsm_error(call, body, status, content_type):
    with contextlib.suppress(errors.ItsmError):
        take(call, body, status, content_type)


@pytest.mark.parametrize("value", [*ODD_DATES, "yesterday", "2026-13-01 00:00:00", 10**30, -(10**30), 1e300, True])
@pytest.mark.parametrize("key", ["create_at", "update_at", "end_at"])
def test_an_odd_time_ends_in_a_result_or_an_itsm_error(key, value):
    row = {"sn": "REQ1", "current_status": "RUNNING", "create_at": "2026-11-24 08:00:00", key: value}
    with contextlib.suppress(errors.ItsmUnexpectedAnswerError):
        take(CALLS["get_ticket_info"], envelope(json.dumps(row)))


@pytest.mark.parametrize("none", ["0000-00-00 00:00:00", "", None])
def test_every_form_of_no_time_is_none(none):
    row = {"sn": "REQ1", "current_status": "RUNNING", "approve_result": False, "update_at": none}
    assert take(CALLS["ticket_approval_result"], envelope(json.dumps([row])))[0].update_at is None


def test_half_a_surrogate_pair_is_replaced_so_that_it_can_be_stored():
    row = {"sn": "REQ1", "current_status": "RUNNING", "approve_result": False, "title": "a\ud800b\U0001f600"}
    (found,) = take(CALLS["ticket_approval_result"], envelope(json.dumps([row])))
    assert found.title == "a?b\U0001f600"


@pytest.mark.parametrize("call", [one for one in CALLS.values() if one.is_write], ids=lambda one: one.path)
@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", envelope("[")])
def test_p2_an_unreadable_answer_to_a_write_leaves_its_outcome_unknown(call, body):
    with pytest.raises(errors.ItsmOutcomeUnknownError):
        take(call, body)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b'{"result": false, "code": 1640401, "message": "API not found", "data": null}'),
        (200, b'{"result": false, "code": 1640401, "message": "API not found", "data": null}'),
        (404, b"<html>"),
    ],
)
def test_p8_a_404_asks_whether_the_host_is_the_gateways_root(status, body):
    reply = Reply(status_code=status, content_type="text/html", body=body, gateway=GATEWAY)
    with pytest.raises(errors.ItsmEndpointNotFoundError) as caught:
        understand(CALLS["get_ticket_status"], reply)
    said = str(caught.value)
    assert said.startswith("connection 'itsm': ")
    assert "(from https://bkapi.example.com/api). Is the host the gateway's root, with its path?" in said
    assert "https://bkapi.example.com/api/bk-itsm/prod/v2/itsm" in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"<html>", errors.ItsmUnavailableError),
        (502, b"", errors.ItsmUnavailableError),
        (
            401,
            b'{"result": false, "code": 1640001, "message": "no", "data": null}',
            errors.ItsmAuthenticationError,
        ),
    ],
)
def test_what_the_gateway_answers_names_connection_and_address(status, body, kind):
    reply = Reply(status_code=status, content_type="text/html", body=body, gateway=GATEWAY)
    with pytest.raises(kind, match=r"^connection 'itsm': .* \(from https://bkapi.example.com/api\)"):
        understand(CALLS["get_ticket_status"], reply)


def test_what_itsm_itself_says_stays_as_it_is():
    body = b'{"result": false, "code": 3900022, "message": "unknown", "data": null}'
    reply = Reply(status_code=200, content_type="application/json", body=body, gateway=GATEWAY)
    with pytest.raises(errors.ItsmTicketNotFoundError, match=r"^ITSM answered: unknown"):
        understand(CALLS["get_ticket_status"], reply)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, b'{"result": false, "code": 1640301, "message": "no right", "data": null}'),
        (200, b'{"result": false, "code": 1306403, "message": "no right", "data": null}'),
        (200, b'{"result": false, "code": 3900015, "message": "no right", "data": null}'),
        (403, b"<html>"),
    ],
)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_p8_a_missing_right_names_connection_call_app_and_user(call, status, body):
    reply = Reply(status_code=status, content_type="text/html", body=body, gateway=GATEWAY)
    with pytest.raises(errors.ItsmPermissionError) as caught:
        understand(call, reply)
    message = caught.value.message
    assert message.startswith("connection 'itsm': ")
    assert f"The refused call is {call.path.rstrip('/')}, of app 'code' as user 'admin'" in message
    assert "s3cret" not in str(caught.value)


# What is tried again, how often, and after which pause.


READ = calls.get_ticket_status("REQ1")
WRITE = calls.operate_ticket(sn="REQ1", action_type="WITHDRAW", operator="a", action_message="m")
DOWN = errors.ItsmUnavailableError("down")


@pytest.fixture
def gateway() -> Gateway:
    fields = {"host": "https://x", "login": "a", "password": "b"}
    return read_gateway(Connection(conn_id="itsm", conn_type="bkitsm", **fields))


def attempts(call, gateway, error) -> tuple[int, list[float]]:
    made, pauses = [], []

    def fail():
        made.append(1)
        raise error

    with pytest.raises(type(error)):
        Retrying(**policy(call, gateway), sleep=pauses.append)(fail)
    return len(made), pauses


def test_a_read_is_tried_three_times_with_growing_pauses(gateway):
    made, pauses = attempts(READ, gateway, DOWN)
    assert made == 3
    assert 0.5 <= pauses[0] <= 1.0 <= pauses[1] <= 1.5


def test_p2_a_write_is_never_repeated(gateway):
    assert attempts(WRITE, gateway, DOWN)[0] == 1


@pytest.mark.parametrize(
    "error",
    [errors.ItsmAuthenticationError("x"), errors.ItsmRefusedError("x"), errors.ItsmOutcomeUnknownError("x")],
)
def test_what_repeating_does_not_help_is_not_repeated(gateway, error):
    assert attempts(READ, gateway, error)[0] == 1


def test_the_gateways_own_pause_is_kept(gateway):
    made, pauses = attempts(READ, gateway, errors.ItsmRateLimitedError("slow", retry_after=7))
    assert (made, pauses) == (3, [7, 7])


def test_a_pause_too_long_to_sit_out_is_left_to_the_caller(gateway):
    assert attempts(READ, gateway, errors.ItsmRateLimitedError("slow", retry_after=600))[0] == 1


@pytest.mark.parametrize(("written", "made"), [("0", 1), (5, 6)])
def test_the_connection_says_how_often(gateway, written, made):
    assert attempts(READ, replace(gateway, extra={"read_retries": written}), DOWN)[0] == made


@pytest.mark.parametrize("wrong", ["-1", "often", 1.5])
def test_a_number_of_retries_that_is_none_is_named(gateway, wrong):
    with pytest.raises(errors.ItsmConfigurationError, match="read_retries"):
        policy(READ, replace(gateway, extra={"read_retries": wrong}))


def test_an_outage_of_a_moment_is_not_noticed(sandbox, connections, monkeypatch):
    login = {"login": "sandbox", "password": "sandbox-secret"}
    connections("patient", conn_type="bkitsm", host=sandbox.itsm_url, **login)
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))
    sandbox.fault("get_services", "html")
    sandbox.fault("get_services", "status", status=502)
    assert ItsmHook("patient").get_services()
    assert len(sandbox.requests("get_services")) == 3


TOKEN, ADDRESS = "v1=" + "0a" * 32, "https://airflow.example.com/bkitsm/callback/c/t/1"
META = {"callback_url": ADDRESS, "headers": {"X-Bkitsm-Signature": TOKEN}}
WRITES = (
    v4_calls.create_ticket(
        workflow_key="w", form_data={}, operator="alice", callback_url=ADDRESS, callback_token=TOKEN
    ),
    v4_calls.create_system(name="airflow", code="airflow", token=TOKEN),
    calls.create_ticket(creator="alice", fields={"title": "Drop?"}, service_id=7, meta=META),
)


@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500])
@pytest.mark.parametrize("call", WRITES)
def test_p8_no_error_quotes_what_an_answer_has_of_our_secrets(call, status):
    extra = {"system_token": "s" * 12}
    gateway = replace(GATEWAY, app_secret="a" * 12, grants={"access_token": "g" * 12}, extra=extra, dialect=V4)
    ours = (*call.secrets, *gateway.secrets)
    answer = {"result": False, "code": f"40000 {TOKEN}", "message": f"not valid: {', '.join(ours)}"}
    answer |= {"request_id": TOKEN, "data": None}
    reply = Reply(status_code=status, content_type="application/json", body=json.dumps(answer).encode())
    with pytest.raises(errors.ItsmError) as caught:
        understand(call, replace(reply, gateway=gateway))
    assert "not valid: ***" in str(caught.value)
    shown = f"{caught.value} {caught.value.args} {vars(caught.value)} {call!r}"
    assert not [secret for secret in ours if secret in shown]
    assert caught.value.__cause__ is None
