# SPDX-License-Identifier: Apache-2.0
"""What the platform's web framework converts, and what it refuses, by place."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.sandbox.bklog.serializing import (
    Invalid,
    choice,
    flag,
    listed,
    nullable,
    optional,
    required,
    structure,
    text,
    whole,
)


@pytest.mark.parametrize(
    ("read", "given", "found"),
    [
        (whole(), "7", 7),
        (whole(), " 7 ", 7),
        (whole(), 7.0, 7),
        (whole(), "7.00", 7),
        (whole(), -1, -1),
        (whole(least=1), 1, 1),
        (text(), " a ", "a"),
        (text(), 5, "5"),
        (text(), 5.5, "5.5"),
        (text(blank=True), "", ""),
        (text(blank=True, trim=False), " ", " "),
        (flag, "Yes", True),
        (flag, "OFF", False),
        (flag, 1.0, True),
        (flag, 0, False),
        (choice(1, 2, 3), "2", 2),
        (nullable(whole()), None, None),
        (listed(whole()), ["1", 2], [1, 2]),
    ],
)
def test_what_is_converted(read, given, found):
    assert read(given) == found


@pytest.mark.parametrize(
    ("read", "given", "places"),
    [
        (whole(), True, [""]),
        (whole(), 7.5, [""]),
        (whole(), 1e30, [""]),
        (whole(), "9" * 1001, [""]),
        (whole(), [7], [""]),
        (whole(least=1), 0, [""]),
        (text(), " ", [""]),
        (text(), False, [""]),
        (text(), {}, [""]),
        (text(), "a\x00", [""]),
        (text(), "\ud800", [""]),
        (flag, "perhaps", [""]),
        (flag, 2, [""]),
        (flag, [], [""]),
        (choice(1, 2, 3), True, [""]),
        (choice(1, 2, 3), 2.0, [""]),
        (listed(), "ab", [""]),
        (listed(), {"a": 1}, [""]),
        (listed(whole()), [1, None, "x"], ["[1]", "[2]"]),
        (structure({"a": required(text())}), [], [""]),
        (structure({"a": required(text()), "b": optional(text())}), {"b": None}, ["a", "b"]),
        (
            structure({"a": required(listed(structure({"b": required(whole())})))}),
            {"a": [{"b": 1}, {}]},
            ["a[1].b"],
        ),
    ],
)
def test_what_is_refused_and_where(read, given, places):
    with pytest.raises(Invalid) as caught:
        read(given)
    assert list(caught.value.places) == places


def test_absent_keys_get_their_default_and_unknown_keys_are_dropped():
    read = structure({"a": optional(listed(), []), "b": optional(text()), "c": optional(text(), None)})
    first, second = read({"d": 1}), read({})
    assert first == second == {"a": [], "c": None}
    assert first["a"] is not second["a"]
