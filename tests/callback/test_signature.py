# SPDX-License-Identifier: Apache-2.0
"""Who may call back: only who holds a signature of ours (promise P4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.callback import signature as module
from airflow_provider_bkitsm.callback.signature import (
    HEADER,
    LIFE,
    Claim,
    callback_base,
    callback_meta,
    callbacks_wanted,
    is_signed,
    read_claim,
    sign,
    signing_keys,
    with_callback,
)
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError

OLD, NEW = "an-old-key-long-enough", "a-new-key-long-enough"
CLAIM = Claim(conn_id="itsm", tag="0123456789abcdef", expires=1_900_000_000)
SIGNED = "v1=32abc5e4a63a12537719c6e68404b5cca1ea45df508662c41cecf55304da1b1f"


def keys(
    given: object = None, *, secret: str = "s3cret", name: str = "callback_signing_keys"
) -> tuple[bytes, ...]:
    extra = {} if given is None else {name: given}
    return signing_keys(
        Gateway(conn_id="itsm", root="https://itsm.example.com", app_code="a", app_secret=secret, extra=extra)
    )


def test_what_is_signed_is_believed():
    assert is_signed(keys(), CLAIM, sign(keys(), CLAIM))


@pytest.mark.parametrize(
    "other",
    [
        {"conn_id": "other"},
        {"tag": "0123456789abcdee"},
        {"expires": CLAIM.expires + 1},
        {"conn_id": "itsm0", "tag": "123456789abcdef"},
    ],
)
def test_p4_a_signature_vouches_for_nothing_else(other):
    assert not is_signed(keys(), replace(CLAIM, **other), sign(keys(), CLAIM))


def test_p4_another_apps_secret_signs_nothing_of_ours():
    assert not is_signed(keys(), CLAIM, sign(keys(secret="other"), CLAIM))


@pytest.mark.parametrize("broken", ["", "v1=", "v1", "v2=", "é", "\udcff", "v1=" + "0" * 64])
def test_p4_what_is_no_signature_is_not_believed(broken):
    assert not is_signed(keys(), CLAIM, broken)


@given(st.integers(min_value=0, max_value=66), st.characters())
def test_p4_one_changed_character_is_enough(place, character):
    good = sign(keys(), CLAIM)
    changed = good[:place] + character + good[place + 1 :]
    assert is_signed(keys(), CLAIM, changed) == (changed == good)


@pytest.mark.parametrize("written", [[NEW, OLD], f"{NEW}, {OLD}"])
def test_the_first_key_signs_and_all_are_believed(written):
    signature = sign(keys(written), CLAIM)
    assert signature == sign(keys([NEW]), CLAIM)
    assert is_signed(keys(written), CLAIM, sign(keys([OLD]), CLAIM))
    assert not is_signed(keys([OLD]), CLAIM, signature)


def test_the_form_has_another_name_for_them():
    assert keys(f"{NEW},{OLD}", name="callback_signing_secret") == keys([NEW, OLD])
    with pytest.raises(ItsmConfigurationError, match="callback_signing_secret"):
        keys("too short", name="callback_signing_secret")


@pytest.mark.parametrize("blank", [None, ""])
def test_an_entry_that_is_blank_is_not_given(blank):
    extra = {"callback_signing_secret": blank, "callback_signing_keys": [NEW]}
    gateway = Gateway(conn_id="itsm", root="https://x", app_code="a", app_secret="s3cret", extra=extra)
    assert signing_keys(gateway) == keys([NEW])
    assert keys(blank or "") == keys()


def test_a_signature_made_by_another_version_of_the_provider_is_believed():
    """A ticket is signed when it is opened and answered days later, perhaps after an upgrade."""
    assert sign(keys(), CLAIM) == SIGNED


def test_own_keys_replace_the_app_secret():
    assert not is_signed(keys([NEW]), CLAIM, sign(keys(), CLAIM))


@pytest.mark.parametrize("wrong", [[], [""], [NEW, " "], f"{NEW},", [NEW, None], [7], 7, {"a": NEW}, "too short"])
def test_p8_keys_that_are_blank_short_or_no_texts_are_refused_without_being_shown(wrong):
    with pytest.raises(ItsmConfigurationError, match="callback_signing_keys") as refused:
        keys(wrong)
    assert NEW not in str(refused.value)
    assert "too short" not in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ([], "must be a list of texts"),
        ({"a": NEW}, "must be a list of texts"),
        ([NEW, " "], "holds a blank key"),
        ([7], "holds a blank key"),
        ("x" * 15, "fewer than 16 characters"),
        (f" {'x' * 15} ", "fewer than 16 characters"),
    ],
)
def test_what_is_wrong_with_a_key_is_told_with_the_connections_name(wrong, what):
    with pytest.raises(ItsmConfigurationError, match=f"connection 'itsm': extra 'callback_signing_keys' .*{what}"):
        keys(wrong)


def test_sixteen_characters_are_enough():
    assert is_signed(keys(" " + "x" * 16), CLAIM, sign(keys(["x" * 16]), CLAIM))


def test_p8_a_key_is_not_the_secret_itself():
    assert b"s3cret" not in keys()[0]
    assert len(keys()[0]) == 32


# The address and header ITSM keeps with a ticket.


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


# Asking ITSM to call back, from the configuration.


OWN, API = "AIRFLOW__BKITSM__CALLBACK_BASE_URL", "AIRFLOW__API__BASE_URL"


@pytest.fixture(autouse=True)
def _said_anew():
    module._warn_of_missing_base.cache_clear()


@pytest.mark.parametrize(("said", "wanted"), [(None, True), ("True", True), ("False", False)])
def test_callbacks_can_be_switched_off(monkeypatch, said, wanted):
    if said:
        monkeypatch.setenv("AIRFLOW__BKITSM__CALLBACK", said)
    assert callbacks_wanted() is wanted


@pytest.mark.parametrize(
    ("env", "base"),
    [
        ({}, None),
        ({API: "https://airflow.example.com/prefix"}, "https://airflow.example.com/prefix"),
        ({API: "http://localhost:8080", OWN: ""}, "http://localhost:8080"),
        ({API: "http://localhost:8080", OWN: "https://cb.example.com"}, "https://cb.example.com"),
        ({API: "/prefix"}, None),
        ({API: "https://x", "AIRFLOW__BKITSM__CALLBACK": "False"}, None),
    ],
)
def test_every_way_to_say_where_itsm_reaches_airflow(monkeypatch, env, base):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert callback_base() == base


def test_without_an_address_the_log_says_once_that_polling_is_all(caplog):
    assert [callback_base(), callback_base()] == [None, None]
    assert caplog.text.count("found by polling") == 1


def test_without_an_address_the_meta_stays_as_it_was(connections):
    assert with_callback(None, gateway=ItsmHook().gateway, tag=TAG) is None
    assert with_callback({"a": 1}, gateway=ItsmHook().gateway, tag=TAG) == {"a": 1}


def test_p8_unusable_keys_are_said_before_anything_is_sent(connections, sandbox, monkeypatch):
    monkeypatch.setenv(API, "https://x")
    fields = {"host": sandbox.itsm_url, "login": "sandbox", "password": "s", "conn_type": "bkitsm"}
    connections("blank", extra={"callback_signing_keys": ["a-key-that-is-long-enough", ""]}, **fields)
    with pytest.raises(ItsmConfigurationError, match="blank key") as refused:
        with_callback(None, gateway=ItsmHook("blank").gateway, tag=TAG)
    assert "long-enough" not in str(refused.value)
