# SPDX-License-Identifier: Apache-2.0
"""The list of approvals as a person works with it, in a real browser and in both languages."""

# ruff: noqa: F811 - the fixtures of the other file
from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from airflow_provider_bkitsm.approvals.rows import TaskKey
from airflow_provider_bkitsm.collectors.row import CollectorRow, Owner
from airflow_provider_bkitsm.itsm.outcome import Outcome
from demo.browser import Browser
from tests.e2e.reminding import FILE
from tests.plugins.browsing import PHONE, decided, needs_a_browser, site, waits, window  # noqa: F401
from tests.plugins.people import Person

pytestmark = needs_a_browser
both_languages = pytest.mark.parametrize("language", ["en", "zh-CN"])
DAGS = frozenset({"dag", "other"})


def tasks(number: int) -> list[TaskKey]:
    return [TaskKey(dag_id="dag", run_id="run", task_id="wait", map_index=index) for index in range(number)]


def titles(page: Browser) -> list[str]:
    return [one.text for one in page.all("tbody td.title > a[data-key^=title]")]


def headings(page: Browser) -> list[str]:
    return [one.text.rstrip(" ↑↓") for one in page.all("thead th") if one.text]


@pytest.mark.parametrize(
    ("language", "columns"),
    [
        ("en", ["Ticket", "Status", "Step", "Waits for", "Asked by", "Opened", "Deadline"]),
        ("zh-CN", ["单据", "状态", "当前步骤", "审批人", "申请人", "提单时间", "截止时间"]),
    ],
)
def test_a_ticket_is_one_row_with_its_tasks_and_the_nearest_deadline_is_first(site, waits, language, columns):
    waits("Later", hours=48)
    waits("Sooner", *tasks(5), hours=2)
    page = site.open(language=language)
    page.wait(lambda: titles(page) == ["Sooner", "Later"], "not in this order")
    assert headings(page) == columns
    first = page.all("tbody tr")[0]
    assert [text in first.text for text in ("wait [0]", "wait [2]", "wait [3]")] == [True, True, False]
    page.click("tbody summary")
    page.wait(lambda: "wait [4]" in page.all("tbody tr")[0].text, "not all tasks")
    assert "carol" in first.text
    assert page.one("[data-view=waiting]").text.endswith(" 2")
    assert {"en": "2 tickets", "zh-CN": "2 张单据"}[language] in page.one("#total").text


@pytest.mark.parametrize(
    ("language", "took", "rejected"), [("en", "30 min", "Rejected"), ("zh-CN", "30 分钟", "已拒绝")]
)
def test_a_decision_has_who_when_how_long_and_the_remark(site, language, took, rejected):
    site.tickets.founds.append(decided("Drop it", Outcome.REJECTED, "Seven days are enough"))
    page = site.open("approvals?view=decided", language=language)
    text = page.one("tbody tr").text
    assert all(part in text for part in ("Drop it", rejected, "alice", "carol", took, "Seven days are enough"))
    assert page.all("[data-pick]") == []


@both_languages
def test_filters_are_in_the_address_and_a_link_leads_to_the_same_list(site, waits, language):
    waits("One", approval_seconds=None)
    site.tickets.founds += [decided(name, Outcome.REJECTED, "") for name in ("Two", "Three")]
    site.tickets.founds.append(decided("Four", Outcome.APPROVED, ""))
    page = site.open(language=language)
    page.click("[data-view=decided]")
    page.wait(lambda: len(titles(page)) == 3, "not the decided ones")
    page.click("#status option[value=rejected]")
    page.wait(lambda: set(titles(page)) == {"Two", "Three"}, "not the rejected ones")
    page.one("#person").send_keys("Alice", Keys.ENTER)
    page.wait(lambda: "person=Alice" in page.driver.current_url, "the person is not in the address")
    page.one("#search").send_keys("thr")
    page.wait(lambda: titles(page) == ["Three"], "not found")
    address = page.driver.current_url
    page.open("about:blank")
    page.open(address)
    page.wait(lambda: titles(page) == ["Three"], "the link leads elsewhere")
    assert page.one("#status").get_property("value") == "rejected"
    assert page.one("#person").get_property("value") == "Alice"
    page.click("#clear")
    page.wait(lambda: "status" not in page.driver.current_url, "not cleared")
    assert page.script("return document.activeElement.id") == "status"
    assert page.one("#person").get_property("value") == ""


