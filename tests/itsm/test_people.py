# SPDX-License-Identifier: Apache-2.0
"""Lists of people: whatever their spelling, ITSM asks exactly the people who are meant."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.people import NAME_LIMIT, join_people, person_key, read_people, read_person


@pytest.mark.parametrize(
    "spelling",
    [
        "alice,bob",
        "alice, bob",
        " alice ,\tbob , ",
        "alice,,bob,",
        "alice;bob",
        "alice； bob",  # noqa: RUF001
        "alice，bob",
        "alice、bob",
        "alice\nbob\r\n",
        "alice,bob,alice",
        ["alice", "bob"],
        ("alice", "bob"),
        ["alice", "", None, " bob "],
        ["alice,bob"],
        [["alice"], ["bob", "alice"]],
        {"bob", "alice"},
        frozenset({"bob", "alice"}),
        (name for name in ("alice", "bob")),
        '["alice","bob"]',
        ' ["alice", "bob"]\n',
        "['alice', 'bob']",
        "('alice', 'bob')",
        "{'bob', 'alice'}",
        '"alice,bob"',
        "'alice', 'bob'",
        '["alice, bob"]',
    ],
)
def test_every_spelling_asks_the_same_two_people(spelling: object) -> None:
    assert join_people("APPROVER", spelling) == "alice,bob"


@pytest.mark.parametrize("nobody", [None, "", " ", ",", "[]", "()", "['']", [], (), set(), [None, ""]])
def test_nobody_is_an_empty_text(nobody: object) -> None:
    assert join_people("APPROVER", nobody) == ""
    assert read_person("owner", nobody) == ""


def test_names_of_digits_survive_a_native_template() -> None:
    assert read_people("APPROVER", (1001, 1002)) == ("1001", "1002")
    assert join_people("APPROVER", 1001) == "1001"
    assert join_people("APPROVER", "[1001, 1002]") == "1001,1002"


@pytest.mark.parametrize("name", ["alice", "a.b-c_d", "alice@example.com", "王芳", "3f2a", "A" * NAME_LIMIT])
def test_what_may_be_a_name_is_one(name: str) -> None:
    assert read_people("APPROVER", name) == (name,)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("alice bob", "'alice bob' cannot be a person's name, it holds a blank"),
        ("alice,b ob", "'b ob'"),
        ("[alice, bob]", r"'\[alice' cannot be a person's name, it holds \["),
        ('["alice", "bob"', 'it holds " \\['),
        ("o'brien", "it holds '"),
        ("<b>alice</b>", "it holds / < >"),
        ("alice&bob", "it holds &"),
        ("ali\x00ce", "it holds a control character"),
        ("ali\u200bce", "it holds a control character"),
        ("None", "'None' cannot be a person's name, it is what a template makes of a value that is not there"),
        (["alice", "null"], "'null'"),
        ("x" * (NAME_LIMIT + 1), f"longer than {NAME_LIMIT} characters"),
        ("{'name': 'alice'}", "cannot be a person's name"),
        ("{{ params.approvers }}", "cannot be a person's name"),
        ({"name": "alice"}, "must be names of people"),
        (b"alice", "must be names of people"),
        (True, "must be names of people"),
        (1.5, "must be names of people"),
        (["alice", {"a": 1}], "must be names of people"),
    ],
)
def test_what_cannot_be_a_name_is_refused_with_its_place(given: object, place: str) -> None:
    with pytest.raises(ItsmInvalidRequestError, match=f"^APPROVER.*{place}.*nothing was sent to ITSM"):
        read_people("APPROVER", given)


@pytest.mark.parametrize(
    "display", ["alice(Alice)", "alice（爱丽丝）", "bob,alice (Alice A.)", "alice(Alice, A.)"]
)
def test_a_display_form_is_refused_with_the_name_to_give(display: str) -> None:
    with pytest.raises(ItsmInvalidRequestError, match="give the login name only: alice;"):
        read_people("approvals", display)


def test_a_field_for_one_person_takes_one() -> None:
    assert read_person("owner", ["alice", "alice"]) == "alice"
    with pytest.raises(ItsmInvalidRequestError, match="owner takes one person, not 2: alice, bob"):
        read_person("owner", "alice,bob")


def test_a_long_value_is_not_repeated_whole_in_the_error() -> None:
    with pytest.raises(ItsmInvalidRequestError) as caught:
        read_people("APPROVER", "x " * 1000)
    assert len(str(caught.value)) < 300


NAMES = strategies.lists(strategies.from_regex(r"[a-z][a-z0-9_.-]{0,20}", fullmatch=True), unique=True)


@given(NAMES)
def test_all_spellings_of_a_list_are_one(names: list[str]) -> None:
    spellings = (names, tuple(names), ",".join(names), "; ".join(names), json.dumps(names), str(names))
    assert {join_people("APPROVER", one) for one in spellings} == {",".join(names)}


@given(strategies.text())
def test_what_is_read_from_any_text_is_read_again_from_its_own_spelling(text: str) -> None:
    try:
        names = read_people("APPROVER", text)
    except ItsmInvalidRequestError:
        return
    assert read_people("APPROVER", ",".join(names)) == names
    assert not any(set(name) & set(" ,;\"'<>") for name in names)


@pytest.mark.parametrize("other", ["Jose\u0301", "ＪＯＳÉ", "josé（José）", "josé", "jo\u200bsé", "\u202ejosé"])
def test_p3_one_name_is_one_person_in_whatever_unicode_form(other: str) -> None:
    assert person_key(other) == person_key("José")
