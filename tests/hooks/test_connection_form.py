# SPDX-License-Identifier: Apache-2.0
"""The form of both connection types, for every Airflow minor from one table."""

from __future__ import annotations

import builtins
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow._shared.secrets_masker import should_hide_value_for_key
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

from airflow_provider_bkitsm.get_provider_info import get_provider_info
from airflow_provider_bkitsm.hooks.bklog import BkLogHook
from airflow_provider_bkitsm.hooks.connection import secrets_of
from airflow_provider_bkitsm.hooks.connection_form import FIELDS, secret_extras
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.v2.four_byte import FourByte

PAGE = (Path(__file__).parents[2] / "docs" / "connections.md").read_text(encoding="utf-8")
HOOKS = {"bkitsm": ItsmHook, "bklog": BkLogHook}
TYPES = {one["connection-type"]: one for one in get_provider_info()["connection-types"]}


@pytest.fixture
def wtforms(monkeypatch) -> None:
    """What Airflow 3.1 puts in wtforms' place."""
    kinds = ("String", "Integer", "Password", "Boolean")
    fields = {f"{kind}Field": getattr(HookMetaService, f"Mock{kind}Field") for kind in kinds}
    validators = SimpleNamespace(Optional=HookMetaService.MockOptional, any_of=HookMetaService.MockEnum)
    monkeypatch.setitem(sys.modules, "wtforms", SimpleNamespace(**fields))
    monkeypatch.setitem(sys.modules, "wtforms.validators", validators)


@pytest.mark.parametrize("conn_type", HOOKS)
def test_airflow_3_1_is_offered_the_same_fields(wtforms, conn_type):
    hook = HOOKS[conn_type]
    # It does not look for them in a parent.
    assert {"get_connection_form_widgets", "get_ui_field_behaviour"} <= set(vars(hook))
    widgets = hook.get_connection_form_widgets()
    assert list(widgets) == list(TYPES[conn_type]["conn-fields"])
    for name, widget in widgets.items():
        shown, field = widget.param.dump(), FIELDS[conn_type][name]
        assert (shown["schema"]["title"], shown["description"]) == (field["label"], field["description"])
        for key in ("format", "enum"):
            assert shown["schema"].get(key) == field["schema"].get(key)


def test_airflow_3_1_knows_whole_numbers_and_texts(wtforms):
    widgets = ItsmHook.get_connection_form_widgets()
    kinds = {name: widgets[name].param.dump()["schema"]["type"][0] for name in widgets}
    assert (kinds["read_retries"], kinds["read_timeout"], kinds["headers"]) == ("integer", "string", "string")


@pytest.mark.parametrize("hook", HOOKS.values())
def test_without_wtforms_airflow_learns_its_name(monkeypatch, hook):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "wtforms":
            raise ImportError(name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError) as caught:
        hook.get_connection_form_widgets()
    assert caught.value.name == "wtforms"


@pytest.mark.parametrize("conn_type", HOOKS)
def test_both_ways_relabel_alike(conn_type):
    asked, told = HOOKS[conn_type].get_ui_field_behaviour(), TYPES[conn_type]["ui-field-behaviour"]
    assert {key.replace("_", "-"): value for key, value in asked.items()} == told


@pytest.mark.parametrize("conn_type", HOOKS)
def test_p8_what_the_form_masks_airflow_masks_everywhere(conn_type):
    secret = {name for name, one in FIELDS[conn_type].items() if one["schema"].get("format") == "password"}
    assert "access_token" in secret
    assert all(should_hide_value_for_key(name) for name in secret)


def test_p8_the_secret_extras_are_the_forms_passwords_under_all_their_names():
    passwords = {
        name for form in FIELDS.values() for name, one in form.items() if one["schema"].get("format") == "password"
    }
    others = {"bk_ticket", "callback_signing_keys", "client_key"}
    assert secret_extras() == passwords | others
    assert set(secrets_of({name: f"value of {name}" for name in secret_extras()})) == {
        f"value of {name}" for name in secret_extras()
    }


def test_p8_a_password_that_is_added_to_the_form_is_masked(monkeypatch):
    field = {"label": "New", "description": "New", "schema": {"type": ["string", "null"], "format": "password"}}
    monkeypatch.setitem(FIELDS["bklog"], "new_secret", field)
    assert secrets_of({"new_secret": "abc"}) == ["abc"]


def test_every_field_of_the_form_is_in_the_table_of_the_docs():
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert {name for form in FIELDS.values() for name in form} == {
        name for row in rows for name in re.findall(r"`(\w+)`", row)
    }


def test_p8_the_docs_say_which_extras_are_secret():
    section = PAGE.split("## Secrets")[1].split("##")[0]
    named = set(re.findall(r"`(\w+)`", section))
    assert secret_extras() <= named


def test_batch_size_is_offered():
    field = FIELDS["bkitsm"]["batch_size"]
    assert field["label"] == "Batch size"
    assert field["description"] == "How many tickets are asked for in one call. Default: 50"


def test_four_byte_offers_the_policies_there_are():
    assert FIELDS["bkitsm"]["four_byte"]["schema"]["enum"] == list(FourByte)
    assert FIELDS["bkitsm"]["four_byte"]["description"].endswith("Default: escape")
    assert "four_byte" not in FIELDS["bklog"]


@pytest.mark.parametrize("conn_type", HOOKS)
def test_the_form_says_which_port_the_test_button_needs(conn_type):
    hints = HOOKS[conn_type].get_ui_field_behaviour()["placeholders"]
    assert hints["port"] == "443; the Test button needs it"
