# SPDX-License-Identifier: Apache-2.0
"""The Ticket tab in a real browser and both languages: what was asked, what runs, and what was decided."""

# ruff: noqa: F811 - the fixtures of the other file
from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from airflow_provider_bkitsm.approvals.rows import ApprovalWait
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.itsm.reminders import read_plan
from airflow_provider_bkitsm.itsm.verdict import Decision, Evidence, Verdict
from airflow_provider_bkitsm.tickets.reminder_store import ReminderState
from demo.browser import Browser
from tests.callback.conftest import FORM
from tests.e2e.reminding import FILE
from tests.plugins.browsing import PHONE, Site, needs_a_browser, site, violations, waits, window  # noqa: F401
from tests.tickets.records import record_reminder, record_round

pytestmark = needs_a_browser
SAME = {"en": "What runs matches what people read", "zh-CN": "将执行的内容与审批人看到的一致"}
both_languages = pytest.mark.parametrize("language", ["en", "zh-CN"])


@pytest.fixture(autouse=True)
def store(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))


@pytest.fixture
def recorded(waits) -> Callable[..., ApprovalWait]:
    """Return a maker of waits whose ticket has a record of what was asked."""

    def make(
        title: str = "Release 9", *, request: Any = None, opened_at: datetime | None = None, **wait: Any
    ) -> ApprovalWait:
        made = waits(f"{title} [#4k7pqz]", **wait)
        fields = FORM | {"title": f"{title} [#4k7pqz]"}
        known = {"dialect": "v2", "creator": "robot", "requester": "carol", "run_by": "carol.w", "fields": fields}
        task = {"run_id": made.task.run_id, "task_id": made.task.task_id}
        record_round(made.sn, request=known | (request or {}), opened_at=opened_at, **task)
        return made

    return make


def opened(site: Site, wait: ApprovalWait, **choices: str) -> Browser:
    return site.open(f"ticket?{urlencode(vars(wait.task), quote_via=quote)}", **choices)


def verdict(wait: ApprovalWait, outcome: Outcome, **more: Any) -> dict[str, Any]:
    yes, at = outcome is Outcome.APPROVED, "2026-11-29T09:30:00+00:00"
    known = {
        "sn": wait.sn,
        "outcome": outcome,
        "reason": "",
        "reason_code": Reason.APPROVED if yes else Reason.REFUSED,
        "current_status": "FINISHED",
        "title": "Release 9 [#4k7pqz]",
        "decided_at": at,
        "approvers": (Decision(operator="alice", approved=yes, remark="Watch the dashboard", decided_at=at),),
        "evidence": (Evidence(step="审批", operator="alice", approved=yes, at=at),),
    }
    return Verdict(**known | more).as_dict()


@both_languages
def test_a_title_is_shown_without_its_mark_and_what_runs_matches(site, recorded, language):
    page = opened(site, recorded(), language=language)
    page.one("[data-match=same]", text=SAME[language])
    assert page.one("h1").text == "Release 9"
    asked = page.one("[data-card=runs]").text
    assert all(text in asked for text in ("carol", "carol.w", "sha256:0"))
    assert page.all("[data-card=decision]") == []
    assert page.complaints() == []


@pytest.mark.parametrize(
    ("language", "says"),
    [
        ("en", "'c' was sent, 'something else' is in the ticket"),
        ("zh-CN", "提交的是 'c'，单据中是 'something else'"),
    ],
)
def test_p3_an_edited_ticket_differs(site, recorded, sandbox, language, says):
    wait = recorded()
    sandbox.edit(wait.sn, APPROVAL_CONTENT="something else")
    page = opened(site, wait, language=language)
    page.one("[data-match=differs]")
    page.one(".differences", text=says)


@pytest.mark.parametrize(
    ("language", "says"), [("en", "The task would run sha256:other"), ("zh-CN", "任务将执行 sha256:other")]
)
def test_p3_a_task_that_would_run_something_else_differs(site, recorded, language, says):
    page = opened(site, recorded(request={"runs": "sha256:other"}), language=language)
    page.one("[data-match=differs]")
    page.one(".differences", text=says)


@pytest.mark.parametrize(("language", "says"), [("en", "is not known"), ("zh-CN", "无法确认")])
def test_p3_while_itsm_is_silent_nothing_matches(site, recorded, metadata, language, says):
    wait = recorded()
    metadata.gateways.clear()
    page = opened(site, wait, language=language)
    page.one("[data-match=unknown]", text=says)


