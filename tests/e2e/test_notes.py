# SPDX-License-Identifier: Apache-2.0
"""What waits is seen where one looks: the waiting task's note, the DAG's tab, the count on Home."""

from __future__ import annotations

from contextlib import suppress

import pytest
from airflow import __version__ as airflow_version
from selenium.common.exceptions import WebDriverException

from demo.airflow_api import wait_until
from demo.browser import Browser
from tests.e2e.browsing import needs_a_browser, row
from tests.e2e.gates import Gate

EVIL = "www.evil.example.com"
MINE = "I called alice, she looks at it on Monday"
# A note is looked at every 20 s on average, on a busy machine less often.


def note(one: Gate) -> str:
    return one.api.task(one.dag, one.run, "wait")["note"] or ""


def notes(one: Gate, text: str) -> str:
    """Wait until a waiting task's note holds a text."""
    return wait_until(lambda: found if text in (found := note(one)) else None, lambda: note(one))


def has_none(one: Gate) -> None:
    wait_until(lambda: not note(one), lambda: note(one))


def shows_note(page: Browser, airflow, one: Gate, text: str) -> None:
    """Open a waiting task's page, and see its note there."""
    page.open(f"{airflow.url}/dags/{one.dag}/runs/{one.run}/tasks/wait")
    if airflow_version.startswith("3.1."):
        page.wait(lambda: _open_note(page), "no button with the note")
    # There each name has a line of its own.
    page.wait(lambda: "".join(text.split()) in "".join(page.text().split()), "no note on the task's page")


def _open_note(page: Browser) -> bool:
    """Click the button behind which Airflow 3.1 has the note."""
    with suppress(WebDriverException):
        button = next((one for one in page.all("button") if one.text in ("Note", "笔记")), None)
        if button is not None:
            button.click()
            return True
    return False


def leads_to_its_ticket(page: Browser, one: Gate) -> None:
    """Follow the link of the note on a task's page."""
    tab = page.one("a[href*='runs'][href*='plugin/bkitsm-ticket']", text=one.sn).get_attribute("href")
    page.open(str(tab))
    page.into_frame("bkitsm/ticket")
    page.one("body", text=one.sn)


def write(one: Gate, text: str) -> None:
    """Write a note as a person does on the task's page."""
    where = f"dags/{one.dag}/dagRuns/{one.run}/taskInstances/wait"
    one.api.call("PATCH", where, params={"update_mask": "note"}, json={"note": text})


@pytest.fixture(scope="module")
def waits(airflow, control) -> dict[str, Gate]:
    """Start a run for each test at once."""
    asked = {**dict.fromkeys(("first", "followed", "kept", "beside_it"), "alice"), "evil": EVIL}
    opened = {name: Gate.open(airflow, control, "noted", approver=person) for name, person in asked.items()}
    for name, one in opened.items():
        notes(one.waits(), f"waits for `{asked[name]}`")
    return opened


@pytest.fixture(scope="module")
def first(waits) -> Gate:
    return waits["first"]


def test_the_note_says_who_has_to_act_follows_the_ticket_and_ends_with_the_wait(airflow, control, waits):
    one = waits["followed"]
    text = notes(one, "**BlueKing ITSM**: waits for `alice` at `一级审批` until ")
    tab = f"{airflow.url}/dags/noted/runs/{one.run.replace(':', '%3A').replace('+', '%2B')}/tasks/wait"
    assert text.endswith(f"[ticket `{one.sn}`]({tab}/plugin/bkitsm-ticket)")
    control.approve(one.sn, operator="alice")
    notes(one, "waits for `admin` at `二级审批` until ")
    control.approve(one.sn, operator="admin")
    assert one.end() == "success"
    has_none(one)


def test_a_persons_own_note_survives_the_wait_and_its_end(control, waits):
    one, other = waits["kept"], waits["beside_it"]
    write(one, MINE)
    for each in (one, other):
        control.approve(each.sn, operator="alice")
    # Another task's note changes: the notes were looked at.
    notes(other, "waits for `admin`")
    assert note(one) == MINE
    control.approve(one.sn, operator="admin")
    assert one.end() == "success"
    other.api.set_task_state(other.dag, other.run, "wait", "failed")
    has_none(other)
    assert note(one) == MINE


@needs_a_browser
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_the_tasks_page_shows_it_and_leads_to_the_ticket(page, airflow, first, language):
    page.prefer(language=language)
    shows_note(page, airflow, first, "waits for alice at 一级审批")
    leads_to_its_ticket(page, first)


@needs_a_browser
@pytest.mark.since_airflow("3.3", "which of the two is shown is stored otherwise before")
@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize(
    ("view", "task"), [("grid", "a[href$='/runs/{0}/tasks/wait']"), ("graph", "[data-testid=rf__node-wait] a")]
)
def test_grid_and_graph_lead_to_the_ticket(page, airflow, first, language, view, task):
    page.prefer(language=language)
    page.script(f"localStorage.setItem('default_dag_view', JSON.stringify('{view}'))")
    page.open(f"{airflow.url}/dags/noted/runs/{first.run}")
    page.click(task.format(first.run))
    page.click("a[title=Ticket][href$='plugin/bkitsm-ticket']")
    page.into_frame("bkitsm/ticket")
    page.one("body", text=first.sn)


@needs_a_browser
def test_nothing_in_it_becomes_a_link(page, airflow, waits):
    one = waits["evil"]
    shows_note(page, airflow, one, f"waits for {EVIL}")
    assert page.all("a[href*='evil']") == []


@needs_a_browser
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_the_dags_tab_shows_what_waits_in_the_dag(page, airflow, first, evil, language):
    evil.waits()
    page.prefer(language=language)
    page.open(f"{airflow.url}/dags/noted/plugin/bkitsm-dag-approvals")
    page.into_frame("bkitsm/approvals")
    row(page, first.sn, "waiting")
    assert page.all(f"tr[data-sn='{evil.sn}']") == []


@needs_a_browser
@pytest.mark.parametrize(("language", "words"), [("en", "wait"), ("zh-CN", "待处理")])
def test_home_counts_what_waits(page, airflow, first, language, words):
    page.prefer(language=language)
    page.open(airflow.url)
    page.one("#bkitsm-waiting", text=words)
    page.click("#bkitsm-waiting")
    page.into_frame("bkitsm/approvals")
    row(page, first.sn, "waiting")
