# SPDX-License-Identifier: Apache-2.0
"""Telling mutants apart."""

from __future__ import annotations

import pytest

from tests.mutation.mutants import functions, mutant, status_of

SOURCE = """
def x_f__mutmut_orig(a):
    if a < 1:
        raise ValueError(f"{a} is too small" " to be taken")
    return g(a, key="sn", size=10)
"""
NAME = "airflow_provider_bkitsm.itsm.v2.calls.x_f__mutmut_1"


def made(old: str, new: str):
    changed = SOURCE.replace("_orig", "_1").replace(old, new)
    return mutant(NAME, "survived", functions(SOURCE + changed))


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("a < 1", "a <= 1", "a < 1 => a <= 1"),
        ("size=10", "size=11", "size=10 => size=11"),
        ("size=10", "size=None", "size=10 => size=None"),
        ('"sn"', '"SN"', "'sn' => 'SN'"),
        (", size=10", "", "g(a, key='sn', size=10) => g(a, key='sn')"),
        ("g(a, ", "g(None, ", "g(a, key='sn', size=10) => g(None, key='sn', size=10)"),
    ],
)
def test_a_change_is_shown_as_small_as_it_can_be_understood(old, new, change):
    found = made(old, new)
    assert (found.change, found.function, found.is_text) == (change, "itsm.v2.calls.f", False)


@pytest.mark.parametrize(("new", "is_text"), [('f"{a} is too small" "XX to be takenXX"', True), ("None", False)])
def test_other_words_of_a_message_are_told_from_its_absence(new, is_text):
    found = made('f"{a} is too small" " to be taken"', new)
    assert (found.is_text, found.is_raised) == (is_text, True)


def test_a_text_that_is_a_name_is_no_prose():
    assert not made('"sn"', '"SN"').is_text


def test_a_method_is_named_with_its_class():
    source = SOURCE.replace("x_f", "xǁWaitǁ_f")
    name = "airflow_provider_bkitsm.itsm.wait.xǁWaitǁ_f__mutmut_1"
    found = mutant(name, "killed", functions(source + source.replace("_orig", "_1").replace("10", "11")))
    assert found.function == "itsm.wait.Wait._f"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (0, "survived"),
        (1, "killed"),
        (3, "killed"),
        (33, "no tests"),
        (None, "not run"),
        (36, "timeout"),
        (-24, "timeout"),
    ],
)
def test_exit_codes(code, status):
    assert status_of(code) == status