@pytest.mark.parametrize(
    ("language", "outcome", "words"),
    [
        ("en", Outcome.APPROVED, ("Decision", "Approved", "alice approved", "Time to decide", "Evidence")),
        ("en", Outcome.REJECTED, ("Decision", "Rejected", "alice refused", "refused by an approver")),
        ("zh-CN", Outcome.APPROVED, ("审批结果", "已通过", "alice 通过", "审批用时", "依据")),
        ("zh-CN", Outcome.REJECTED, ("审批结果", "已拒绝", "alice 拒绝", "审批人拒绝")),
    ],
)
def test_a_decision_has_who_when_how_long_and_on_what_it_rests(site, recorded, language, outcome, words):
    wait = recorded(state="success" if outcome is Outcome.APPROVED else "failed")
    at = len(site.tickets.founds) - 1
    site.tickets.founds[at] = type(wait)(**{**vars(wait), "verdict": verdict(wait, outcome)})
    page = opened(site, wait, language=language)
    card = page.one("[data-card=decision]", text="Watch the dashboard").text
    assert [word for word in words if word not in card] == []
    assert card.count("审批 ·") == 1


@pytest.mark.parametrize(
    ("language", "reason", "says", "asked_by"),
    [
        ("en", Reason.SELF_APPROVED, "nobody but who asked has said yes", "Asked by"),
        ("zh-CN", Reason.SELF_APPROVED, "除申请人本人外没有其他人同意", "申请人"),
        ("en", Reason.TOO_FEW_APPROVERS, "too few people have said yes", "Asked by"),
        ("zh-CN", Reason.TOO_FEW_APPROVERS, "同意的人数不足", "申请人"),
        ("en", Reason.REQUESTER_UNKNOWN, "who asked is not known", "Asked by"),
        ("zh-CN", Reason.REQUESTER_UNKNOWN, "不知道是谁申请的", "申请人"),
    ],
)
def test_p3_a_yes_that_the_separation_of_duties_does_not_take_is_told_as_none(
    site, recorded, language, reason, says, asked_by
):
    wait = recorded(state="failed")
    at = len(site.tickets.founds) - 1
    yes = Decision(operator="carol", approved=True, remark="Mine", decided_at="2026-11-29T09:30:00+00:00")
    taken = verdict(wait, Outcome.REJECTED, reason=reason.text, reason_code=reason, approvers=(yes,))
    site.tickets.founds[at] = type(wait)(**{**vars(wait), "verdict": taken})
    page = opened(site, wait, language=language)
    card = page.one("[data-card=decision]", text=says)
    assert card.find_elements("css selector", ".badge.rejected")
    assert page.all(".badge.approved") == []
    page.one("[data-card=runs]", text="carol")
    page = site.open("approvals?view=decided", language=language)
    row = page.one(f"tr[data-sn='{wait.sn}'][data-status=rejected]", text=says)
    assert "carol" in row.find_element("css selector", f"[data-label='{asked_by}']").text


@both_languages
def test_a_task_of_a_shared_approval_shows_its_own_item_and_its_digest(site, recorded, language):
    item = {"item": "Grow disk 7", "item_digest": "sha256:7"}
    page = opened(site, recorded(request=item), language=language)
    asked = page.one("[data-card=runs]", text="Grow disk 7").text
    assert {"en": "Item", "zh-CN": "条目"}[language] in asked
    assert "sha256:7" in asked


def test_in_english_itsms_sentences_are_told_with_the_original_on_hover(site, recorded):
    page = opened(site, recorded(), language="en")
    told = page.one("[data-card=story] .told", text="The flow began")
    assert told.get_attribute("title") == "流程开始."
    heard = page.all("[data-card=story] .hidden")[0]
    assert (heard.get_property("textContent").strip(), heard.get_attribute("lang")) == ("流程开始.", "zh-CN")
    page.one("[data-card=story]", text="handed the ticket in")


def test_in_chinese_they_stay_as_itsm_wrote_them(site, recorded):
    page = opened(site, recorded(), language="zh-CN")
    page.one("[data-card=story]", text="流程开始.")
    assert page.all(".told") == []


