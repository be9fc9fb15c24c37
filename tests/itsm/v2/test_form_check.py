# SPDX-License-Identifier: Apache-2.0
"""A form is refused if the real server refuses it or cannot work with it, and passes otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.form import read_form
from airflow_provider_bkitsm.itsm.v2.form_check import (
    FAST_APPROVAL_FIELDS,
    checked_form,
    fitting_title,
)
from airflow_provider_bkitsm.itsm.v2.html_filter import stored_title, unclosed_element
from airflow_provider_bkitsm.itsm.v2.models import ServiceDetail, ServiceField
from tests.record import ANSWERS, EVIDENCE
from tests.tables import table

RECORDED = {**ANSWERS, **{name: one for name, one in EVIDENCE.items() if one["kind"] == "api"}}
SERVICES = {
    str(detail.service_id): detail.fields
    for name, one in RECORDED.items()
    if name.startswith("get_service_detail__") and one["body"]["result"]
    for detail in [ServiceDetail.model_validate(one["body"]["data"])]
}
# Services 2 (the built-in approval, in that recording) and those imported with the same submit form as 22.
SERVICES["2"] = FAST_APPROVAL_FIELDS
SERVICES["21"] = SERVICES["19"] = SERVICES["22"]

# What a service's description cannot say: choices that ITSM fetches from an API.
NOT_IN_THE_DESCRIPTION = {"log_search_unknown_business"}
# Four-byte characters depend on the server's database; the connection says what becomes of them.
FOUR_BYTES = {"content_emoji", "field_string_emoji", "field_text_emoji"} | {
    "title_emoji",
    "title_emoji_imported_service",
}
# Taken by the server unchecked, though an approver cannot read a date in it, or the title's marker is gone.
REFUSED_THOUGH_TAKEN = {"field_date_word", "field_datetime_word", "title_script_tag_swallows_the_rest"}
# Taken by the server, and the flow then never asks anybody.
HANGING = {"field_int_empty", "field_int_word", "log_search_int_word", "title_128_quotes"}
# Their refusal has another cause than a field: service, creator, meta, method, body.
OTHER_CAUSES = {"dynamic_fields_bad", "empty_creator", "fields_dict", "meta_null", "meta_string"} | {
    "meta_state_processors_empty",
    "meta_state_processors_unknown_node",
}


def requests() -> dict[str, tuple[tuple[ServiceField, ...], Any, bool]]:
    """Return each recorded form with the description of its service, and whether the server took it."""
    found = {}
    for name, one in RECORDED.items():
        body, answer = one.get("request"), one.get("body")
        if not name.startswith("create_ticket__") or not isinstance(body, dict) or not isinstance(answer, dict):
            continue
        service = "2" if body.get("fast_approval") else str(body.get("service_id"))
        situation = name.removeprefix("create_ticket__")
        if service in SERVICES and situation not in OTHER_CAUSES and body.get("creator"):
            found[situation] = (SERVICES[service], body.get("fields"), bool(answer["result"]))
    return found


REQUESTS = requests()
REFUSED = {name for name, (_, _, taken) in REQUESTS.items() if not taken} | HANGING | REFUSED_THOUGH_TAKEN
REFUSED -= FOUR_BYTES | NOT_IN_THE_DESCRIPTION


def test_most_recorded_forms_are_looked_at() -> None:
    assert len(REQUESTS) >= 115
    assert not (REFUSED | FOUR_BYTES | NOT_IN_THE_DESCRIPTION) - set(REQUESTS)


@table("situation", sorted(set(REQUESTS) - REFUSED - FOUR_BYTES))
def test_what_the_server_takes_and_can_work_with_passes(situation: str) -> None:
    fields, form, _ = REQUESTS[situation]
    sent = checked_form(fields, read_form(form))
    people = {field.key for field in fields if field.type in ("MEMBER", "MEMBERS")}
    given = {one["key"]: one["value"] for one in form}
    assert {key: value for key, value in sent.items() if key not in people} == {
        key: value for key, value in given.items() if key not in people
    }


@pytest.mark.parametrize("situation", sorted(REFUSED))
def test_what_the_server_refuses_or_hangs_on_is_refused_with_its_place(situation: str) -> None:
    fields, form, _ = REQUESTS[situation]
    with pytest.raises(ItsmInvalidRequestError, match="no ticket was opened") as caught:
        checked_form(fields, read_form(form))
    problems = [line for line in str(caught.value).splitlines() if line.startswith("- ")]
    assert problems
    named = {line[2:].split(":")[0] for line in problems}
    given = {one["key"] for one in form or ()} - {"title"} or {"title"}
    if situation.startswith("field_"):
        assert named == given
    if situation.startswith("title_"):
        assert named == {"title"}


@pytest.mark.parametrize(
    ("situation", "asked"),
    [
        ("field_members_list", {"f_members": "alice,bob"}),
        ("field_members_comma_space", {"f_members": "alice,bob"}),
        ("field_member_list", {"f_member": "alice"}),
        ("approver_list", {"approver": "alice,bob"}),
        ("approver_semicolon", {"approver": "alice,bob"}),
        ("approver_trailing_comma", {"approver": "alice,bob"}),
        ("approver_comma_space", {"approver": "alice,bob"}),
        ("approver_list_json", {"APPROVER": "admin,admin2"}),
    ],
)
def test_recorded_spellings_that_asked_nobody_now_ask_the_people_meant(situation: str, asked: dict) -> None:
    fields, form, _ = REQUESTS[situation]
    assert asked.items() <= checked_form(fields, read_form(form)).items()


def field(kind: str, **more: Any) -> ServiceField:
    return ServiceField(**{"key": "it", "type": kind, "validate_type": "OPTION"} | more)


def problem(one: ServiceField, value: object, *others: ServiceField, **form: object) -> str:
    """Return what is said of a value; an empty text if it passes."""
    try:
        checked_form([one, *others], {"it": value, **form})
    except ItsmInvalidRequestError as error:
        return str(error)
    return ""


AB = [{"key": "a", "name": "First"}, {"key": "b", "name": "Second"}]


@pytest.mark.parametrize("value", [None, 0, 12, -3, 1.5, "12", "-3", "1.5", " 7 "])
def test_a_number_passes(value: object) -> None:
    assert problem(field("INT"), value) == ""


@pytest.mark.parametrize("value", ["", " ", "big", "1,5", "nan", "inf", True, [1], {}, "0x10"])
def test_p3_what_makes_the_flow_hang_is_no_number(value: object) -> None:
    assert "- it: must be a number" in problem(field("INT"), value)


def test_a_required_number_may_be_zero_and_not_empty() -> None:
    assert problem(field("INT", validate_type="REQUIRE"), 0) == ""
    assert "- it: required, but empty" in problem(field("INT", validate_type="REQUIRE"), "")


@pytest.mark.parametrize("value", ["a", "", "b"])
@pytest.mark.parametrize("kind", ["SELECT", "RADIO"])
def test_a_key_is_a_choice(kind: str, value: object) -> None:
    assert problem(field(kind, choice=AB), value) == ""


@pytest.mark.parametrize(("value", "hint"), [("First", "give 'a'"), ("B", "give 'b'"), ("z", "'a' (First), 'b'")])
@pytest.mark.parametrize("kind", ["SELECT", "RADIO", "MULTISELECT", "CHECKBOX"])
def test_a_wrong_choice_is_refused_with_the_key_to_give(kind: str, value: str, hint: str) -> None:
    assert hint in problem(field(kind, choice=AB), value)


def test_a_truth_value_is_refused_with_the_key_to_give() -> None:
    choices = [{"key": "true", "name": "Yes"}, {"key": "false", "name": "No"}]
    assert "give 'true'" in problem(field("RADIO", choice=choices), True)


@pytest.mark.parametrize(("value", "hint"), [(["a", "b"], "'a,b'"), ("a, b", "no blanks"), ("a,", "no blanks")])
@pytest.mark.parametrize("kind", ["MULTISELECT", "CHECKBOX"])
def test_several_choices_are_one_text(kind: str, value: object, hint: str) -> None:
    assert hint in problem(field(kind, choice=AB), value)
    assert problem(field(kind, choice=AB), "b,a") == ""


def test_choices_that_only_itsm_knows_pass() -> None:
    for source in ("API", "DATADICT", "RPC", "CUSTOM_API"):
        assert problem(field("SELECT", source_type=source), 2) == ""
        assert problem(field("MULTISELECT", source_type=source, choice=AB), "z") == ""


def test_a_tree_takes_the_id_of_any_node() -> None:
    tree = [{"id": 1, "name": "all", "children": [{"id": 2, "name": "part", "children": []}]}]
    assert problem(field("TREESELECT", choice=tree), "2") == problem(field("TREESELECT", choice=tree), 1) == ""
    assert "must be the id" in problem(field("TREESELECT", choice=tree), "part")
    keyed = [{"id": "1", "key": "all", "name": "all", "children": []}]
    assert "must be the id" in problem(field("TREESELECT", choice=keyed), "all")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("DATE", "2026-12-01"),
        ("DATETIME", "2026-12-01 08:00:00"),
        ("DATETIME", "2026-12-01T08:00:00Z"),
        ("DATE", ""),
        ("DATE", "2026/12/1"),
        ("DATE", "2026年12月1日"),
        ("DATETIME", "2026.12.01 8:00"),
        ("DATETIME", "2026-12-01 08:00:00.5"),
    ],
)
def test_a_date_passes(kind: str, value: str) -> None:
    assert problem(field(kind), value) == ""


@pytest.mark.parametrize("value", ["tomorrow", "2026-13-01", "2026/2/30", 20261201, ["2026-12-01"]])
@pytest.mark.parametrize("kind", ["DATE", "DATETIME"])
def test_what_is_no_date_is_refused(kind: str, value: object) -> None:
    assert "such as 2026-12-01" in problem(field(kind), value)


def test_a_date_that_the_service_compares_needs_its_very_format() -> None:
    assert "such as 2026-12-01" in problem(field("DATE", regex="AFTER_DATE"), "2026-12-01 08:00:00")
    assert "such as 2026-12-01" in problem(field("DATE", regex="AFTER_DATE"), "2026/12/01")
    assert problem(field("DATE", regex="AFTER_DATE"), "2026-12-01") == ""


COLUMNS = [{"key": "host", "name": "Host", "required": True}, {"key": "size", "name": "Size"}]


@pytest.mark.parametrize("rows", [None, [], [{"host": "h"}], [{"size": "1"}], [{"host": "h", "size": ""}]])
def test_a_table_is_a_list_of_objects(rows: object) -> None:
    assert problem(field("TABLE", choice=COLUMNS), rows) == ""


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        ([{"host": "h"}, {"host": ""}], "row 2: host (Host) is required"),
        ([{"host": 0}], "row 1: host"),
        ("word", "list of objects"),
        ({"host": "h"}, "list of objects"),
        (["h"], "list of objects"),
    ],
)
def test_a_table_that_the_server_refuses_is_refused(rows: object, place: str) -> None:
    assert place in problem(field("TABLE", choice=COLUMNS), rows)
    assert place in problem(field("CUSTOMTABLE", meta={"columns": COLUMNS}), rows)


def test_a_pattern_of_the_service_must_match_the_beginning() -> None:
    assert problem(field("STRING", custom_regex=r"\d+"), "12ab") == ""
    assert r"must match '\\d+'" in problem(field("STRING", custom_regex=r"\d+"), "ab12")
    assert problem(field("STRING", custom_regex="("), "x") == ""


def hidden(condition: dict[str, Any], *, join: str = "and", kind: str = "STRING") -> ServiceField:
    """Return a required field that is hidden where a condition on ``other`` holds."""
    conditions = {"type": join, "expressions": [{"key": "other", "type": "RADIO", **condition}]}
    return field(kind, validate_type="REQUIRE", show_type=0, show_conditions=conditions)


OTHER = ServiceField(key="other", type="STRING", validate_type="OPTION")


@pytest.mark.parametrize(("kind", "empty"), [("STRING", ""), ("MEMBERS", ""), ("INT", None)])
def test_a_hidden_required_field_is_sent_as_empty(kind: str, empty: object) -> None:
    one = hidden({"condition": "==", "value": "true"}, kind=kind)
    assert checked_form([one, OTHER], {"other": "true"}) == {"other": "true", "it": empty}
    with pytest.raises(ItsmInvalidRequestError, match="- it: required, but missing"):
        checked_form([one, OTHER], {"other": "false"})


@pytest.mark.parametrize(
    ("condition", "other", "is_hidden"),
    [
        ({"condition": "!=", "value": "true"}, "false", True),
        ({"condition": ">", "value": "5", "type": "INT"}, 7, True),
        ({"condition": "<=", "value": 5, "type": "INT"}, "7", False),
        ({"key": "G_INT_1"}, "x", True),
        ({"condition": "resembles", "value": "x"}, "y", True),
        ({"condition": "==", "value": "x"}, None, True),
    ],
)
def test_a_condition_that_is_not_understood_refuses_nothing(
    condition: dict[str, Any], other: object, is_hidden: bool
) -> None:
    said = problem(hidden(condition), "", OTHER, other=other)
    assert ("required" not in said) is is_hidden


def test_a_field_with_a_default_may_be_left_out() -> None:
    one = field("STRING", validate_type="REQUIRE", default="x")
    assert checked_form([one], {}) == {}


TITLE = ServiceField(key="title", type="STRING")


@pytest.mark.parametrize(
    ("title", "what"),
    [
        ("x" * 129, "129 characters"),
        ('"' * 22, "132 characters as ITSM stores it"),
        ("a <script> b", "<script> without its end"),
        ("a <STYLE media='x'> b", "<style> without its end"),
        ("a <script> b </script", "<script> without its end"),
        ("a <script>x</script> <script src=x<b>", "<script> without its end"),
        (12, "must be text"),
    ],
)
def test_a_title_that_the_server_refuses_or_loses_is_refused(title: object, what: str) -> None:
    with pytest.raises(ItsmInvalidRequestError, match=f"- title: .*{what}"):
        checked_form([TITLE], {"title": title})


def test_a_closed_tag_swallows_nothing() -> None:
    assert unclosed_element("a <script>s</script> b <b>c") is None
    assert checked_form([TITLE], {"title": "a <script>s</script> <b>c"})


@pytest.mark.parametrize(
    "title",
    ["x" * 200, '"' * 100, "a <script> b", "<" * 60, "ok", "<style><script>" * 9, f"<script>{'x' * 100}</script>"],
)
def test_a_notifiers_title_is_cut_until_it_fits(title: str) -> None:
    cut = fitting_title(title, 100)
    assert len(stored_title(cut)) <= 100
    assert len(cut) <= 100
    assert unclosed_element(cut) is None
    assert (cut == title) is (title == "ok")


def test_all_problems_and_the_fields_there_are_are_said_at_once() -> None:
    form = [TITLE, field("SELECT", key="size", name="Size", choice=AB), field("MEMBERS", key="who")]
    with pytest.raises(ItsmInvalidRequestError) as caught:
        checked_form(form, {"title": "", "size": "First", "who": "a b", "colour": "red"})
    assert str(caught.value).splitlines() == [
        "the ticket's form cannot be sent; no ticket was opened:",
        "- who: 'a b' cannot be a person's name, it holds a blank (names have commas between them)",
        "- colour: unknown to this service",
        "- title: required, but empty",
        "- size: must be the key of one choice, not 'First'; give 'a' (choices: 'a' (First), 'b' (Second))",
        "The service's fields:",
        "  title: STRING, required",
        "  size (Size): SELECT, optional, choices 'a' (First), 'b' (Second)",
        "  who: MEMBERS, optional",
    ]
