# SPDX-License-Identifier: Apache-2.0
"""Emoji and rare Han: spelled where ITSM stores a text, read back where its answers are parsed, never lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.itsm.v2 import calls
from airflow_provider_bkitsm.itsm.v2.four_byte import (
    FourByte,
    escaped,
    fitting,
    fitting_title,
    prepared,
    unescaped,
)
from airflow_provider_bkitsm.itsm.v2.html_filter import as_shown, as_stored, stored_title

ROCKET, RARE_HAN = "\U0001f680", "\U00020bb7"
FIELDS = {"title": f"Deploy {ROCKET}", "reason": f"{RARE_HAN} {ROCKET}"}
CUSTOM_FORM = {"config": {}, "schemes": {}, "form_data": [{"label": ROCKET, "value": ROCKET}]}
TABLE = [{"host": ROCKET}]
TEXTS = st.lists(
    st.sampled_from(
        [ROCKET, RARE_HAN, "[", "]", "U", "+", "[U+", "[U+1F680]", "[U++1F680]", "1F680", "A", "中", "\\"]
    )
).map("".join)


def create(**fields: Any) -> Call[Any]:
    return calls.create_ticket(creator="carol", fields={"title": "t"} | fields, service_id=1)


def value(call: Call[Any], key: str) -> Any:
    return next(field["value"] for field in (call.body or {})["fields"] if field["key"] == key)


WRITES: dict[str, Call[Any]] = {
    "title and fields": calls.create_ticket(creator="carol", fields=FIELDS, service_id=1),
    "a list in a text field": create(reason=[ROCKET, {"a": RARE_HAN}]),
    "an object in a text field": create(reason={ROCKET: [RARE_HAN]}),
    "dynamic fields": calls.create_ticket(
        creator="carol",
        fields={"title": "t"},
        service_id=1,
        dynamic_fields=[{"name": ROCKET, "type": "STRING", "value": RARE_HAN}],
    ),
    "withdrawal": calls.operate_ticket(
        sn="REQ1", action_type="WITHDRAW", operator="carol", action_message=f"no more {ROCKET}"
    ),
    "approval": calls.approve(sn="REQ1", state_id=1, approver="alice", approved=True, remark=ROCKET),
    "answer": calls.operate_node(sn="REQ1", state_id=1, operator="alice", fields={"remark": ROCKET}),
    "hand-over": calls.operate_node(
        sn="REQ1", state_id=1, operator="alice", action_type="DELIVER", action_message=ROCKET
    ),
    "comment": calls.comment_ticket(sn="REQ1", stars=5, operator="carol", comments=ROCKET),
    "catalogue": calls.create_service_catalog(name=ROCKET, project_key="0", desc=RARE_HAN),
}


def has_four_bytes(one: object) -> bool:
    return any(ord(character) > 0xFFFF for character in json.dumps(one, ensure_ascii=False))


@pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)
def test_every_write_is_sent_without_them(call):
    assert has_four_bytes(call.body)
    sent = prepared(call, FourByte.ESCAPE)
    assert not has_four_bytes(sent.body)
    assert "[U+" in json.dumps(sent.body)
    assert prepared(sent, FourByte.REFUSE) is sent


@pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)
def test_every_write_can_be_refused_before_it_is_sent(call):
    with pytest.raises(ItsmInvalidRequestError, match=r"U\+(1F680|20BB7)"):
        prepared(call, FourByte.REFUSE)


@pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)
def test_every_write_can_be_sent_as_it_is(call):
    assert prepared(call, FourByte.SEND) is call


def test_a_refusal_names_the_field_and_the_character():
    with pytest.raises(ItsmInvalidRequestError) as caught:
        prepared(create(reason=f"go {ROCKET}"), FourByte.REFUSE)
    assert f"field 'reason' holds {ROCKET} (U+1F680, character 4)" in str(caught.value)
    assert "Nothing was sent" in str(caught.value)


@pytest.mark.parametrize("policy", FourByte)
@pytest.mark.parametrize("stored_as_json", [CUSTOM_FORM, TABLE])
def test_what_itsm_stores_as_json_is_left_alone(policy, stored_as_json):
    call = create(detail=stored_as_json)
    assert prepared(call, policy) is call


def test_a_definition_of_a_service_is_left_alone():
    call = calls.import_service({"key": "request", "name": ROCKET, "catalog_id": 1, "workflow": {}})
    assert prepared(call, FourByte.ESCAPE) is call


@pytest.mark.parametrize("policy", FourByte)
def test_other_texts_names_and_reads_are_sent_as_they_are(policy):
    meta = {"callback_url": "https://airflow.example.com/", "headers": {"x": "[U+1F680]"}}
    call = calls.create_ticket(creator=ROCKET, fields={"title": "中 é [U+41]"}, service_id=1, meta=meta)
    assert prepared(call, policy) is call
    read = calls.get_tickets(creator=ROCKET)
    assert prepared(read, policy) is read


def test_a_json_text_stays_json():
    text = json.dumps({"a": ROCKET}, ensure_ascii=False)
    sent = value(prepared(create(detail=text), FourByte.ESCAPE), "detail")
    assert json.loads(sent) == {"a": "[U+1F680]"}
    ascii_text = json.dumps({"a": ROCKET})
    assert value(prepared(create(detail=ascii_text), FourByte.ESCAPE), "detail") == ascii_text


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        (f"a{ROCKET}b", "a[U+1F680]b"),
        (RARE_HAN, "[U+20BB7]"),
        ("\U0010ffff", "[U+10FFFF]"),
        ("[U+1F680]", "[U++1F680]"),
        ("[U++1F680]", "[U+++1F680]"),
        (f"[U+{ROCKET}]", "[U+[U+1F680]]"),
        ("[U+41] [U+1f680] [U+110000] [U+01F680] U+1F680", "[U+41] [U+1f680] [U+110000] [U+01F680] U+1F680"),
    ],
)
def test_the_spelling(text, sent):
    assert escaped(text) == sent
    assert unescaped(sent) == text


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.text(), TEXTS))
def test_nothing_is_lost(text):
    assert not has_four_bytes(escaped(text))
    assert unescaped(escaped(text)) == text


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_itsms_filter_does_not_disturb_the_spelling(text):
    stored = as_stored(escaped(f"a < 'b' {text}"), "STRING")
    assert unescaped(as_shown(stored)) == f"a < 'b' {text}"


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.integers(0, 40))
def test_the_longest_beginning_that_fits(text, limit):
    kept = fitting(text, limit)
    assert text.startswith(kept)
    assert len(escaped(kept)) <= limit
    longer = (text[:length] for length in range(len(kept) + 1, len(text) + 1))
    assert all(len(escaped(one)) > limit for one in longer)


def test_a_title_is_cut_by_what_itsm_stores():
    title = fitting_title('"' * 100 + ROCKET, 60)
    assert title == '"' * 10
    assert fitting_title(ROCKET * 20, 45) == ROCKET * 5
    assert len(stored_title(escaped(fitting_title(f"{ROCKET}'" * 40, 128)))) <= 128


def test_a_title_counts_as_it_is_sent_and_stored():
    fits = create(title=ROCKET * 14 + "ab")
    assert len(value(prepared(fits, FourByte.ESCAPE), "title")) == 128
    with pytest.raises(ItsmInvalidRequestError, match="title has 129 characters"):
        prepared(create(title=ROCKET * 14 + "abc"), FourByte.ESCAPE)
    with pytest.raises(ItsmInvalidRequestError, match="title has 129 characters"):
        prepared(create(title=ROCKET + '"' * 20), FourByte.ESCAPE)


def test_a_dynamic_field_that_gets_too_long_is_refused_since_itsm_leaves_an_orphan():
    fields = [{"name": ROCKET * 4, "type": "STRING", "value": "v"}]
    call = calls.create_ticket(creator="carol", fields={"title": "t"}, service_id=1, dynamic_fields=fields)
    with pytest.raises(ItsmInvalidRequestError, match="36 characters"):
        prepared(call, FourByte.ESCAPE)


def test_a_message_is_cut_between_characters():
    call = calls.operate_ticket(sn="REQ1", action_type="WITHDRAW", operator="carol", action_message=ROCKET * 255)
    message = (prepared(call, FourByte.ESCAPE).body or {})["action_message"]
    assert message == "[U+1F680]" * 28
