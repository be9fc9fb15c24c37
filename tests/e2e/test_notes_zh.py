# SPDX-License-Identifier: Apache-2.0
"""The note on a waiting task where ``[bkitsm] waiting_note`` is ``zh``."""

from __future__ import annotations

from tests.e2e.browsing import needs_a_browser
from tests.e2e.conftest import POSTGRES
from tests.e2e.test_notes import ask, has_none, notes

DATABASES = (POSTGRES,)


@needs_a_browser
def test_the_note_is_chinese_follows_the_ticket_and_leads_to_it(page, airflow, control):
    one = ask(airflow, control)
    notes(one, "**BlueKing ITSM**：等待处理：`alice`，步骤 `一级审批`，截止 ")
    control.approve(one.sn, operator="alice")
    notes(one, "等待处理：`admin`，步骤 `二级审批`，截止 ")
    page.prefer(language="zh-CN")
    page.open(f"{airflow.url}/dags/noted/runs/{one.run}/tasks/wait")
    page.wait(lambda: "等待处理：admin，步骤 二级审批" in page.text(), "no note on the task's page")
    tab = page.one("a[href*='runs'][href*='plugin/bkitsm-ticket']", text=one.sn).get_attribute("href")
    page.open(tab)
    page.into_frame("bkitsm/ticket")
    page.one("body", text=one.sn)
    control.approve(one.sn, operator="admin")
    assert one.end() == "success"
    has_none(one)
