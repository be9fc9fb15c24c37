# SPDX-License-Identifier: Apache-2.0
"""What ITSM stores of a text, against every recorded ticket; and the text that is shown for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_bkitsm.itsm.v2 import calls
from airflow_provider_bkitsm.itsm.v2.html_filter import (
    as_shown,
    as_stored,
    stored_title,
    value_as_shown,
)
from tests.record import EVIDENCE, EXCHANGES
from tests.tables import table

RECORD = {**EXCHANGES, **EVIDENCE}


def succeeded(call: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, exchange in RECORD.items():
        body = exchange.get("body")
        if name.startswith(f"{call}__") and isinstance(body, dict) and body.get("result") is True:
            yield name, exchange


def form_of(exchange: dict[str, Any]) -> dict[str, Any]:
    return {field["key"]: field["value"] for field in exchange["request"].get("fields") or ()}


# The forms by number; a ticket that was sent back and handed in anew has two, and is left out.
FORMS = {exchange["body"]["data"]["sn"]: form_of(exchange) for _, exchange in succeeded("create_ticket")}
for _, again in succeeded("operate_node"):
    if "title" in form_of(again):
        FORMS.pop(again["request"]["sn"], None)


def started(data: dict[str, Any]) -> bool:
    """Whether the flow has begun: only then are titles filtered and fields filled."""
    title = stored_title(FORMS[data["sn"]]["title"])
    return len(title) <= 128 and any(field["value"] for field in data["fields"] if field["key"] == "title")


STORED = [
    (name, exchange["body"]["data"])
    for name, exchange in succeeded("get_ticket_info")
    if exchange["body"]["data"]["sn"] in FORMS and started(exchange["body"]["data"])
]
NEVER_STARTED = {
    name
    for name, exchange in succeeded("get_ticket_info")
    if exchange["body"]["data"]["sn"] in FORMS and not started(exchange["body"]["data"])
}
TITLES = [
    (name, row["sn"], row["title"])
    for name, rows in (
        *((name, one["body"]["data"]["items"]) for name, one in succeeded("get_tickets")),
        *((name, one["body"]["data"]) for name, one in succeeded("ticket_approval_result")),
        *((name, [one["body"]["data"]]) for name, one in succeeded("get_ticket_logs")),
    )
    for row in rows
    if row["sn"] in FORMS and len(stored_title(FORMS[row["sn"]]["title"])) <= 128
]


def test_the_record_holds_every_type_of_field():
    types = {field["type"] for _, data in STORED for field in data["fields"] if field["key"] in FORMS[data["sn"]]}
    assert types == {
        *("STRING", "TEXT", "INT", "DATE", "DATETIME", "SELECT", "MULTISELECT", "RADIO", "CHECKBOX"),
        *("MEMBER", "MEMBERS", "TABLE", "RICHTEXT", "LINK", "CUSTOM-FORM"),
    }
    assert len(TITLES) > 100


def test_few_recorded_tickets_never_started():
    assert {name.removeprefix("get_ticket_info__") for name in NEVER_STARTED} == {
        "celery_worker_down",
        "field_string_emoji",
        "field_text_emoji",
        "title_128_quotes",
    }


@table(("name", "data"), STORED, ids=lambda row: row[0])
def test_the_form_is_stored_as_recorded(name, data):
    form = FORMS[data["sn"]]
    for field in data["fields"]:
        if field["key"] in form:
            assert field["value"] == as_stored(form[field["key"]], field["type"]), field["key"]
    assert data["title"] == stored_title(form["title"])


@table(("name", "sn", "title"), TITLES, ids=lambda row: f"{row[0]} {row[1]}")
def test_the_title_is_the_same_text_wherever_it_comes_back(name, sn, title):
    assert title == stored_title(FORMS[sn]["title"])


@table(("name", "data"), STORED, ids=lambda row: row[0])
def test_our_models_hold_what_people_meant(name, data):
    info, form = calls.get_ticket_info(data["sn"]).parse(data), FORMS[data["sn"]]
    for field in info.fields:
        if field.key in form:
            assert field.value == value_as_shown(as_stored(form[field.key], field.type), field.type)
    assert info.title == as_shown(stored_title(form["title"]))


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("a > b", "a &gt; b"),
        ("R&D &amp; QA", "R&D & QA"),
        ("&amp;lt;", "&lt;"),
        ("&copy &#39; &quot;", "© &#039; &quot;"),
        ("<svg@1.2> <a1>", " "),
        ("<!-- c -->a<!doctype html><?php x ?>", "a"),
        ("a < b", "a &lt; b"),
        ("a <", "a &lt;"),
        ("<b", "&lt;b"),
        ("<b>x</i></b></b>", "<b>x</b>"),
        ("a\n<b>\nx\n</b>\nb", "a<b>x</b>b"),
        ("<P Class=x onclick=y>z</P>", '<p class="x">z</p>'),
        ("<a href='x'>l</a>", '<a href="http://x" target="_blank">l</a>'),
        ("<br>", "<br />"),
        ("<style>p{}</style>end", "p{}end"),
        ("a<script>b", "a"),
        ("a<script/>b", "ab"),
        ("<![x]>", "<![x]>"),
        ("\n\n  a  \n", "  a  "),
        ("", ""),
    ],
)
def test_the_filter(sent, stored):
    assert as_stored(sent, "STRING") == stored


@pytest.mark.parametrize("field_type", ["TEXT", "FILE"])
def test_some_types_are_stored_as_they_are(field_type):
    text = "\n<script>\"a\" & 'b' &quot;</script>\n"
    assert as_stored(text, field_type) == text
    assert value_as_shown(text, field_type) == text


@pytest.mark.parametrize("field_type", ["CUSTOM-FORM", "TABLE"])
def test_objects_are_stored_as_they_are(field_type):
    value = [{"a": '<i>"q" &quot;'}]
    assert as_stored(value, field_type) is value
    assert value_as_shown(value, field_type) is value


def test_an_object_in_a_text_becomes_pythons_text_and_is_not_filtered():
    assert as_stored(["a", {"b": "<i>"}], "STRING") == "['a', {'b': '<i>'}]"
    assert as_stored(None, "STRING") is None
    assert (as_stored(12, "INT"), as_stored(True, "STRING")) == ("12", "True")


def test_entities_are_decoded_once():
    assert (
        as_shown("&lt;b&gt; &quot;q&quot; &#039;x&#039; & &amp;quot; &copy;")
        == "<b> \"q\" 'x' & &amp;quot; &copy;"
    )
    assert as_shown("&&lt;quot;") == "&<quot;"


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="<>\"' ;#&qultg039中\nab").filter(lambda text: "&" not in text))
def test_a_text_without_markup_is_shown_as_it_was_sent(text):
    # A space behind each bracket: no tag; newlines at the ends and beside a bracket are ITSM's to drop.
    text = text.replace("<", "< ").replace("\n", "")
    assert as_shown(as_stored(text, "STRING")) == text


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="<>/!-'\"=&;bscriptaé \n", max_size=40))
def test_whatever_is_sent_no_script_is_stored(text):
    stored = as_stored(text, "STRING")
    assert "<script" not in stored.lower() or stored == text
