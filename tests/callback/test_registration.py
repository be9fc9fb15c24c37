# SPDX-License-Identifier: Apache-2.0
"""Asking ITSM to call back, from the configuration."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.callback import signature as module
from airflow_provider_bkitsm.callback.signature import callback_base, callbacks_wanted, with_callback
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError

OWN, API = "AIRFLOW__BKITSM__CALLBACK_BASE_URL", "AIRFLOW__API__BASE_URL"
TAG = "0123456789abcdef0123456789abcdef"


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
