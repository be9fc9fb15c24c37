# SPDX-License-Identifier: Apache-2.0
"""A form may be given as a mapping, as ITSM's list, or as the text that a template renders of either."""

from __future__ import annotations

import json

import pytest

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.form import check_form_text, comparable, is_storable, read_form

FORM = {"APPROVER": ["alice"], "size": 1}
PAIRS = [{"key": "APPROVER", "value": ["alice"]}, {"key": "size", "value": 1, "type": "INT"}]


@pytest.mark.parametrize(
    "given", [FORM, PAIRS, tuple(PAIRS), json.dumps(FORM), json.dumps(PAIRS), str(FORM), f" {PAIRS}\n"]
)
def test_every_spelling_is_the_same_form(given: object) -> None:
    assert read_form(given) == FORM


@pytest.mark.parametrize("given", [None, {}, [], "{}", "[]"])
def test_nothing_is_an_empty_form(given: object) -> None:
    assert read_form(given) == {}


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("some text", "fields must be a mapping .*, not 'some text'"),
        ("", "fields must be a mapping"),
        ("5", "fields must be a mapping"),
        (5, "fields must be a mapping"),
        ({1: "x"}, "fields must be a mapping"),
        ([{"key": "a", "value": 1}, "b"], r"fields\[1\] must be an object with key and value"),
        ([{"key": "a"}], r"fields\[0\] must be"),
        ([{"key": 1, "value": 1}], r"fields\[0\] must be"),
        ([{"key": "a", "value": 1}, {"key": "a", "value": 2}], r"fields\[1\] gives 'a' a second time"),
    ],
)
def test_anything_else_is_refused_with_its_place(given: object, place: str) -> None:
    with pytest.raises(ItsmInvalidRequestError, match=f"{place}.*no ticket was opened"):
        read_form(given)


@pytest.mark.parametrize("given", ["{{ params.form }}", "{% if x %}{}{% endif %}", '{"a": 1}', None, FORM, PAIRS])
def test_a_template_may_become_a_form_and_is_left_alone(given: object) -> None:
    check_form_text(given)


def test_a_text_that_no_template_changes_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(ItsmInvalidRequestError, match="not 'some text'"):
        check_form_text("some text")


def test_sets_are_compared_in_one_order() -> None:
    assert comparable({"a": {"c", "b"}, "d": ({2, 10},)}) == {"a": ["b", "c"], "d": [[10, 2]]}


@pytest.mark.parametrize("text", ["\0", "a\ud800", "\\\0"])
def test_nul_and_halves_of_characters_are_found_wherever_they_are(text: str) -> None:
    assert not any(map(is_storable, (text, {text: 1}, [{"a": (1, text)}])))


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "审批 😀", "\x01"])
def test_letters_behind_a_backslash_are_no_nul(text: str) -> None:
    assert is_storable({text: [text]})
