"""The pages where more is configured: a function for reminders, ITSM's own page, a store in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from airflow_provider_bkitsm.collectors.row import Owner
from airflow_provider_bkitsm.collectors.store import CollectorStore
from demo.browser import Browser, browser
from tests.collectors.servers import postgres
from tests.e2e.browsing import gate, needs_a_browser, ticket_tab
from tests.e2e.reminding import FILE

pytestmark = needs_a_browser

BKLOG, NUMBER = "bklog_default", 990003


@pytest.fixture(scope="module")
def stored(airflow) -> Iterator[CollectorStore]:
    """Run a PostgreSQL that a connection in Airflow's own database names."""
    with postgres() as url:
        parts = make_url(url)
        fields = {"host": parts.host, "port": parts.port, "login": parts.username, "schema": parts.database}
        connection = {"connection_id": "bkitsm_store", "conn_type": "postgres", **fields}
        airflow.api.call("POST", "connections", json=connection)
        yield CollectorStore(create_engine(url))
        airflow.api.call("DELETE", "connections/bkitsm_store")


@pytest.fixture(scope="module")
def url(airflow, itsm, stored) -> Iterator[str]:
    env = {
        "AIRFLOW__BKITSM__REMIND": "tests.e2e.reminding.note",
        "AIRFLOW__BKITSM__ITSM_FRAME_ORIGIN": itsm.url,
        "AIRFLOW__BKITSM__STORE_CONN_ID": "bkitsm_store",
    }
    with airflow.another_api_server(env=env) as second:
        yield second


@pytest.fixture(scope="module")
def there(airflow, url) -> Iterator[Browser]:
    with browser() as window:
        window.sign_in(url, "admin", airflow.password_of("admin"))
        window.prefer()
        yield window


def test_a_reminder_is_sent_once_a_minute(there, url, airflow, control):
    one = gate(airflow, control, title="Hurry").waits()
    there.open(ticket_tab(url, one))
    there.into_frame("bkitsm/ticket")
    there.one("#remind").click()
    there.one("#send").click()
    there.one("dialog .notice", text="was sent")
    sent = [json.loads(line) for line in (airflow.home / FILE).read_text().splitlines()]
    (mine,) = [what for what in sent if what["sn"] == one.sn]
    assert "Hurry" in mine["title"]
    assert mine["ticket_url"].endswith(f"/#/ticket/detail?id={control.ticket(one.sn)['id']}")
    assert (mine["approvers"], mine["by"]) == (["admin"], "admin")
    assert mine["waiting_since"]
    there.one("dialog .button", text="Close").click()
    there.one("#remind").click()
    there.one("#send").click()
    there.one("dialog .notice.error", text="less than a minute ago")
    assert len((airflow.home / FILE).read_text().splitlines()) == len(sent)


def test_itsms_own_page_is_in_a_frame_and_can_be_used(there, url, airflow, control):
    one = gate(airflow, control, title="In a frame").waits()
    there.open(ticket_tab(url, one))
    there.into_frame("bkitsm/ticket")
    frame = there.one("section[data-card=itsm_page] iframe")
    assert "allow-top-navigation" not in frame.get_attribute("sandbox")
    there.driver.switch_to.frame(frame)
    there.one("button[value=approve]")
    there.one("main", text=one.sn)
    there.one("button[value=approve]").click()
    there.into_frame("bkitsm/ticket")
    there.one(".badge.approved")
    assert there.complaints() == []
    assert one.end() == "success"


def test_without_the_setting_there_is_no_frame(page, airflow, evil):
    page.open(ticket_tab(airflow.url, evil.waits()))
    page.into_frame("bkitsm/ticket")
    page.one("section[data-card=form]")
    assert page.all("iframe") == []


def test_collectors_come_from_the_store_that_a_connection_names(there, url, stored):
    owner = Owner(dag_id="shown", run_id="run", task_id="apply")
    stored.apply(BKLOG, NUMBER, payload={"etl_config": "bk_log_json"}, tag="t", owner=owner)
    stored.ticket_opened(BKLOG, NUMBER, tag="t", sn="REQ_in_postgres")
    there.open(f"{url}/bkitsm/collectors")
    there.one(f"tr[data-collector='{NUMBER}']", text="REQ_in_postgres")
    there.one("section[data-card=history]", text="ticket_opened")
