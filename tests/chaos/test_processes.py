# SPDX-License-Identifier: Apache-2.0
"""Real processes that are killed: every run ends with ITSM's verdict, with one ticket, and none is withdrawn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_bkitsm.tickets.reminder_store import ReminderState
from tests.chaos.points import Point
from tests.chaos.processes import ROUNDS, one_round
from tests.chaos.reminders import Counts, Reminding
from tests.chaos.rounds import Round
from tests.chaos.stage import WORKER, Stage, missing, stage
from tests.mail import mail_server

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def on_stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if lack := missing(request.param):
        pytest.skip(lack)
    with stage(tmp_path_factory.mktemp(request.param), executor=request.param) as running:
        yield running


@pytest.mark.parametrize("on_stage", ["LocalExecutor"], indirect=True)
def test_p1_p2_a_worker_killed_while_it_opens_its_ticket_costs_neither_ticket_nor_decision(on_stage):
    results = Round(on_stage, WORKER, [(Point.ASKING, False), (Point.ASKED, True)]).play()
    assert [one.problems for one in results] == [(), ()]


@pytest.mark.parametrize("on_stage", ["LocalExecutor"], indirect=True)
def test_p1_each_reminder_comes_once_though_a_triggerer_is_killed_while_it_sends(on_stage):
    with mail_server() as mail:
        reminding = Reminding(on_stage, mail, waits=14)
        # At most eleven are out or on their way by then.
        mail.hold_after(4)
        reminding.start()
        killed = reminding.until_held()
        on_stage.kill(killed)
        assert reminding.states()[ReminderState.CLAIMED]
        reminding.let_claims_run_out()
        mail.go_on()
        reminding.until_over()
        assert reminding.result() == Counts(once=14, twice=0, more=0, never=0)
        on_stage.restart(killed)


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("on_stage", "component"),
    [(executor, component) for executor, components in ROUNDS.items() for component in components],
    indirect=["on_stage"],
)
def test_p1_p2_p3_p5_every_run_ends_with_itsms_verdict_whatever_is_killed(on_stage, component):
    assert [problem for one in one_round(on_stage, component) for problem in one.problems] == []
