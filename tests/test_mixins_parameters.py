# SPDX-License-Identifier: Apache-2.0
"""What templates leave of a parameter, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.mixins import json_value, number


@pytest.mark.parametrize("given", [12, "12", " 12\n"])
def test_a_number_is_read_from_text(given: object) -> None:
    assert number("hosts", given) == 12


@pytest.mark.parametrize("given", ["", "twelve", "1.5", None])
def test_what_is_no_number_is_named(given: object) -> None:
    with pytest.raises(ItsmConfigurationError, match=f"hosts must be a number, not {given!r}"):
        number("hosts", given)


@pytest.mark.parametrize(
    ("given", "read"), [('{"a": [1]}', {"a": [1]}), ({"a": 1}, {"a": 1}), ("{'a': 1}", "{'a': 1}"), ("", "")]
)
def test_json_text_is_read_and_other_text_left_to_who_refuses_it(given: Any, read: Any) -> None:
    assert json_value(given) == read
