# SPDX-License-Identifier: Apache-2.0
"""A table of cases in one test: every case is run, and those that fail are named."""

from __future__ import annotations

import pytest

from tests.tables import table


def test_every_case_is_run_and_those_that_fail_are_named():
    seen = []

    @table(("number", "even"), [(1, False), (2, False), (3, True), (4, True)], ids=lambda row: f"case {row[0]}")
    def check(number, even):
        seen.append(number)
        assert (number % 2 == 0) is even

    with pytest.raises(AssertionError) as caught:
        check()
    assert seen == [1, 2, 3, 4]
    assert str(caught.value).startswith("2 of 4 cases fail:\n- case 2: ")
    assert "\n- case 3: " in str(caught.value)
    assert isinstance(caught.value.__cause__, AssertionError)


def test_what_does_not_raise_is_named_too():
    @table("number", ["1", "one"])
    def check(number):
        with pytest.raises(ValueError, match="one"):
            int(number)

    with pytest.raises(AssertionError, match=r"1 of 2 cases fail:\n- '1': DID NOT RAISE"):
        check()


def test_a_table_without_cases_fails():
    @table("number", [])
    def check(number):
        """Never run."""

    with pytest.raises(AssertionError, match="tests nothing"):
        check()


@table("number", [1, 2])
def test_fixtures_are_given_to_each_case(number, tmp_path):
    (tmp_path / str(number)).touch(exist_ok=False)
    assert tmp_path.is_dir()
