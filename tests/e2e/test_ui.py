# SPDX-License-Identifier: Apache-2.0
"""The approvals pages in a real browser, inside a real Airflow."""

from __future__ import annotations

import csv
import json
from functools import partial

import pytest
import requests
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from demo.browser import browser
from tests.e2e.browsing import EVIL, gate, listed, needs_a_browser, row, ticket_tab
from tests.e2e.gates import Gate

pytestmark = needs_a_browser

PAGES = ("approvals", "ticket", "collectors", "assets/approvals.js")
COLLECTOR = "collector?bklog_conn_id=bklog_default&collector_config_id=1001"
ANSWERS = ("approvals", "tickets", "tickets.csv", "collectors", COLLECTOR, "openapi.json")
# Nobody listens there: a callback to it is lost.
NOWHERE = "http://127.0.0.1:9/"


def test_a_ticket_appears_is_approved_and_changes_without_reload(page, airflow, control, itsm):
    page.open(f"{airflow.url}/plugin/bkitsm-approvals")
    page.into_frame("bkitsm/approvals")
    # The tabs move when their numbers come.
    page.one("[data-view=waiting][aria-pressed=true]")
    page.click("[data-view=all]")
    page.one("[data-view=all][aria-pressed=true]")
    page.script("window.sameDocument = 1")
    one = gate(airflow, control, title="Release 7").waits()
    shown = row(page, one.sn, "waiting")
    assert "Release 7" in shown.text
    assert "admin" in shown.text
    with browser() as approver:
        approver.open(f"{itsm.url}/ticket/{control.ticket(one.sn)['id']}")
        approver.click("button[value=approve]")
        approver.one(".badge", text="approved")
    decided = row(page, one.sn, "approved").text
    assert "admin" in decided
    assert "seen by callback" in decided
    assert page.script("return window.sameDocument") == 1
    assert one.end() == "success"


def test_a_wait_says_when_it_was_polled_and_what_a_poll_found(page, airflow, control):
    one = Gate.open(airflow, control, "by_poll", callback_url=NOWHERE).waits()
    listed(page, airflow.url)
    # One note a minute is made for all waits of a connection.
    page.one(f"tr[data-sn='{one.sn}']", text="polled")
    one.decide("approve")
    assert one.end() == "success"
    page.open(ticket_tab(airflow.url, one))
    page.into_frame("bkitsm/ticket")
    page.one("section[data-card=facts]", text="seen by polling")


def test_mine_is_what_has_to_do_with_who_looks(page, viewer, airflow, evil):
    one = evil.waits()
    for window in (page, viewer):
        listed(window, airflow.url)
        row(window, one.sn, "waiting")
        window.click("#mine")
        window.one("#mine[aria-pressed=true]")
        assert "mine=true" in window.driver.current_url
    row(page, one.sn, "waiting")
    viewer.one(".empty", text="Nothing found")


def test_the_menu_leads_to_the_page(page, airflow):
    page.open(f"{airflow.url}/dags")
    page.click("button", text="Browse")
    page.click("a[href*='bkitsm-approvals']", text="Approvals")
    page.into_frame("bkitsm/approvals")
    page.one("h1", text="Approvals")


@pytest.mark.parametrize(("language", "heading"), [("en", "Minutes to decide"), ("zh-CN", "审批用时")])
def test_the_list_is_saved_out_of_airflows_frame(page, airflow, evil, tmp_path, language, heading):
    one = evil.waits()
    page.prefer(language=language)
    page.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    page.open(f"{airflow.url}/plugin/bkitsm-approvals")
    page.into_frame("bkitsm/approvals")
    page.one("#search").send_keys(one.sn)
    page.wait(lambda: len(page.all("tbody tr[data-sn]")) == 1, "not filtered")
    page.click("#csv")
    (file,) = page.wait(lambda: [*tmp_path.glob("approvals-*.csv")], "nothing is saved")
    lines = [*csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines())]
    assert one.sn in [*lines[0].values()]
    assert len(lines) == 1
    assert any(heading in name for name in lines[0])
    # Neither the page nor Airflow's around it has gone anywhere.
    row(page, one.sn, "waiting")
    page.out_of_frame()
    assert page.driver.current_url.startswith(f"{airflow.url}/plugin/bkitsm-approvals")
    assert page.complaints() == []


