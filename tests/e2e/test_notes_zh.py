# SPDX-License-Identifier: Apache-2.0
"""The note on a waiting task where ``[bkitsm] waiting_note`` is ``zh``."""

from __future__ import annotations

from tests.e2e.browsing import needs_a_browser
from tests.e2e.conftest import POSTGRES
from tests.e2e.gates import Gate
from tests.e2e.test_notes import has_none, leads_to_its_ticket, notes, shows_note

DATABASES = (POSTGRES,)


@needs_a_browser
def test_the_note_is_chinese_follows_the_ticket_and_leads_to_it(page, airflow, control):
    one = Gate.open(airflow, control, "noted", approver="alice").waits()
    notes(one, "**BlueKing ITSM**：等待处理：`alice`，步骤 `一级审批`，截止 ")
    control.approve(one.sn, operator="alice")
    notes(one, "等待处理：`admin`，步骤 `二级审批`，截止 ")
    page.prefer(language="zh-CN")
    shows_note(page, airflow, one, "等待处理：admin，步骤 二级审批")
    leads_to_its_ticket(page, one)
    control.approve(one.sn, operator="admin")
    assert one.end() == "success"
    has_none(one)
