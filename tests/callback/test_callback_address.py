# SPDX-License-Identifier: Apache-2.0
"""The address and header ITSM keeps with a ticket."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

import pytest

from airflow_provider_bkitsm.callback.signature import (
    HEADER,
    LIFE,
    Claim,
    callback_meta,
    is_signed,
    read_claim,
    signing_keys,
)
from airflow_provider_bkitsm.hooks.connection import Gateway

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TAG = "0123456789abcdef0123456789abcdef"
BASE = "https://airflow.example.com"


def gateway(conn_id: str = "itsm") -> Gateway:
    return Gateway(conn_id=conn_id, root="https://itsm.example.com", app_code="a", app_secret="s3cret")


def meta(given=None, *, base: str = BASE, conn_id: str = "itsm", tag: str = TAG) -> dict:
    return callback_meta(given, base=base, gateway=gateway(conn_id), tag=tag, now=NOW)


@pytest.mark.parametrize("base", [BASE, f"{BASE}/", f"{BASE}/prefix", f"{BASE}/X", "http://localhost:8080"])
def test_the_address_keeps_the_bases_path(base):
    url = meta(base=base)["callback_url"]
    assert url.startswith(f"{base.rstrip('/')}/bkitsm/callback/itsm/{TAG}/")


@pytest.mark.parametrize(
    ("conn_id", "tag"),
    [("itsm", TAG), ("my itsm", TAG), ("a:b#c!(d)", TAG), ("日本", TAG), ("a/b", TAG), ("itsm", "a/b")],
)
def test_the_address_reads_back_into_what_was_signed(conn_id, tag):
    made = meta(conn_id=conn_id, tag=tag)
    *_, conn, marked, expires = (unquote(part) for part in urlsplit(made["callback_url"]).path.split("/"))
    claim = read_claim(conn_id=conn, tag=marked, expires=expires)
    assert claim == Claim(conn_id=conn_id, tag=tag, expires=int((NOW + LIFE).timestamp()))
    assert is_signed(signing_keys(gateway(conn_id)), claim, made["headers"][HEADER])


def test_p8_the_signature_is_not_in_the_address():
    made = meta()
    assert made["headers"][HEADER].removeprefix("v1=") not in made["callback_url"]


def test_what_the_user_gave_stays():
    made = meta({"state_processors": {"3": "bob"}, "headers": {"X-Trace": "1"}})
    assert made["state_processors"] == {"3": "bob"}
    assert set(made["headers"]) == {"X-Trace", HEADER}


def test_p8_a_users_own_receiver_gets_no_signature_of_ours():
    own = {"callback_url": "https://example.com/mine"}
    assert meta(own) == own


@pytest.mark.parametrize(("conn_id", "tag"), [("c", "t"), ("x" * 250, "x" * 32)])
def test_parts_may_be_as_short_or_as_long_as_they_get(conn_id, tag):
    claim = Claim(conn_id=conn_id, tag=tag, expires=1_900_000_000)
    assert read_claim(conn_id=conn_id, tag=tag, expires="1900000000") == claim


@pytest.mark.parametrize(
    "wrong",
    [
        {"conn_id": ""},
        {"conn_id": "x" * 251},
        {"tag": ""},
        {"tag": "x" * 33},
        {"expires": ""},
        {"expires": "soon"},
        {"expires": "-1"},
        {"expires": "1.0"},
        {"expires": "007"},
        {"expires": "\uff11\uff12"},
        {"expires": "9" * 13},
        {"expires": "12\n"},
    ],
)
def test_p4_parts_of_a_wrong_shape_are_no_claim(wrong):
    assert read_claim(**({"conn_id": "itsm", "tag": TAG, "expires": "1900000000"} | wrong)) is None
