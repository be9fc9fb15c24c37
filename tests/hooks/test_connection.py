"""An Airflow connection read into a gateway."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import Connection

from airflow_provider_bkitsm.hooks.connection import read_gateway
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError

ROOT = "https://bkapi.example.com/api/bk-itsm/prod/v2/itsm"
GOOD = {"host": ROOT, "login": "code", "password": "s3cret"}


def gateway(extra: object = None, **fields: object):
    text = extra if isinstance(extra, str) or extra is None else json.dumps(extra)
    return read_gateway(Connection(conn_id="itsm", conn_type="bkitsm", extra=text, **(GOOD | fields)))


def test_the_least_that_is_needed():
    read = gateway()
    assert (read.root, read.app_code, read.username) == (ROOT, "code", "admin")
    assert (read.verify, read.timeouts, read.access_token) == (True, (5.0, 30.0), None)


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
        ({"access_token": "t0ken"}, "access_token", "t0ken"),
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
        ("no json", {}, "extra"),
        ("[]", {}, "extra"),
        ({"read_timeout": -1}, {}, "read_timeout"),
        ({"connect_timeout": "soon"}, {}, "connect_timeout"),
        ({"connect_timeout": "inf"}, {}, "connect_timeout"),
        ({"bk_username": ["a"]}, {}, "bk_username"),
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


def test_p8_a_gateway_does_not_show_its_secrets():
    shown = repr(gateway({"access_token": "t0ken"}))
    assert "s3cret" not in shown
    assert "t0ken" not in shown
