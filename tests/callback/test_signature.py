# SPDX-License-Identifier: Apache-2.0
"""Who may call back: only who holds a signature of ours (promise P4)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.callback.signature import Claim, is_signed, sign, signing_keys
from airflow_provider_bkitsm.hooks.connection import Gateway
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
