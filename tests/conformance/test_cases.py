# SPDX-License-Identifier: Apache-2.0
"""All 63 conformance cases have a test."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conformance.test_create import REFUSED


def test_no_case_is_left_out():
    text = "".join(one.read_text(encoding="utf-8") for one in Path(__file__).parent.glob("test_*.py"))
    assert {int(one) for one in re.findall(r"test_case_(\d+)_", text)} | set(REFUSED) == set(range(1, 64))
