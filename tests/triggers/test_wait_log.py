# SPDX-License-Identifier: Apache-2.0
"""What the log of a wait says, and how often."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from airflow_provider_bkitsm.itsm.errors import printable
from airflow_provider_bkitsm.itsm.models import Progress, Step, TicketStatus
from airflow_provider_bkitsm.itsm.wait import Wait
from airflow_provider_bkitsm.triggers.wait_log import WaitLog, describe_steps

DEADLINE = datetime(2026, 12, 6, 10, 30, tzinfo=UTC)
URL = "https://itsm.example/#/ticket/detail?id=1"
APPROVAL = Step(key="15", name="内置审批节点", processors=("alice", "bob"))


def status(*steps: Step, current_status: str = "RUNNING", progress: Progress = Progress.RUNNING) -> TicketStatus:
    return TicketStatus(current_status=current_status, progress=progress, current_steps=steps, ticket_url=URL)


@pytest.fixture
def wait_log() -> WaitLog:
    return WaitLog(logging.getLogger("wait"), sn="REQ1", wait=Wait(interval=60, deadline=DEADLINE))


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="wait")
    return lambda: [one.getMessage() for one in caplog.records]


def test_the_log_says_until_when_and_where_at_once_and_then_who_is_asked(wait_log, lines):
    wait_log.begun(URL, called_back=True)
    wait_log.steps(status(APPROVAL), False)
    end, news = f"until 2026-12-06 10:30:00 UTC, {URL}", "a callback of ITSM, else the poll, every 60 s"
    assert lines() == [
        f"Waiting for ITSM ticket REQ1, {end}. The decision comes by {news}",
        f"ITSM ticket REQ1: waits for alice, bob at step 内置审批节点, {end}",
    ]


def test_a_line_is_written_again_only_when_step_or_approvers_change(wait_log, lines):
    for step in (APPROVAL, APPROVAL, Step(key="16", name="second", processors=("carol",)), APPROVAL):
        wait_log.begun(URL, called_back=False)
        wait_log.steps(status(step), False)
    people = [one.split(": ")[1].split(",")[0] for one in lines()[1:]]
    assert people == ["waits for alice", "waits for carol at step second", "waits for alice"]


def test_a_step_that_is_not_there_yet_is_no_change(wait_log, lines):
    wait_log.steps(status(APPROVAL), False)
    wait_log.steps(status(), False)
    wait_log.steps(status(APPROVAL), False)
    assert len(lines()) == 1


def test_a_suspended_ticket_is_named_so(wait_log, lines):
    wait_log.steps(status(APPROVAL, current_status="SUSPENDED", progress=Progress.SUSPENDED), False)
    assert lines()[0].startswith("ITSM ticket REQ1: SUSPENDED, waits for alice, bob at step")


def test_without_a_deadline_and_without_a_link(lines):
    log = WaitLog(logging.getLogger("wait"), sn="REQ1", wait=Wait(interval=0.5))
    log.begun("", called_back=False)
    assert lines() == [
        "Waiting for ITSM ticket REQ1, without a deadline. The decision comes by the poll, every 0.5 s"
    ]


def test_a_stalled_ticket_is_a_warning_each_time(wait_log, caplog):
    for _ in range(2):
        wait_log.steps(status(), True)
    assert [one.levelname for one in caplog.records] == ["WARNING", "WARNING"]
    assert all("asks nobody" in one.getMessage() for one in caplog.records)


def test_an_end_by_callback_explains_airflows_own_line(wait_log, lines):
    wait_log.ended_by_callback("ITSM ticket REQ1 is approved (alice approved: go)")
    assert lines() == [
        "Ended by callback: ITSM ticket REQ1 is approved (alice approved: go). Airflow logs this end as 'Trigger"
        " cancelled by user action'; no user did it"
    ]


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ((), ""),
        ((Step(key="1", name="a", is_open_to_all=True),), "waits for anybody at step a"),
        ((Step(key="7"),), "waits for nobody by name at step 7"),
        (
            (APPROVAL, Step(key="2", name="b", processors=("carol",))),
            "waits for alice, bob at step 内置审批节点; waits for carol at step b",
        ),
    ],
)
def test_every_kind_of_step_has_its_words(steps, text):
    assert describe_steps(steps) == text


def test_a_whole_department_does_not_fill_the_log():
    people = tuple(f"p{number}" for number in range(500))
    text = describe_steps((Step(key="1", name="a", processors=people),))
    assert text.endswith("p19 and 480 more at step a")


HOSTILE = ["a\nb", "a\r\nb", "\x1b[31mred", "\x9b1m", "\x07", "\x00", "\x7f", "\ud800"]
HOSTILE += ["\u202eevil", "\u2066x\u2069", "\u200f", "\u061c", "\u2028", "\u2029", "\u0085", "\ufeff"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_p4_no_text_of_itsm_forges_a_line_or_steers_a_terminal(wait_log, lines, hostile):
    wait_log.begun(f"https://itsm.example/{hostile}", called_back=False)
    wait_log.steps(status(Step(key="1", name=f"审批{hostile}", processors=(f"eve{hostile}",))), False)
    wait_log.steps(status(), True)
    wait_log.ended_by_callback(f"alice approved: {hostile}")
    assert all(one.isprintable() for one in lines())
    assert any("审批" in one for one in lines())


def test_what_people_can_read_stays_as_it_is():
    assert printable("上线\u3000审批 a-b_c. 100%") == "上线\u3000审批 a-b_c. 100%"