@both_languages
def test_a_period_limits_the_list_to_its_days(site, language):
    site.tickets.founds += [
        decided("Old", Outcome.APPROVED, "", ago=5 * 24 * 60),
        decided("New", Outcome.APPROVED, "", ago=0),
    ]
    page = site.open("approvals?view=decided", language=language)
    page.wait(lambda: titles(page) == ["New", "Old"], "not both")
    labels = {one.get_property("id"): one.get_property("labels")[0].text for one in page.all("input[type=date]")}
    assert labels["from"] == {"en": "Decided from", "zh-CN": "处理日期 从"}[language]
    yesterday = page.script(
        "const day = new Date(Date.now() - 864e5), two = (n) => String(n).padStart(2, '0');"
        "return `${day.getFullYear()}-${two(day.getMonth() + 1)}-${two(day.getDate())}`"
    )
    page.open(f"{site.url}/bkitsm/approvals?view=decided&from={yesterday}")
    page.wait(lambda: titles(page) == ["New"], "not from yesterday on")
    page.open(f"{site.url}/bkitsm/approvals?view=decided&to={yesterday}")
    page.wait(lambda: titles(page) == ["Old"], "not up to yesterday")
    assert page.one("#to").get_property("value") == yesterday


@both_languages
def test_many_are_withdrawn_after_one_confirmation_that_names_them(site, waits, sandbox, language):
    """The one that only its creator may withdraw is named with who may, and left as it is."""
    mine = [waits(f"Mine {number}") for number in range(2)]
    theirs = waits("Theirs", creator="dave")
    page = site.open(language=language)
    page.wait(lambda: len(titles(page)) == 3, "not all there")
    page.click("#pick-all")
    assert "3" in page.one("#picked").text
    page.click("#withdraw_many")
    said = page.one("dialog").text
    assert all(part in said for part in ("Mine 0", "Mine 1", "Theirs", mine[0].sn, "dave"))
    confirm = page.one("#confirm")
    assert "2" in confirm.text
    assert not confirm.is_enabled()
    page.one("#reason").send_keys("by mistake")
    page.click("#confirm")
    page.one("dialog .notice.done", text="2")
    assert len(page.all("dialog .result.done")) == 2
    assert [sandbox.ticket(one.sn)["status"] for one in (*mine, theirs)] == ["REVOKED", "REVOKED", "RUNNING"]
    page.script("document.activeElement.click()")
    page.wait(lambda: page.all("dialog") == [], "the dialog does not close")
    for one in mine:
        page.one(f"tr[data-sn='{one.sn}'][data-status=resuming]")
    assert "1" in page.one("#picked").text
    assert page.complaints() == []


@both_languages
def test_a_failure_stays_to_be_read_and_tried_again(site, waits, sandbox, language):
    waits("First")
    waits("Second")
    page = site.open(language=language)
    page.wait(lambda: len(titles(page)) == 2, "not all there")
    page.click("#pick-all")
    page.click("#withdraw_many")
    page.one("#reason").send_keys("by mistake")
    sandbox.fault("operate_ticket", "status", times=1)
    page.click("#confirm")
    page.one("dialog .notice.error", text="1")
    assert len(page.all("dialog .result.failed")) == 1
    assert len(page.all("dialog .result.done")) == 1
    page.click("#confirm")
    page.one("dialog .notice.done", text="1")
    assert len(page.all("dialog .result.done")) == 2


@pytest.mark.parametrize(("language", "waits_for"), [("en", "waits for approval"), ("zh-CN", "等待审批")])
def test_a_reminder_of_many_can_be_copied_where_airflow_sends_none(site, waits, language, waits_for):
    chosen = [waits(f"Number {number}") for number in range(2)]
    page = site.open(language=language)
    page.wait(lambda: len(titles(page)) == 2, "not all there")
    page.click("#pick-all")
    page.click("#remind_many")
    text = page.one("#reminder").get_property("value")
    assert all(part in text for one in chosen for part in (one.sn, waits_for))
    assert page.all("#confirm") == []


@both_languages
def test_reminders_are_sent_one_by_one(site, waits, monkeypatch, tmp_path, language):
    monkeypatch.setenv("AIRFLOW__BKITSM__REMIND", "tests.e2e.reminding.note")
    chosen = [waits(f"Number {number}") for number in range(2)]
    page = site.open(language=language)
    page.wait(lambda: len(titles(page)) == 2, "not all there")
    page.click(f"[data-pick='bkitsm_default {chosen[0].sn}']")
    page.click(f"[data-pick='bkitsm_default {chosen[1].sn}']")
    page.click("#remind_many")
    page.click("#confirm")
    page.one("dialog .notice.done", text="2")
    sent = [json.loads(line)["sn"] for line in (tmp_path / FILE).read_text().splitlines()]
    assert sorted(sent) == sorted(one.sn for one in chosen)


@pytest.mark.parametrize(
    ("language", "says"), [("en", "may change the runs of its DAG"), ("zh-CN", "需要有修改该 DAG 运行的权限")]
)
def test_who_may_change_nothing_is_told_so_and_has_nothing_to_confirm(site, waits, language, says):
    waits("Release")
    site.sign_in(Person(name="viewer", reads=DAGS))
    page = site.open(language=language)
    page.click("#pick-all")
    page.click("#withdraw_many")
    page.one("dialog", text=says)
    assert page.all("#confirm") == []


