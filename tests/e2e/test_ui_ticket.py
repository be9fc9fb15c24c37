# SPDX-License-Identifier: Apache-2.0
"""The Ticket tab in a real browser: what was asked, what runs, what was decided, in both languages."""

from __future__ import annotations

from tests.e2e.browsing import gate, needs_a_browser, ticket_tab

pytestmark = needs_a_browser

LANGUAGES = ("en", "zh-CN")
SAME = {"en": "What runs matches what people read", "zh-CN": "将执行的内容与审批人看到的一致"}
DECISION = {"en": "Decision", "zh-CN": "审批结果"}
APPROVED = {"en": "admin approved", "zh-CN": "admin 通过"}
TOOK = {"en": "Time to decide", "zh-CN": "审批用时"}
BEGAN = {"en": "The flow began", "zh-CN": "流程开始."}
SUBMITTED = {"en": "handed the ticket in", "zh-CN": "处理【提单】"}


def test_the_tab_says_what_was_asked_and_in_the_readers_language_what_happened(page, airflow, control):
    one = gate(airflow, control, title="Release 8", content="Restart the cluster").waits()
    for language in LANGUAGES:
        page.prefer(language=language)
        page.open(ticket_tab(airflow.url, one))
        page.into_frame("bkitsm/ticket")
        page.one("[data-match=same]", text=SAME[language])
        assert page.one("h1").text == "Release 8"
        story = page.one("section[data-card=story]", text=BEGAN[language])
        assert SUBMITTED[language] in story.text
        assert page.all("section[data-card=decision]") == []
    page.prefer(language="en")
    page.open(ticket_tab(airflow.url, one))
    page.into_frame("bkitsm/ticket")
    assert page.one("section[data-card=story] span[title='流程开始.']").text == "The flow began"
    assert page.complaints() == []


def test_after_the_run_the_decision_and_its_evidence_are_there_and_the_verdict_leads_to_them(
    page, airflow, control
):
    one = gate(airflow, control, title="Release 9").waits()
    one.decide("approve", remark="look at the dashboard")
    assert one.end() == "success"
    verdict = one.xcom("wait")
    assert verdict["airflow_url"] == ticket_tab(airflow.url, one, "ask")
    assert [(line["operator"], line["approved"]) for line in verdict["evidence"]] == [("admin", True)]
    for language in LANGUAGES:
        page.prefer(language=language)
        page.open(verdict["airflow_url"])
        page.into_frame("bkitsm/ticket")
        page.one("section[data-card=decision] h2", text=DECISION[language])
        card = page.one("section[data-card=decision]", text=APPROVED[language]).text
        assert "look at the dashboard" in card
        assert TOOK[language] in card
        page.one("[data-match=same]", text=SAME[language])
    assert page.complaints() == []


def test_p3_a_ticket_that_was_edited_is_said_to_differ(page, airflow, control):
    one = gate(airflow, control, title="Release 10", content="Restart db-1").waits()
    control.edit(one.sn, APPROVAL_CONTENT="Restart db-2")
    page.prefer(language="en")
    page.open(ticket_tab(airflow.url, one))
    page.into_frame("bkitsm/ticket")
    page.one("[data-match=differs]", text="differs")
    page.one(".differences", text="'Restart db-2' is in the ticket")
    page.prefer(language="zh-CN")
    page.open(ticket_tab(airflow.url, one))
    page.into_frame("bkitsm/ticket")
    page.one(".differences", text="单据中是 'Restart db-2'")
