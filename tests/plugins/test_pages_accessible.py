# SPDX-License-Identifier: Apache-2.0
"""The pages for everybody: axe-core finds nothing serious on any page, in any theme, language and width."""

# ruff: noqa: F811 - the fixtures of the other file
from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_bkitsm.approvals.rows import TaskKey
from airflow_provider_bkitsm.collectors.row import CollectorRow, Owner
from airflow_provider_bkitsm.itsm.outcome import Outcome
from tests.plugins.browsing import PHONE, decided, needs_a_browser, site, violations, waits, window  # noqa: F401

pytestmark = needs_a_browser
themes = pytest.mark.parametrize("theme", ["light", "dark"])
languages = pytest.mark.parametrize("language", ["en", "zh-CN"])
OUTCOMES = [outcome for outcome in Outcome if outcome.is_final]


@pytest.fixture
def everything(site, waits):
    """Fill the lists: every outcome, a ticket of several tasks, one that is late, and one of somebody else."""
    waits("Wide", *(TaskKey(dag_id="dag", run_id="run", task_id="wait", map_index=index) for index in range(6)))
    waits("Late", hours=-1)
    waits("Theirs", creator="dave")
    site.tickets.founds += [decided(f"It is {outcome}", outcome, "A remark") for outcome in OUTCOMES]
    owner = Owner(dag_id="dag", run_id="run", task_id="wait")
    at = {"created_at": datetime.now(UTC), "updated_at": datetime.now(UTC)}
    site.store.rows.append(CollectorRow(bklog_conn_id="bklog", collector_config_id=7, owner=owner, **at))
    return site


@languages
@themes
@pytest.mark.parametrize("width", ["wide", "phone"])
def test_no_page_has_a_serious_fault(everything, theme, language, width):
    if width == "phone":
        everything.window.driver.set_window_size(*PHONE)
    run = next(one.task.run_id for one in everything.tickets.founds if one.task.run_id.endswith("Late"))
    ticket = f"ticket?dag_id=dag&run_id={run}&task_id=wait&map_index=-1&list=view%3Dall"
    for path in (
        "approvals",
        "approvals?view=decided",
        "approvals?view=all",
        "approvals?search=nothing",
        ticket,
        "collectors",
    ):
        page = everything.open(path, theme=theme, language=language)
        page.one("tbody tr, .empty strong, section.card")
        assert violations(page) == [], path


@languages
@themes
def test_nor_has_a_dialog_or_an_opened_part(everything, theme, language):
    page = everything.open(theme=theme, language=language)
    page.click("tbody summary")
    page.click("#pick-all")
    page.one("#picked")
    assert violations(page) == []
    page.click("#withdraw_many")
    page.one("#reason").send_keys("by mistake")
    assert violations(page) == []
    page.click("#confirm")
    page.one("dialog .notice")
    assert violations(page) == []
    page.script("document.querySelector('dialog').close()")
    page.click("#remind_many")
    page.click("#copy")
    page.one("dialog .notice")
    assert violations(page) == []
    assert page.complaints() == []
