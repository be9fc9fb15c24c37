# SPDX-License-Identifier: Apache-2.0
"""What a person does from the ticket's page, in a real browser: withdraw, remind."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from demo.browser import Browser
from tests.e2e.browsing import EVIL, gate, needs_a_browser, ticket_tab

pytestmark = needs_a_browser


def test_withdrawing_asks_why_and_the_row_changes(page, airflow, control):
    one = gate(airflow, control, title="Not needed").waits()
    page.open(ticket_tab(airflow.url, one))
    page.into_frame("bkitsm/ticket")
    page.click("#withdraw")
    assert not page.one("#confirm").is_enabled()
    page.one("#reason").send_keys("done by hand")
    page.click("#confirm")
    page.one(".badge.withdrawn")
    control.wait_for_status(one.sn, "REVOKED")
    assert page.all("#withdraw") == []
    assert one.end() == "failed"


def test_who_may_only_look_may_copy_but_not_withdraw(viewer, airflow, evil):
    one = evil.waits()
    viewer.open(f"{airflow.url}/bkitsm/ticket?dag_id={one.dag}&run_id={one.run}&task_id=wait")
    viewer.one("#remind")
    assert viewer.all("#withdraw") == []


@pytest.mark.parametrize(("language", "says"), [("en", "waits for approval"), ("zh-CN", "等待审批")])
def test_a_reminder_is_copied_out_of_airflows_frame(page, airflow, evil, language, says):
    one = evil.waits()
    page.prefer(language=language)
    page.open(ticket_tab(airflow.url, one))
    page.into_frame("bkitsm/ticket")
    page.click("#remind")
    text = page.one("#reminder").get_property("value")
    assert all(part in text for part in (one.sn, says, EVIL, "admin", "/#/ticket/detail?id="))
    page.click("#copy")
    page.one("dialog .notice", text={"en": "Copied", "zh-CN": "已复制"}[language])
    assert pasted(page) == text
    assert page.complaints() == []
    assert page.all("#send") == []


def test_without_a_clipboard_the_text_is_selected(page, airflow, evil):
    page.open(ticket_tab(airflow.url, evil.waits()))
    page.into_frame("bkitsm/ticket")
    page.script("navigator.clipboard.writeText = () => Promise.reject(); document.execCommand = () => false")
    page.click("#remind")
    page.click("#copy")
    page.one("dialog .notice", text="is selected")
    selected = "const area = document.getElementById('reminder'); return area.selectionEnd - area.selectionStart"
    assert page.script(selected) == len(page.one("#reminder").get_property("value"))


def pasted(page: Browser) -> str:
    """Return what is on the clipboard, pasted into an empty page."""
    page.out_of_frame()
    page.script("document.body.innerHTML = '<textarea id=paste></textarea>'")
    area = page.one("#paste")
    area.send_keys(Keys.CONTROL + "v")
    return str(area.get_property("value"))
