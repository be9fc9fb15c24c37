# SPDX-License-Identifier: Apache-2.0
"""A collector's row: what it says of itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_bkitsm.collectors.row import state_label
from tests.collectors.test_state import BYPASSED, INTENT, MINE, OPEN, REJECTED, ROWS


def test_predicates() -> None:
    facts = {name: (row.has_apply, row.is_applying, row.has_success) for name, row in ROWS.items()}
    assert facts["nobody"] == (False, False, False)
    assert facts["intent"] == facts["yes"] == (True, True, False)
    assert facts["failed"] == (True, False, False)
    assert facts["done"] == (True, False, True)


@pytest.mark.parametrize(
    ("value", "zh", "en"),
    [
        ("not_apply", "未申请采集接入", "Collection access not applied"),
        ("applying", "采集接入进行中", "Collection access in progress"),
        ("fail_apply", "采集接入失败", "Collection access failed"),
        ("success_apply", "采集接入完成", "Collection access completed"),
        ("frozen", "frozen", "frozen"),
    ],
)
def test_labels(value: str, zh: str, en: str) -> None:
    assert (state_label(value, language="zh"), state_label(value)) == (zh, en)


@pytest.mark.parametrize(("index", "shown"), [(-1, "apply"), (0, "apply[0]"), (2, "apply[2]")])
def test_only_a_mapped_owner_shows_its_index(index: int, shown: str) -> None:
    assert str(replace(MINE, map_index=index)) == f"task {shown} of run run of DAG dag"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (INTENT, "ticket (not known yet) is not decided yet"),
        (OPEN, "ticket SN1 is not decided yet"),
        (REJECTED, "ticket SN1 is rejected"),
        (BYPASSED, "no approval is needed ([bkitsm] collect_itsm = off)"),
        (replace(BYPASSED, outcome_detail=None), "no approval is needed (setting unknown)"),
    ],
)
def test_it_says_how_its_approval_stands(row, said):
    assert row.standing == said