@pytest.mark.parametrize("where", ["plugin/bkitsm-approvals", "dags/{0}/runs/{1}/plugin/bkitsm-run-approvals"])
def test_the_address_that_people_copy_leads_to_the_same_list(page, airflow, evil, where):
    one = evil.waits()
    page.open(f"{airflow.url}/{where.format(one.dag, one.run)}")
    page.into_frame("bkitsm/approvals")
    page.click("[data-view=decided]")
    page.one("[data-view=decided][aria-pressed=true]")
    page.one("#search").send_keys("no such thing")
    page.one(".empty", text="Nothing found")
    page.out_of_frame()
    page.wait(lambda: "search=no" in page.driver.current_url, "not in the address")
    address = page.driver.current_url
    page.open("about:blank")
    page.open(address)
    page.into_frame("bkitsm/approvals")
    page.one("[data-view=decided][aria-pressed=true]")
    assert page.one("#search").get_property("value") == "no such thing"
    assert page.complaints() == []


def test_the_tab_tells_the_story_and_links_leave_the_frame(page, airflow, evil):
    one = evil.waits()
    page.open(f"{airflow.url}/plugin/bkitsm-approvals")
    page.into_frame("bkitsm/approvals")
    row(page, one.sn, "waiting").find_element(By.CSS_SELECTOR, "td.title a").click()
    page.out_of_frame()
    page.wait(
        lambda: page.driver.current_url.endswith("/tasks/wait/plugin/bkitsm-ticket"), "not on the task's page"
    )
    page.into_frame("bkitsm/ticket")
    page.one("section[data-card=story] li.pending", text="admin")
    page.one("section[data-card=form]", text=EVIL)
    page.click("#open")
    page.wait(lambda: len(page.driver.window_handles) == 2, "ITSM was not opened")
    here, there = page.driver.window_handles
    page.driver.switch_to.window(there)
    page.wait(lambda: one.sn in page.text(), "not on the ticket's page in ITSM")
    page.driver.close()
    page.driver.switch_to.window(here)


def test_a_title_with_a_script_stays_text_everywhere(page, airflow, evil):
    one = evil.waits()
    listed(page, airflow.url)
    assert EVIL in row(page, one.sn, "waiting").text
    page.open(ticket_tab(airflow.url, one))
    page.into_frame("bkitsm/ticket")
    page.one("h1", text=EVIL)
    for _ in range(2):
        assert page.script("return [window.owned, window.parent.owned]") == [None, None]
        assert page.all("img") == []
        listed(page, airflow.url, "search=%3Cscript%3E")
        row(page, one.sn, "waiting")
    assert page.complaints() == []


def test_the_task_that_opened_the_ticket_shows_it_too(page, airflow, evil):
    one = evil.waits()
    page.open(ticket_tab(airflow.url, one, "ask"))
    page.into_frame("bkitsm/ticket")
    page.one("body", text=one.sn)


def test_a_mapped_task_shows_the_ticket_of_its_index(page, airflow, control):
    one = Gate.open(airflow, control, "mapped_tickets")
    address = f"{airflow.url}/bkitsm/approvals?dag_id={one.dag}&run_id={one.run}"
    page.open(address)
    page.wait(lambda: len(page.all("tr[data-status=waiting]")) == 2, "not two waits")
    page.one("tr[data-status=waiting]", text="[1]")
    page.one("tr[data-status=waiting]", text="Second")
    page.open(f"{airflow.url}/dags/{one.dag}/runs/{one.run}/tasks/wait/mapped/1/plugin/bkitsm-ticket")
    page.into_frame("bkitsm/ticket")
    page.one("h1", text="Second")


def test_p8_no_answer_holds_a_signature(airflow, control, evil):
    one = evil.waits()
    _, signed, _ = one.callback()
    task = {"dag_id": one.dag, "run_id": one.run, "task_id": "wait", "view": "all"}
    for path in ("ticket", "approvals"):
        text = json.dumps(airflow.api.call("GET", path, root="bkitsm/api/v1", params=task))
        assert one.sn in text
        assert not [part for part in signed.values() if part in text]
        assert "/bkitsm/callback/" not in text


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_a_run_lists_its_own_tickets(page, airflow, evil, language):
    one = evil.waits()
    page.prefer(language=language)
    page.open(f"{airflow.url}/dags/{one.dag}/runs/{one.run}/plugin/bkitsm-run-approvals")
    page.into_frame("bkitsm/approvals")
    row(page, one.sn, "waiting")
    assert len(page.all("tbody tr")) == 1


def test_a_task_without_a_ticket_says_so(page, airflow):
    page.open(f"{airflow.url}/bkitsm/ticket?dag_id=shown&run_id=none&task_id=none&map_index={{MAP_INDEX}}")
    page.one(".empty", text="No ticket")


