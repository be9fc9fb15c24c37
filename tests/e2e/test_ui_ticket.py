# SPDX-License-Identifier: Apache-2.0
"""The verdict's link leads to the Ticket tab of the task that asked, where the decision and its evidence are."""

from __future__ import annotations

from urllib.parse import unquote

from tests.e2e.browsing import gate, needs_a_browser, ticket_tab

pytestmark = needs_a_browser


def test_after_the_run_the_verdict_leads_to_the_decision_and_its_evidence(page, airflow, control):
    one = gate(airflow, control, title="Release 9").waits()
    one.decide("approve", remark="look at the dashboard")
    assert one.end() == "success"
    verdict = one.xcom("wait")
    assert unquote(verdict["airflow_url"]) == ticket_tab(airflow.url, one, "ask")
    assert [(line["operator"], line["approved"]) for line in verdict["evidence"]] == [("admin", True)]
    page.open(verdict["airflow_url"])
    page.into_frame("bkitsm/ticket")
    page.one("section[data-card=decision]", text="look at the dashboard")
    page.one("[data-match=same]")
    assert page.complaints() == []
