# SPDX-License-Identifier: Apache-2.0
"""The verdict's link leads to the Ticket tab of the task that asked, where the decision and its evidence are."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from tests.e2e.browsing import gate, needs_a_browser, ticket_tab
from tests.e2e.gates import Gate

pytestmark = needs_a_browser


@pytest.fixture(scope="module")
def approved(airflow, control) -> Gate:
    one = gate(airflow, control, title="Release 9").waits()
    one.decide("approve", remark="look at the dashboard")
    assert one.end() == "success"
    return one


@pytest.mark.parametrize(
    ("language", "matches"),
    [("en", "What runs matches what people read"), ("zh-CN", "将执行的内容与审批人看到的一致")],
)
def test_after_the_run_the_verdict_leads_to_the_decision_and_its_evidence(
    page, airflow, approved, language, matches
):
    verdict = approved.xcom("wait")
    assert unquote(verdict["airflow_url"]) == ticket_tab(airflow.url, approved, "ask")
    assert [(line["operator"], line["approved"]) for line in verdict["evidence"]] == [("admin", True)]
    page.prefer(language=language)
    page.open(verdict["airflow_url"])
    page.into_frame("bkitsm/ticket")
    page.one("section[data-card=decision]", text="look at the dashboard")
    page.one("[data-match=same]", text=matches)
    assert page.complaints() == []