def test_who_may_nothing_gets_403_from_every_route(airflow, evil):
    one = evil.waits()
    token = requests.post(
        f"{airflow.url}/auth/token",
        json={"username": "nobody", "password": airflow.password_of("nobody")},
        timeout=30,
    ).json()["access_token"]
    ask = partial(
        requests.request, headers={"Authorization": f"Bearer {token}", "X-Bkitsm-Action": "1"}, timeout=30
    )
    task = {"dag_id": one.dag, "run_id": one.run, "task_id": "wait"}
    said = [ask("GET", f"{airflow.url}/bkitsm/{path}") for path in PAGES]
    said += [ask("GET", f"{airflow.url}/bkitsm/api/v1/{path}") for path in ANSWERS]
    said.append(ask("GET", f"{airflow.url}/bkitsm/api/v1/ticket", params=task))
    wish = {**task, "sn": one.sn, "reason": "mine"}
    said += [ask("POST", f"{airflow.url}/bkitsm/api/v1/ticket/{do}", json=wish) for do in ("withdraw", "remind")]
    assert {answer.status_code for answer in said} == {403}
    assert all(one.sn not in answer.text for answer in said)
    assert all("default-src 'none'" in answer.headers["content-security-policy"] for answer in said)
    bare = [requests.get(answer.url, timeout=30) for answer in said[:-2]]
    assert {answer.status_code for answer in bare} == {401}


@pytest.mark.parametrize(("language", "heading"), [("zh-CN", "审批"), ("en", "Approvals")])
@pytest.mark.parametrize(("theme", "is_dark"), [("dark", True), ("light", False)])
def test_language_and_theme_are_airflows(page, airflow, evil, language, heading, theme, is_dark):
    evil.waits()
    page.prefer(theme=theme, language=language)
    listed(page, airflow.url)
    page.one("h1", text=heading)
    page.one("tbody tr")
    red = int(page.script("return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"))
    assert (red < 128) is is_dark
    light = int(page.script("return getComputedStyle(document.body).color.match(/\\d+/)[0]"))
    assert abs(red - light) > 150


def test_a_change_of_theme_and_language_reaches_the_open_page(page, airflow):
    page.open(f"{airflow.url}/plugin/bkitsm-approvals")
    page.into_frame("bkitsm/approvals")
    page.one("h1", text="Approvals")
    page.out_of_frame()
    page.prefer(theme="dark", language="zh-CN")
    page.into_frame("bkitsm/approvals")
    page.one("h1", text="审批")
    page.wait(lambda: page.script("return document.documentElement.dataset.theme") == "dark", "still light")


def test_filters_and_sorting_work_with_the_keyboard(page, airflow, evil):
    one = evil.waits()
    listed(page, airflow.url)
    row(page, one.sn, "waiting")
    page.one("#search").send_keys("no such thing")
    page.one(".empty", text="Nothing found")
    page.one("#search").send_keys(Keys.CONTROL + "a", Keys.DELETE)
    row(page, one.sn, "waiting")
    page.one("[data-key=sort-title]").send_keys(Keys.ENTER)
    page.one("th[aria-sort=ascending] button", text="Ticket")
    assert page.script("return document.activeElement.dataset.key") == "sort-title"
    assert "sort=title" in page.driver.current_url


@pytest.mark.parametrize("where", ["approvals", "ticket", "collectors"])
def test_a_narrow_screen_needs_no_sideways_scrolling(page, airflow, evil, where):
    one = evil.waits()
    page.driver.set_window_size(500, 900)
    try:
        page.open(f"{airflow.url}/bkitsm/{where}?dag_id={one.dag}&run_id={one.run}&task_id=wait")
        page.one("#pulse", text="Updated")
        wide = page.script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0
    finally:
        page.driver.set_window_size(1400, 900)


def test_when_itsm_is_down_the_list_still_comes(page, airflow, control, evil):
    one = evil.waits()
    listed(page, airflow.url)
    row(page, one.sn, "waiting")
    control.fault("get_tickets/", "status", times=1000)
    try:
        page.one(".notice", text="ITSM does not answer")
        page.one(f"tr[data-sn='{one.sn}']", text="not confirmed by ITSM")
    finally:
        control.clear_faults()
    page.wait(lambda: "not confirmed" not in page.text(), "ITSM is back")


def test_without_the_setting_there_is_no_frame(page, airflow, evil):
    page.open(ticket_tab(airflow.url, evil.waits()))
    page.into_frame("bkitsm/ticket")
    page.one("section[data-card=form]")
    assert page.all("iframe") == []
