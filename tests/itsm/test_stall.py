# SPDX-License-Identifier: Apache-2.0
"""Tickets that run and ask nobody: which they are, what is said of them, and how rarely ITSM is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from airflow_provider_bkitsm.itsm.models import Progress, Step, TicketInfo
from airflow_provider_bkitsm.itsm.stall import StepChecks, describe, has_started, is_stalled, is_told_now
from airflow_provider_bkitsm.itsm.v2 import calls
from airflow_provider_bkitsm.itsm.v2.status import read_info
from tests.record import EVIDENCE, EXCHANGES

NOBODY = Step(name="提单", key="1", is_open_to_all=True)
ALICE = Step(name="审批", key="2", processors=("alice",))
AUTOMATIC = Step(name="调接口", key="3")
OPENED = datetime(2026, 11, 24, tzinfo=UTC)


def recorded(name: str) -> TicketInfo:
    data = {**EXCHANGES, **EVIDENCE}[f"get_ticket_info__{name}"]["body"]["data"]
    return read_info(calls.get_ticket_info("REQ1").parse(data))


@pytest.mark.parametrize(
    "name",
    [
        *("field_string_emoji", "field_text_emoji", "field_int_word", "field_int_empty", "title_128_quotes"),
        *("sign_node_no_no_no", "celery_worker_down"),
    ],
)
def test_a_recorded_ticket_that_asks_nobody(name):
    info = recorded(name)
    assert is_stalled(info.progress, info.current_steps)


@pytest.mark.parametrize(
    "name", ["field_int_text", "field_table_emoji", "title_128_characters", "remark_with_markup"]
)
def test_a_recorded_ticket_that_asks_somebody_or_is_over(name):
    info = recorded(name)
    assert not is_stalled(info.progress, info.current_steps)


@pytest.mark.parametrize("name", ["field_string_emoji", "field_text_emoji", "celery_worker_down"])
def test_a_recorded_ticket_whose_flow_has_not_started(name):
    assert not has_started(recorded(name))


@pytest.mark.parametrize(
    "name",
    [
        *("sign_node_no_no_no", "sign_node_yes_no_yes", "title_128_characters", "title_120_characters"),
        *("field_int_word", "task_node_only", "remark_with_markup"),
    ],
)
def test_a_recorded_ticket_whose_flow_has_started_though_it_may_list_no_step(name):
    assert has_started(recorded(name))


@pytest.mark.parametrize(
    ("progress", "steps", "stalled"),
    [
        (Progress.RUNNING, (), True),
        (Progress.RUNNING, (NOBODY,), True),
        (Progress.RUNNING, (NOBODY, ALICE), False),
        (Progress.RUNNING, (AUTOMATIC,), False),
        (Progress.SUSPENDED, (), False),
        (Progress.FINISHED, (), False),
        (Progress.OPEN, (), False),
    ],
)
def test_a_stall_is_a_running_ticket_without_anybody(progress, steps, stalled):
    assert is_stalled(progress, steps) is stalled


def test_what_is_said_claims_no_more_than_is_known_and_says_what_to_do():
    said = describe("REQ1", ())
    assert said.startswith("ITSM ticket REQ1 is RUNNING and lists no step")
    assert "has not started, or an automatic step of it has failed" in said
    for cause in ("four-byte characters", "INT field", "128 characters", "celery worker"):
        assert cause in said
    assert said.endswith("have ITSM's administrator delete it, then clear this task")
    said = describe("REQ1", (NOBODY,))
    assert "its step 提单 names nobody" in said
    assert "lists no step" not in said


def after(seconds: float, *, interval: float = 60) -> bool:
    return is_told_now(opened=OPENED, now=OPENED + timedelta(seconds=seconds), interval=interval)


def test_a_look_that_remembers_nothing_tells_of_it_after_a_minute_and_then_every_ten():
    assert [seconds for seconds in range(0, 1800, 60) if after(seconds)] == [60, 120, 660, 720, 1260, 1320]
    assert not after(59)
    assert after(5000, interval=900)


def test_a_ticket_is_checked_soon_after_its_wait_began():
    checks = StepChecks()
    checks.add("A", 0.0)
    assert checks.next(4.0) is None
    assert checks.seconds_to_next(4.0) == 1.0
    assert checks.next(5.0) == "A"
    assert checks.next(1e9) is None


def test_a_ticket_that_asks_somebody_is_left_alone_for_hours():
    checks = StepChecks()
    checks.add("A", 0.0)
    assert checks.next(5.0) == "A"
    assert not checks.checked("A", 5.0, asks_nobody=False)
    assert checks.next(3600.0) is None
    assert checks.next(5.0 + 6 * 3600) == "A"


def test_a_ticket_that_asks_nobody_is_stalled_after_a_minute_only():
    checks = StepChecks()
    checks.add("A", 0.0)
    assert checks.next(5.0) == "A"
    assert not checks.checked("A", 5.0, asks_nobody=True)
    assert checks.next(59.0) is None
    assert checks.next(60.0) == "A"
    assert checks.checked("A", 60.0, asks_nobody=True)


def test_a_step_that_has_just_ended_is_no_stall():
    checks = StepChecks()
    checks.add("A", 0.0)
    checks.next(5.0)
    checks.checked("A", 5.0, asks_nobody=False)
    assert checks.next(5.0 + 6 * 3600) == "A"
    assert not checks.checked("A", 21605.0, asks_nobody=True)
    assert checks.next(21665.0) == "A"
    assert checks.checked("A", 21665.0, asks_nobody=True)


def test_a_stalled_ticket_is_checked_ever_more_rarely():
    checks, now, moments = StepChecks(), 0.0, []
    checks.add("A", now)
    while len(moments) < 7:
        now += 10.0
        if checks.next(now) and checks.checked("A", now, asks_nobody=True):
            moments.append(now)
    pauses = [later - one for one, later in pairwise(moments)]
    assert pauses == [600, 1200, 2400, 3600, 3600, 3600]


def test_a_change_is_looked_at_once_soon_however_often_it_is_seen():
    checks = StepChecks()
    checks.add("A", 0.0)
    checks.next(5.0)
    checks.checked("A", 5.0, asks_nobody=False)
    for now in (100.0, 102.0, 104.0):
        checks.changed("A", now)
    assert checks.next(104.0) is None
    assert checks.next(105.0) == "A"
    assert not checks.checked("A", 105.0, asks_nobody=False)
    assert checks.next(3600.0) is None


def test_a_change_during_a_check_is_not_lost():
    checks = StepChecks()
    checks.add("A", 0.0)
    assert checks.next(5.0) == "A"
    checks.changed("A", 6.0)
    checks.checked("A", 7.0, asks_nobody=False)
    assert checks.next(11.0) == "A"


def test_whoever_waits_for_a_ticket_too_has_it_checked_soon():
    checks = StepChecks()
    checks.add("A", 0.0)
    checks.next(5.0)
    checks.checked("A", 5.0, asks_nobody=False)
    checks.add("A", 50.0)
    assert checks.next(55.0) == "A"


def test_a_check_that_failed_is_made_again_later():
    checks = StepChecks()
    checks.add("A", 0.0)
    assert checks.next(5.0) == "A"
    checks.failed("A", 5.0)
    assert checks.next(604.0) is None
    assert checks.next(605.0) == "A"


def test_whoever_left_is_not_checked():
    checks = StepChecks()
    checks.add("A", 0.0)
    checks.discard("A")
    assert not checks.checked("A", 0.0, asks_nobody=True)
    checks.failed("A", 0.0)
    checks.changed("A", 0.0)
    assert checks.next(1e9) is None
    checks.add("A", 100.0)
    assert checks.next(104.0) is None
    assert checks.next(105.0) == "A"


def test_nobody_sleeps_past_a_ticket_that_comes_meanwhile():
    checks = StepChecks()
    assert checks.seconds_to_next(0.0) == 5.0
    checks.add("A", 0.0)
    assert checks.seconds_to_next(3.0) == 2.0
    checks.next(5.0)
    checks.checked("A", 5.0, asks_nobody=False)
    assert checks.seconds_to_next(60.0) == 5.0
    assert checks.seconds_to_next(1e9) == 0.0


def test_a_steps_name_writes_no_line_of_a_log():
    described = describe("REQ1", (Step(name="审批\n2026-11-24 INFO all is well", key="1"),))
    assert r"审批\n2026-11-24" in described
    assert "\n" not in described