@pytest.mark.parametrize(("language", "only"), [("en", "Only dave may"), ("zh-CN", "只有 dave 可以撤单")])
def test_a_ticket_says_who_may_withdraw_it_to_who_may_not(site, waits, language, only):
    one = waits("Theirs", creator="dave")
    page = site.open(f"ticket?dag_id=dag&run_id={one.task.run_id}&task_id=wait", language=language)
    page.one("#may-not", text=only)
    assert page.all("#withdraw") == []


@both_languages
def test_the_list_is_saved_as_a_file_with_its_filters(site, waits, tmp_path, language):
    site.tickets.founds += [decided("日志", Outcome.REJECTED, "=1+1"), decided("Other", Outcome.APPROVED, "")]
    page = site.open("approvals?view=decided&status=rejected", language=language)
    page.wait(lambda: titles(page) == ["日志"], "not filtered")
    page.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    page.click("#csv")
    (file,) = page.wait(lambda: list(Path(tmp_path).glob("approvals-*.csv")), "nothing is saved")
    text = file.read_text(encoding="utf-8-sig")
    assert "日志" in text
    assert "Other" not in text
    assert {"en": "Minutes to decide", "zh-CN": "审批用时"}[language] in text
    assert titles(page) == ["日志"]


@pytest.mark.parametrize(("language", "event"), [("en", "Ticket opened"), ("zh-CN", "已提单")])
def test_a_collectors_history_is_told_in_words_with_the_events_name(site, language, event):
    owner, now = Owner(dag_id="dag", run_id="run", task_id="wait"), datetime.now(UTC)
    times = {"created_at": now, "updated_at": now}
    site.store.rows.append(CollectorRow(bklog_conn_id="bklog", collector_config_id=7, owner=owner, **times))
    history = site.open("collectors", language=language).one("section[data-card=history]", text=event)
    assert "ticket_opened" in history.text


@pytest.mark.parametrize(("language", "back"), [("en", "Approvals"), ("zh-CN", "审批")])
def test_on_a_phone_a_ticket_is_a_page_of_its_own_and_leads_back(site, waits, language, back):
    waits("日志 Release")
    site.window.driver.set_window_size(*PHONE)
    page = site.open("approvals?search=release", language=language)
    page.wait(lambda: titles(page) == ["日志 Release"], "not there")
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.script(wide) <= 0
    page.click("label.narrow input")
    page.one("#picked", text="1")
    page.click("#filters summary")
    page.click("#sort option[value='title true']")
    page.wait(lambda: "sort=title" in page.driver.current_url, "not sorted")
    page.click("td.title > a")
    page.one("h1", text="日志 Release")
    assert "/bkitsm/ticket?" in page.driver.current_url
    assert page.script(wide) <= 0
    page.click("#back", text=back)
    page.wait(lambda: titles(page) == ["日志 Release"], "not back")
    assert "search=release" in page.driver.current_url


@pytest.mark.parametrize(("language", "ticket"), [("en", "Ticket"), ("zh-CN", "单据")])
def test_all_of_it_works_with_the_keyboard_alone(site, waits, language, ticket):
    waits("First")
    waits("Second")
    page = site.open(language=language)
    page.wait(lambda: len(titles(page)) == 2, "not all there")
    press(page, Keys.TAB, until="pick-all")
    press(page, Keys.SPACE)
    page.one("#picked", text="2")
    press(page, Keys.SHIFT + Keys.TAB, until="withdraw_many")
    press(page, Keys.ENTER)
    page.one("dialog #reason")
    assert page.script("return document.activeElement.id") == "reason"
    press(page, Keys.ESCAPE)
    page.wait(lambda: page.all("dialog") == [], "Escape does not close it")
    assert page.script("return document.activeElement.id") == "withdraw_many"
    press(page, Keys.TAB, until="pick_none")
    press(page, Keys.ENTER)
    page.wait(lambda: page.all("#picked") == [], "still chosen")
    assert page.script("return document.activeElement.id") == "pick-all"
    press(page, Keys.TAB, until="sort-title", by="dataset.key")
    press(page, Keys.ENTER)
    page.one("th[aria-sort=ascending] button", text=ticket)
    assert page.script("return document.activeElement.dataset.key") == "sort-title"


def press(page: Browser, key: str, *, until: str = "", by: str = "id") -> None:
    """Press a key once, or until the focus is where it should be."""
    from selenium.webdriver import ActionChains

    for _ in range(60):
        actions = ActionChains(page.driver)
        for one in key[:-1]:
            actions.key_down(one)
        actions.send_keys(key[-1])
        for one in key[:-1]:
            actions.key_up(one)
        actions.perform()
        if not until or page.script(f"return document.activeElement.{by}") == until:
            return
    raise AssertionError(f"the focus never comes to {until}")
