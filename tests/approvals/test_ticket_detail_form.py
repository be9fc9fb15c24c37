# SPDX-License-Identifier: Apache-2.0
"""The form as the approver read it."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from airflow_provider_bkitsm.approvals.ticket_detail import FormRow, as_text, form_row, form_rows
from airflow_provider_bkitsm.itsm.models import FormField
from airflow_provider_bkitsm.itsm.v2 import models
from airflow_provider_bkitsm.itsm.v2.evidence import read_field
from airflow_provider_bkitsm.itsm.v2.html_filter import as_stored
from tests.record import EVIDENCE

CUSTOM = {
    "form_data": [
        {"label": "名称：", "value": "app"},
        {"children": [{"label": "Days: ", "value": 7}, {"label": "Paths", "value": ["/a"]}, "nonsense"]},
        "nonsense",
        {"label": "X", "value": "x", "children": {"label": "Y"}},
        {"label": None},
    ]
}
ROWS = (("名称", "app"), ("Days", "7"), ("Paths", '[\n "/a"\n]'), ("X", "x"), ("", ""))


def field(value: Any, **more: Any) -> FormField:
    return read_field(models.FormField(**{"key": "k", "name": "Name", "type": "STRING", "value": value, **more}))


@pytest.mark.parametrize("given", [CUSTOM, json.dumps(CUSTOM), "  " + json.dumps(CUSTOM)])
def test_a_custom_form_becomes_rows(given):
    assert form_row(field(given)) == FormRow(name="Name", rows=ROWS)


@pytest.mark.parametrize(
    "text", ["{", "{}", '{"form_data": 7}', '{"form_data": []}', "plain", "[1]", "{" * 100_000]
)
def test_any_other_text_stays_text(text):
    assert form_row(field(text)) == FormRow(name="Name", text=text)


def test_a_field_is_plain_json():
    shown = form_row(field(CUSTOM)).as_dict()
    assert json.loads(json.dumps(shown)) == {"name": "Name", "text": "", "rows": [list(row) for row in ROWS]}


def test_a_choice_is_shown_as_itsm_shows_it():
    assert form_row(field("true", display_value="通过")).text == "通过"
    assert form_row(field("x", display_value="")).text == "x"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("<b>", "<b>"),
        (7, "7"),
        ({"a": "名"}, '{\n "a": "名"\n}'),
        (None, "null"),
        (date(2026, 11, 24), '"2026-11-24"'),
    ],
)
def test_values_become_readable(value, text):
    assert as_text(value) == text


def test_empty_fields_and_itsms_own_are_left_out_and_each_key_shown_once():
    fields = [field("t", key="title"), field("x", key="urgency"), field("", key="a"), field(None, key="b")]
    fields += [field("1", key="c"), field("2", key="c")]
    assert [one.text for one in form_rows(fields)] == ["2"]


def test_a_field_without_a_name_is_called_by_its_key():
    assert form_row(field("v", name="")).name == "k"


def test_a_custom_form_that_was_sent_as_text_is_read_as_itsm_stores_it():
    """Tickets opened by earlier versions, and the log platform's own, come back with entities."""
    text = json.dumps({"form_data": [{"label": "a：", "value": "\"q\" 'x' & 1 < 2"}]}, ensure_ascii=False)
    stored = as_stored(text, "CUSTOM-FORM")
    assert "&quot;" in stored
    assert form_row(field(stored, type="CUSTOM-FORM", display_value=stored)).rows == (("a", "\"q\" 'x' & 1 < 2"),)


@pytest.mark.parametrize("name", ["json_text", "json_text_ascii", "object", "object_emoji"])
def test_a_recorded_custom_form_shows_its_rows(name):
    (sent,) = (
        one["value"]
        for one in EVIDENCE[f"create_ticket__field_custom_form_{name}"]["request"]["fields"]
        if one["key"] == "f_custom"
    )
    info = models.TicketInfo.model_validate(EVIDENCE[f"get_ticket_info__field_custom_form_{name}"]["body"]["data"])
    (shown,) = (form_row(read_field(one)) for one in info.fields if one.key == "f_custom")
    rows = form_row(field(sent, type="TEXT")).rows
    assert shown.rows
    assert [label for label, _ in shown.rows] == [label for label, _ in rows]


def test_a_text_of_markup_is_shown_as_text():
    name = "get_ticket_info__field_string_markup"
    info = models.TicketInfo.model_validate(EVIDENCE[name]["body"]["data"])
    (shown,) = (form_row(read_field(one)) for one in info.fields if one.key == "f_string")
    assert shown.text == "a \"q\" 'x' <b>b</b> i s & & 1<2 中文\n行2 "
