"""An Airflow connection read into a gateway."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import Connection

from airflow_provider_bkitsm.hooks.connection import read_gateway
from airflow_provider_bkitsm.itsm import calls
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.itsm.protocol import Front

ROOT = "https://bkapi.example.com/api/bk-itsm/prod/v2/itsm"
GOOD = {"host": ROOT, "login": "code", "password": "s3cret"}


def gateway(extra: object = None, **fields: object):
    text = extra if isinstance(extra, str) or extra is None else json.dumps(extra)
    return read_gateway(Connection(conn_id="itsm", conn_type="bkitsm", extra=text, **(GOOD | fields)))


def test_the_least_that_is_needed():
    read = gateway()
    assert (read.root, read.app_code, read.username) == (ROOT, "code", "admin")
    assert (read.verify, read.timeouts, read.grants, read.front) == (True, (5.0, 30.0), {}, Front.GATEWAY)


@pytest.mark.parametrize(
    ("fields", "root"),
    [
        ({"host": f"{ROOT}/"}, ROOT),
        ({"host": "bkapi.example.com/api/x"}, "https://bkapi.example.com/api/x"),
        ({"host": "bkapi.example.com", "port": 8443, "schema": "http"}, "http://bkapi.example.com:8443"),
        ({"host": "bkapi.example.com/api", "port": 80, "schema": "http"}, "http://bkapi.example.com:80/api"),
        ({"host": "http://127.0.0.1:8099/api"}, "http://127.0.0.1:8099/api"),
    ],
)
def test_every_way_to_write_the_gateways_address(fields, root):
    assert gateway(**fields).root == root


@pytest.mark.parametrize(
    ("extra", "attribute", "value"),
    [
        ({"bk_username": "robot"}, "username", "robot"),
        ({"access_token": "t0ken"}, "grants", {"access_token": "t0ken"}),
        ({"bk_token": "a", "bk_ticket": "b"}, "grants", {"bk_token": "a", "bk_ticket": "b"}),
        ({"front": "esb"}, "front", Front.ESB),
        ({"tenant_id": "system"}, "tenant_id", "system"),
        ({"headers": {"X-Trace": "1"}}, "extra_headers", {"X-Trace": "1"}),
        ({"client_cert": "/c.pem", "client_key": "/k.pem"}, "client_cert", ("/c.pem", "/k.pem")),
        ({"proxy": "http://proxy:3128"}, "proxy", "http://proxy:3128"),
        ({"verify": False}, "verify", False),
        ({"verify": "no"}, "verify", False),
        ({"verify": "/etc/ca.pem"}, "verify", "/etc/ca.pem"),
        ({"connect_timeout": 1, "read_timeout": "2.5"}, "timeouts", (1.0, 2.5)),
        ({"read_timeout": ""}, "timeouts", (5.0, 30.0)),
    ],
)
def test_what_the_extra_can_say(extra, attribute, value):
    assert getattr(gateway(extra), attribute) == value


@pytest.mark.parametrize(
    ("extra", "fields", "named"),
    [
        (None, {"host": None}, "host"),
        (None, {"login": ""}, "login"),
        (None, {"password": " "}, "password"),
        (None, {"host": "ftp://x"}, "host"),
        (None, {"host": "https://user:pw@bkapi.example.com"}, "host"),
        ("no json", {}, "extra"),
        ("[]", {}, "extra"),
        ({"read_timeout": -1}, {}, "read_timeout"),
        ({"connect_timeout": "soon"}, {}, "connect_timeout"),
        ({"connect_timeout": "inf"}, {}, "connect_timeout"),
        ({"bk_username": ["a"]}, {}, "bk_username"),
        ({"front": "side door"}, {}, "front"),
        ({"headers": {"X": 1}}, {}, "headers"),
        ({"headers": "X: 1"}, {}, "headers"),
        ({"client_cert": "/c.pem"}, {}, "client_cert"),
    ],
)
def test_a_field_filled_wrongly_is_named(extra, fields, named):
    with pytest.raises(ItsmConfigurationError, match=named) as caught:
        gateway(extra, **fields)
    assert "'itsm'" in str(caught.value)


def test_a_flag_is_true_or_false():
    assert gateway({"require_evidence": "off"}).flag("require_evidence", True) is False
    assert gateway().flag("require_evidence", True) is True
    with pytest.raises(ItsmConfigurationError, match="require_evidence"):
        gateway({"require_evidence": "perhaps"}).flag("require_evidence", True)


def test_the_header_names_app_user_and_token():
    header = json.loads(gateway({"access_token": "t0ken"}).headers()["X-Bkapi-Authorization"])
    assert header == {
        "bk_app_code": "code",
        "bk_app_secret": "s3cret",
        "bk_username": "admin",
        "access_token": "t0ken",
    }


def test_the_esb_is_known_by_its_address_and_has_names_of_its_own():
    esb = gateway(host="https://paas.example.com/api/c/compapi/v2/itsm")
    assert esb.front is Front.ESB
    comment = calls.comment_ticket(sn="REQ1", stars=5, operator="alice")
    assert esb.url(comment).endswith("/itsm/comment_ticket/")
    assert gateway().url(comment).endswith("/itsm/comment/")


@pytest.mark.parametrize(
    "call",
    [
        calls.get_tickets_by_user(user="alice", view_type="my_todo"),
        calls.approve(sn="REQ1", state_id=1, approver="a", approved=True),
        calls.get_approver("REQ1", 1),
        calls.get_approve_node_result("REQ1", 1),
    ],
    ids=lambda call: call.path,
)
def test_what_the_esb_lacks_is_said_before_anything_is_sent(call):
    with pytest.raises(ItsmConfigurationError, match="ESB does not offer"):
        gateway({"front": "esb"}).url(call)


def test_the_tenant_and_further_headers_are_sent_but_never_instead_of_the_authorization():
    own = {"X-Trace": "1", "X-Bkapi-Authorization": "{}"}
    headers = gateway({"tenant_id": "system", "headers": own}).headers()
    assert (headers["X-Bk-Tenant-Id"], headers["X-Trace"]) == ("system", "1")
    assert "s3cret" in headers["X-Bkapi-Authorization"]


def test_p8_a_gateway_does_not_show_its_secrets():
    shown = repr(gateway({"access_token": "t0ken"}))
    assert "s3cret" not in shown
    assert "t0ken" not in shown
