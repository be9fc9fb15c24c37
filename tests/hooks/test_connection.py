# SPDX-License-Identifier: Apache-2.0
"""An Airflow connection read into a gateway."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from airflow.sdk import BaseHook, Connection
from airflow.sdk._shared.secrets_masker import _secrets_masker, redact

from airflow_provider_bkitsm.hooks.connection import read_extra, read_gateway, secrets_of
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.itsm.protocol import Front
from airflow_provider_bkitsm.itsm.v2 import calls

ROOT = "https://bkapi.example.com/api/bk-itsm/prod/v2/itsm"
GOOD = {"host": ROOT, "login": "code", "password": "s3cret"}


def gateway(extra: object = None, **fields: object):
    text = extra if isinstance(extra, str) or extra is None else json.dumps(extra)
    return read_gateway(Connection(conn_id="itsm", conn_type="bkitsm", extra=text, **(GOOD | fields)))


def test_the_least_that_is_needed():
    read = gateway()
    assert (read.root, read.app_code, read.username) == (ROOT, "code", "admin")
    assert (read.verify, read.timeouts, read.grants, read.front) == (True, (5.0, 30.0), {}, Front.GATEWAY)


HEADER = {"X-Env": "test"}
EXTRA = {"verify": False, "read_timeout": 7, "headers": HEADER}
FULL = {"conn_type": "bkitsm", **GOOD}
CODED = quote(ROOT, safe="")


@pytest.mark.parametrize(
    "written",
    [
        f"bkitsm://code:s3cret@{CODED}?verify=false&read_timeout=7&headers=%7B%22X-Env%22%3A%22test%22%7D",
        f"bkitsm://code:s3cret@{CODED}?__extra__={quote(json.dumps(EXTRA))}",
        "bkitsm://https://code:s3cret@bkapi.example.com/api/bk-itsm/prod/v2/itsm?"
        "verify=0&read_timeout=7.0&headers=%7B%22X-Env%22%3A%22test%22%7D",
        "bkitsm://code:s3cret@bkapi.example.com/api/bk-itsm/prod/v2/itsm/?"
        "extra__bkitsm__verify=no&extra__bkitsm__read_timeout=7&headers=%7B%22X-Env%22%3A%22test%22%7D",
        json.dumps(FULL | {"extra": EXTRA}),
        json.dumps(FULL | {"extra": json.dumps({"verify": "False", "read_timeout": "7", "headers": HEADER})}),
        json.dumps(
            FULL
            | {
                "host": f"  {ROOT}/ ",
                "login": " code ",
                "password": "s3cret\n",
                "extra": {"verify": " off ", "read_timeout": " 7 ", "headers": json.dumps(HEADER), "proxy": None},
            }
        ),
        json.dumps(
            FULL
            | {
                "extra": {
                    "extra__bkitsm__verify": False,
                    "extra__bkitsm__read_timeout": 9,
                    "read_timeout": 7,
                    "headers": "",
                    "extra__bkitsm__headers": HEADER,
                    "extra__bkitsm__proxy": "",
                }
            }
        ),
    ],
    ids=[
        "URI",
        "URI with __extra__",
        "URI with scheme and path",
        "URI without scheme, old names",
        "JSON",
        "JSON with extra as text",
        "JSON with blanks around",
        "JSON with names of old forms",
    ],
)
def test_every_way_to_write_a_connection_is_read_alike(monkeypatch, written):
    monkeypatch.setenv("AIRFLOW_CONN_ITSM", written)
    read = read_gateway(BaseHook.get_connection("itsm"))
    assert (read.root, read.app_code, read.app_secret) == (ROOT, "code", "s3cret")
    assert (read.verify, read.timeouts, read.extra_headers, read.proxy) == (False, (5.0, 7.0), HEADER, None)


def test_a_secret_with_every_odd_character_survives_a_uri(monkeypatch):
    odd = "p@ss/w:rd?#&%=+ 中"
    monkeypatch.setenv("AIRFLOW_CONN_ITSM", f"bkitsm://code:{quote(odd, safe='')}@{CODED}")
    assert read_gateway(BaseHook.get_connection("itsm")).app_secret == odd


@pytest.mark.parametrize(
    ("extra", "attribute", "value"),
    [
        ({"bk_username": "robot"}, "username", "robot"),
        ({"access_token": "t0ken"}, "grants", {"access_token": "t0ken"}),
        ({"bk_token": "a", "bk_ticket": "b"}, "grants", {"bk_token": "a", "bk_ticket": "b"}),
        ({"front": "esb"}, "front", Front.ESB),
        ({"tenant_id": "system"}, "tenant_id", "system"),
        ({"headers": {"X-Trace": "1"}}, "extra_headers", {"X-Trace": "1"}),
        ({"headers": '{"X-Trace": "1"}'}, "extra_headers", {"X-Trace": "1"}),
        ({"headers": " "}, "extra_headers", {}),
        ({"headers": {}}, "extra_headers", {}),
        ({"bk_ticket_secret": "b"}, "grants", {"bk_ticket": "b"}),
        ({"client_cert": __file__, "client_key": __file__}, "client_cert", (__file__, __file__)),
        ({"proxy": "http://proxy:3128"}, "proxy", "http://proxy:3128"),
        ({"verify": False}, "verify", False),
        ({"verify": "no"}, "verify", False),
        ({"verify": "false"}, "verify", False),
        ({"verify": 0}, "verify", False),
        ({"verify": None}, "verify", True),
        ({"verify": __file__}, "verify", __file__),
        ({"connect_timeout": 1, "read_timeout": "2.5"}, "timeouts", (1.0, 2.5)),
        ({"read_timeout": "", "connect_timeout": None}, "timeouts", (5.0, 30.0)),
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
        ({"headers": "[]"}, {}, "headers"),
        ({"headers": ["X"]}, {}, "headers"),
        ({"headers": {"X": "a\r\nY: b"}}, {}, "headers"),
        ({"headers": {"X": "中"}}, {}, "headers"),
        ({"tenant_id": "中"}, {}, "tenant_id"),
        ({"client_cert": __file__}, {}, "client_cert"),
        ({"client_cert": __file__, "client_key": "/no/such/key"}, {}, "client_key"),
        ({"verify": "/no/such/ca"}, {}, "verify"),
        ({"verify": {"a": 1}}, {}, "verify"),
        ({"extra__bkitsm__read_timeout": "soon"}, {}, "read_timeout"),
    ],
)
def test_a_field_filled_wrongly_is_named(extra, fields, named):
    with pytest.raises(ItsmConfigurationError, match=named) as caught:
        gateway(extra, **fields)
    assert "'itsm'" in str(caught.value)
    assert "s3cret" not in str(caught.value)


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
    shown = repr(gateway({"access_token": "t0ken", "proxy": "http://me:pr0xypw@proxy"}))
    for secret in ("s3cret", "t0ken", "pr0xypw"):
        assert secret not in shown


@pytest.mark.parametrize(
    "extra",
    [
        {"access_token": "value-to-hide"},
        {"bk_token": "value-to-hide"},
        {"bk_ticket": "value-to-hide"},
        {"bk_ticket_secret": "value-to-hide"},
        {"extra__bkitsm__bk_ticket": "value-to-hide"},
        {"callback_signing_secret": "another-key,value-to-hide"},
        {"callback_signing_keys": ["another-key", "value-to-hide"]},
        {"proxy": "http://me:value-to-hide@proxy:3128"},
        {"proxy": "me:value-to-hide@proxy:3128"},
        {"headers": {"Authorization": "value-to-hide"}},
        {"headers": '{"X-Token": "value-to-hide"}'},
        {"headers": {"X-Env": "value-to-hide"}},
        {"headers": {"Cookie": "value-to-hide"}},
        {"client_cert": __file__, "client_key": "value-to-hide"},
        {"access_token": "value-to-hide", "read_timeout": "soon"},
    ],
    ids=str,
)
def test_p8_no_log_shows_a_secret_of_a_connection_once_read(masker, extra):
    with suppress(ItsmConfigurationError):
        gateway(extra)
    assert redact("the secrets: s3cret, value-to-hide") == "the secrets: ***, ***"


@pytest.fixture
def masker() -> Iterator[None]:
    _secrets_masker().reset_masker()
    yield
    _secrets_masker().reset_masker()


@pytest.mark.parametrize(
    ("extra", "policy"),
    [
        (None, "escape"),
        ({"four_byte": ""}, "escape"),
        ({"four_byte": "Refuse"}, "refuse"),
        ({"four_byte": "send"}, "send"),
    ],
)
def test_what_becomes_of_four_byte_characters(extra, policy):
    assert gateway(extra).four_byte == policy


def test_a_wrong_policy_for_four_byte_characters_is_named():
    with pytest.raises(ItsmConfigurationError, match="'four_byte' must be escape, refuse or send"):
        gateway({"four_byte": "drop"})


PAGE = (Path(__file__).parents[2] / "docs" / "connections.md").read_text()
URIS = re.findall(r"^export AIRFLOW_CONN_\w+='(\w+://.+)'$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("uri", URIS)
def test_airflow_reads_the_uris_of_the_docs(monkeypatch, uri):
    monkeypatch.setenv("AIRFLOW_CONN_ITSM", uri)
    read = read_gateway(BaseHook.get_connection("itsm"))
    address = uri.partition("://")[2].partition("?")[0]
    assert read.root == address.replace("my-app:secret@", "")
    assert (read.app_code, read.app_secret) == ("my-app", "secret")
    if "?" in uri:
        assert (read.username, read.text("service_id")) == ("airflow", "42")


def test_the_docs_have_uris_for_http_and_https():
    assert {uri.split("://")[1] for uri in URIS} == {"http", "https"}


# A connection's extra, whoever wrote it.


@pytest.mark.parametrize(
    ("text", "extra"),
    [
        (None, {}),
        (" ", {}),
        ("{}", {}),
        ('{"verify": false, "proxy": null, "front": " "}', {"verify": False}),
        ('{"extra__bkitsm__verify": "no"}', {"verify": "no"}),
        ('{"extra__bkitsm__verify": "no", "verify": true}', {"verify": True}),
        ('{"extra__bkitsm__verify": "no", "verify": ""}', {"verify": "no"}),
        ('{"extra__bkitsm__verify": null}', {}),
        ('{"extra__bkitsm__a__b__c": 1, "a__b": 2}', {"a__b__c": 1, "a__b": 2}),
    ],
)
def test_only_what_is_given_counts(text, extra):
    assert read_extra(text) == extra


@pytest.mark.parametrize("text", ["no json", "[]", '"text"', "1"])
def test_p8_what_is_no_object_is_refused_without_showing_it(text):
    with pytest.raises(ValueError, match="extra must be a JSON object") as caught:
        read_extra(text)
    assert str(caught.value) == "extra must be a JSON object"


@pytest.mark.parametrize(
    ("extra", "secrets"),
    [
        ({"bk_username": "robot", "verify": "/etc/ca.pem"}, set()),
        ({"access_token": " a ", "bk_token": 12345, "bk_ticket": None}, {"a", "12345"}),
        ({"callback_signing_secret": "one-key, another"}, {"one-key", "another"}),
        ({"callback_signing_keys": ["one-key", " another ", None, {"a": "b"}]}, {"one-key", "another"}),
        ({"callback_signing_keys": {"a": "b"}}, set()),
        ({"proxy": "http://proxy:3128", "access_token": "a"}, {"a"}),
        ({"proxy": "http://me:p%40ss@proxy"}, {"http://me:p%40ss@proxy", "p%40ss", "p@ss"}),
        ({"proxy": "http://[me:pass@proxy"}, {"http://[me:pass@proxy"}),
        ({"proxy": "me:pass@proxy:3128"}, {"me:pass@proxy:3128", "pass"}),
        ({"proxy": "http://me:pa#ss@proxy"}, {"http://me:pa#ss@proxy"}),
        ({"proxy": "http://me:pa/ss@proxy"}, {"http://me:pa/ss@proxy"}),
        ({"proxy": "http://me@proxy:3128"}, {"http://me@proxy:3128"}),
    ],
)
def test_p8_what_no_log_may_show(extra, secrets):
    assert set(secrets_of(extra)) == secrets
