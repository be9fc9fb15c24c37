# SPDX-License-Identifier: Apache-2.0
"""The pages where all is configured: a path, a function for reminders, ITSM's own page, a store in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from selenium.webdriver.common.by import By

from airflow_provider_bkitsm.collectors.row import Owner
from demo.browser import Browser, browser
from tests.e2e.browsing import gate, needs_a_browser, row, ticket_tab
from tests.e2e.gates import Gate
from tests.e2e.reminding import FILE

pytestmark = needs_a_browser

BKLOG, NUMBER = "bklog_default", 990003


@pytest.fixture(scope="module")
def there(airflow, second) -> Iterator[Browser]:
    with browser() as window:
        window.sign_in(second, "admin", airflow.password_of("admin"))
        window.prefer()
        yield window


@pytest.fixture(scope="module")
def hurry(airflow, control) -> Gate:
    return gate(airflow, control, title="Hurry")


def test_it_works_below_a_path(there, second, hurry):
    one = hurry.waits()
    there.open(f"{second}/plugin/bkitsm-approvals")
    there.into_frame("bkitsm/approvals")
    row(there, one.sn, "waiting").find_element(By.CSS_SELECTOR, "td.title a").click()
    there.out_of_frame()
    there.wait(lambda: there.driver.current_url.startswith(f"{second}/dags/{one.dag}/runs/"), "left the prefix")
    there.into_frame("bkitsm/ticket")
    there.one("section[data-card=story] li.pending", text="admin")


def test_a_reminder_is_sent_once_a_minute(there, second, airflow, control, hurry):
    one = hurry.waits()
    there.open(ticket_tab(second, one))
    there.into_frame("bkitsm/ticket")
    there.click("#remind")
    there.click("#send")
    there.one("dialog .notice", text="was sent")
    sent = [json.loads(line) for line in (airflow.home / FILE).read_text().splitlines()]
    (said,) = [what for what in sent if what["sn"] == one.sn]
    assert "Hurry" in said["title"]
    assert said["ticket_url"].endswith(f"/#/ticket/detail?id={control.ticket(one.sn)['id']}")
    assert (said["approvers"], said["by"]) == (["admin"], "admin")
    assert said["waiting_since"]
    there.click("dialog .button", text="Close")
    there.click("#remind")
    there.click("#send")
    there.one("dialog .notice.error", text="less than a minute ago")
    assert len((airflow.home / FILE).read_text().splitlines()) == len(sent)


def test_itsms_own_page_is_in_a_frame_and_can_be_used(there, second, hurry):
    one = hurry.waits()
    there.complaints()
    there.open(ticket_tab(second, one))
    there.into_frame("bkitsm/ticket")
    frame = there.one("section[data-card=itsm_page] iframe")
    assert "allow-top-navigation" not in frame.get_attribute("sandbox")
    there.driver.switch_to.frame(frame)
    there.one("main", text=one.sn)
    there.click("button[value=approve]")
    there.into_frame("bkitsm/ticket")
    there.one(".badge.approved")
    assert there.complaints() == []
    assert one.end() == "success"


def test_collectors_come_from_the_store_that_a_connection_names(there, second, stored):
    owner = Owner(dag_id="shown", run_id="run", task_id="apply")
    stored.apply(BKLOG, NUMBER, payload={"etl_config": "bk_log_json"}, tag="t", owner=owner)
    stored.ticket_opened(BKLOG, NUMBER, tag="t", sn="REQ_in_postgres")
    there.open(f"{second}/bkitsm/collectors?bklog_conn_id={BKLOG}&collector_config_id={NUMBER}")
    there.one(f"tr[data-collector='{NUMBER}']", text="REQ_in_postgres")
    there.one("section[data-card=history]", text="ticket_opened")
