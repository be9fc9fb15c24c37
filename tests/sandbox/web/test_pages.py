# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from airflow_provider_bkitsm.sandbox.web.pages import FormField, age, field_of


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "just now"), (59, "just now"), (60, "1 min"), (3599, "59 min"), (3660, "1 h 1 min"), (90061, "1 d 1 h")],
)
def test_age(seconds, text):
    assert age(seconds) == text


def block(*rows):
    return {"form_data": [{"label": "", "value": "x", "children": list(rows)}]}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("text", FormField(name="n", text="text")),
        (7, FormField(name="n", text="7")),
        ("{not json", FormField(name="n", text="{not json")),
        ('{"a": 1}', FormField(name="n", text='{"a": 1}')),
        (block({"label": "a:", "value": "1"}), FormField(name="n", rows=(("a", "1"),))),
        (block({"label": "a", "value": {"b": 1}}), FormField(name="n", rows=(("a", '{"b": 1}'),))),
        (block({"label": None, "value": None}), FormField(name="n", rows=(("", ""),))),
        ({"form_data": [{"label": "only", "value": "one"}]}, FormField(name="n", rows=(("only", "one"),))),
    ],
)
def test_a_form_becomes_rows_and_anything_else_text(value, shown):
    assert field_of("n", value, kind="STRING") == shown


@pytest.mark.parametrize("value", [{"form_data": "x"}, {"form_data": []}, {"form_data": ["x", 1]}])
def test_a_form_without_rows_is_text(value):
    assert field_of("n", value, kind="STRING").text


def test_names_are_separated():
    assert field_of("n", "a,b", kind="MEMBERS").text == "a, b"


def test_a_custom_form_that_was_sent_as_text_is_unreadable():
    stored = "{&quot;form_data&quot;: []}"
    assert field_of("n", stored, kind="CUSTOM-FORM") == FormField(name="n", text=stored, unreadable=True)