@pytest.mark.parametrize(
    ("language", "reminds", "was_sent", "too_soon"),
    [
        ("en", "Airflow reminds the approvers", "The reminder was sent", "less than a minute ago"),
        ("zh-CN", "将按 Airflow 中配置的方式提醒审批人", "提醒已发送", "一分钟内已经催办过"),
    ],
)
def test_a_reminder_is_sent_once_a_minute(
    site, recorded, monkeypatch, tmp_path, language, reminds, was_sent, too_soon
):
    monkeypatch.setenv("AIRFLOW__BKITSM__REMIND", "tests.e2e.reminding.note")
    wait = recorded()
    page = opened(site, wait, language=language)
    for says in (was_sent, too_soon):
        page.click("#remind")
        page.one("dialog", text=reminds)
        page.click("#send")
        page.one("dialog .notice", text=says)
        page.click("dialog .button", text={"en": "Close", "zh-CN": "关闭"}[language])
    (sent,) = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert (sent["sn"], sent["by"]) == (wait.sn, "robot")


@pytest.fixture
def reminded(recorded) -> ApprovalWait:
    """Return a wait whose ticket was reminded of and escalated, with one of each that was not sent."""
    opened_at = datetime.now(UTC) - timedelta(hours=8, minutes=30)
    plan = read_plan(remind_after=timedelta(hours=12), escalate_after=timedelta(days=2))
    said = json.dumps({"plan": plan.as_dict(), "remind_by": [{"path": "company.chat.remind"}]})
    wait: ApprovalWait = recorded(opened_at=opened_at, reminders=said)
    record = partial(record_reminder, wait.sn, opened_at=opened_at)
    record(hours=2, recipients=("alice", "<b>bob</b>"))
    record(hours=4, state=ReminderState.MERGED)
    record(kind="escalate", hours=4, sender="", recipients=("carol",))
    record(kind="escalate", hours=4, recipients=("carol",))
    record(hours=6, state=ReminderState.GIVEN_UP)
    record(hours=7, state=ReminderState.CLAIMED)
    return wait


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        (
            "en",
            (
                *("Reminder sent to alice, <b>bob</b>", "Reminder left out: the escalation was due as well"),
                *("Handed over to carol", "Escalation sent to carol", "Reminder could not be sent, given up"),
                *("Reminder due, not known to be sent", "Next reminder due"),
            ),
        ),
        (
            "zh-CN",
            (
                *(
                    "已催办 alice, <b>bob</b>",
                    "与升级同时到点，未单独催办",
                    "已转单给 carol",
                    "升级通知已发给 carol",
                ),
                *("催办未能发出，已放弃", "催办已到点，尚未确认发出", "下次催办"),
            ),
        ),
    ],
)
def test_a_ticket_tells_which_reminders_went_out_and_when_the_next_is_due(site, reminded, language, lines):
    page = opened(site, reminded, language=language)
    page.one("[data-card=reminders] [data-state=next]")
    items = page.all("[data-card=reminders] li")
    assert [item.text.split("\n")[0] for item in items] == list(lines)
    assert {"en": "in 3 h ", "zh-CN": "3 小时 "}[language] in items[-1].text
    assert page.complaints() == []


@both_languages
def test_a_ticket_without_reminders_has_no_card_of_them(site, recorded, language):
    page = opened(site, recorded(), language=language)
    page.one("[data-card=runs]")
    assert page.all("[data-card=reminders]") == []


@pytest.mark.parametrize(("language", "withdraw"), [("en", "Withdraw"), ("zh-CN", "撤单")])
def test_a_ticket_is_withdrawn_with_a_reason(site, recorded, sandbox, language, withdraw):
    wait = recorded()
    page = opened(site, wait, language=language)
    page.click("#withdraw", text=withdraw)
    assert not page.one("#confirm", text=withdraw).is_enabled()
    page.one("#reason").send_keys("by mistake")
    page.click("#confirm")
    page.wait(lambda: page.all("dialog") == [], "the dialog stays")
    assert sandbox.ticket(wait.sn)["status"] == "REVOKED"


@both_languages
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_serious_is_in_the_way_of_a_screen_reader(site, recorded, sandbox, language, theme):
    wait = recorded(state="success", opened_at=datetime.now(UTC))
    record_reminder(wait.sn, opened_at=datetime.now(UTC), recipients=("alice",))
    sandbox.edit(wait.sn, APPROVAL_CONTENT="something else")
    at = len(site.tickets.founds) - 1
    site.tickets.founds[at] = type(wait)(**{**vars(wait), "verdict": verdict(wait, Outcome.APPROVED)})
    page = opened(site, wait, language=language, theme=theme)
    page.one(".differences")
    page.one("[data-card=reminders]")
    assert violations(page) == []


def test_on_a_phone_nothing_is_wider_than_the_screen(site, recorded):
    page = opened(site, recorded(request={"runs": "sha256:" + "0" * 64}))
    page.driver.set_window_size(*PHONE)
    page.one(".differences")
    assert page.script("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
