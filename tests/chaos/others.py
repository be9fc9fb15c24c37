# SPDX-License-Identifier: Apache-2.0
"""Rules of the chaos machine for what others do, and for DAGs and runs that people change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from airflow_provider_bkitsm.sandbox.itsm.tickets import Ticket
from tests.chaos.adversary import EVE, MALLORY, Adversary
from tests.chaos.runs import Run
from tests.chaos.scene import Scene
from tests.chaos.tasks import ALICE
from tests.chaos.tries import Try
from tests.chaos.troubles import answer_dropped

PICK = st.integers(0, 30)


class OthersRules:
    """To be mixed into the machine."""

    scene: Scene
    adversary: Adversary
    counted: Callable[[str], None]
    opening: list[Run]
    until_it_sends_a_create: Callable[[Run], Try]

    # -- tickets of others -----------------------------------------------------------------------------------

    @precondition(lambda self: any(one.collector is None for one in self.scene.runs))
    @rule(
        pick=PICK,
        creator=st.sampled_from(["admin", EVE]),
        tagged=st.booleans(),
        approver=st.sampled_from([ALICE, MALLORY, MALLORY]),
        approves=st.booleans(),
    )
    def others_prepare_a_ticket(
        self, pick: int, creator: str, tagged: bool, approver: str, approves: bool
    ) -> None:
        self.counted("others prepare a ticket by guessed names")
        run = one_of([one for one in self.scene.runs if one.collector is None], pick)
        ticket = self.adversary.prepare(run, creator=creator, tagged=tagged, approver=approver)
        if approves:
            self.adversary.approve(ticket)

    @precondition(lambda self: self.scene.ours())
    @rule(pick=PICK, approver=st.sampled_from([None, MALLORY, MALLORY]), approves=st.booleans())
    def others_copy_a_ticket(self, pick: int, approver: str | None, approves: bool) -> None:
        self.counted("others copy a ticket with its tag and marker")
        ticket = self.adversary.copy(one_of(self.scene.ours()[-31:], pick), approver=approver)
        if approves:
            self.adversary.approve(ticket)

    @precondition(lambda self: any(one.collector is None for one in self.opening))
    @rule(pick=PICK, hides=st.booleans(), approves=st.booleans())
    def others_copy_a_ticket_whose_answer_is_lost(self, pick: int, hides: bool, approves: bool) -> None:
        self.counted("a ticket's answer is lost, others copy it and may edit ours")
        one = self.until_it_sends_a_create(one_of([one for one in self.opening if one.collector is None], pick))
        if one.over:
            return
        self.scene.go(one.run_of, one, order=answer_dropped)
        self.scene.crash(one.run_of, one)
        ours = self.scene.ours()[-1]
        copy = self.adversary.copy(ours, approver=MALLORY)
        if hides and not ours.over:
            self.adversary.edit(ours, "mark")
        if approves:
            self.adversary.approve(copy)

    @precondition(lambda self: any(not one.over for one in self.adversary.tickets))
    @rule(pick=PICK)
    def others_approve_their_ticket(self, pick: int) -> None:
        self.counted("others approve a ticket of theirs")
        self.adversary.approve(one_of([one for one in self.adversary.tickets if not one.over], pick))

    @precondition(lambda self: self.scene.open_tickets())
    @rule(pick=PICK, what=st.sampled_from(["content", "title", "mark", "approver", "back"]))
    def others_edit_a_ticket(self, pick: int, what: Any) -> None:
        self.counted("others edit a ticket of ours")
        self.adversary.edit(one_of(self.scene.open_tickets(), pick), what)

    @precondition(lambda self: not self.second_step_is_gone and any(one.two_steps for one in self.scene.runs))
    @rule()
    def an_administrator_deletes_a_step(self) -> None:
        self.counted("an administrator deletes a step under open tickets")
        self.second_step_is_gone = True
        self.adversary.delete_second_step()

    second_step_is_gone = False

    # -- XComs and events of others --------------------------------------------------------------------------

    @property
    def given_a_number(self) -> list[Run]:
        """Runs whose wait takes its number from an XCom."""
        return [one for one in self.scene.runs if one.phase == "wait" and one.kind in ("opens", "applies")]

    @precondition(lambda self: self.given_a_number)
    @rule(pick=PICK, other=PICK, looks=st.booleans())
    def others_write_the_number_of_another_ticket(self, pick: int, other: int, looks: bool) -> None:
        self.counted("others write another ticket's number into an XCom")
        run = one_of(self.given_a_number, pick)
        run.number_of_others, run.sabotaged = one_of(self.scene.sandbox.tickets[-31:], other).sn, True
        if looks:
            self.scene.see(run)

    @property
    def resumable(self) -> list[Run]:
        """Runs whose one task both asks and waits."""
        return [one for one in self.scene.runs if one.phase == "wait" and one.kind == "asks"]

    @precondition(lambda self: self.resumable and any(one.over for one in self.scene.sandbox.tickets))
    @rule(pick=PICK, other=PICK, foreign=st.booleans())
    def a_wait_is_resumed_with_another_tickets_verdict(self, pick: int, other: int, foreign: bool) -> None:
        self.counted("a wait is resumed with another ticket's verdict")
        run = one_of(self.resumable, pick)
        ended = [one for one in self.scene.sandbox.tickets if one.over][-31:]
        if foreign:
            ended = [one for one in ended if one.id not in self.scene.asked] or ended
        self.scene.see(run, event={"verdict": self._verdict(run, one_of(ended, other)).as_dict()})

    def _verdict(self, run: Run, ticket: Ticket) -> Verdict:
        verdict: Verdict = self.scene.hook_of(run).run(read_verdict(ticket.sn, VerdictPolicy()))
        return verdict

    # -- Airflow's people ------------------------------------------------------------------------------------

    @rule(pick=PICK, retries=st.integers(0, 3))
    def the_author_changes_retries(self, pick: int, retries: int) -> None:
        self.counted("retries are changed")
        one_of(self.scene.runs, pick).change_retries(retries)

    @property
    def deletable(self) -> list[Run]:
        """Runs that came to something; a collector's application is no run's (docs/collectors.md)."""
        return [one for one in self.scene.runs if one.collector is None and one.numbers]

    @precondition(lambda self: self.deletable)
    @rule(pick=PICK, crashes=st.integers(0, 3))
    def a_run_is_deleted_and_made_again(self, pick: int, crashes: int) -> None:
        self.counted("a run is deleted and made again under its id")
        run = one_of(self.deletable, pick)
        self.scene.delete_and_make_again(run)
        for stops in range(crashes):
            one = self.scene.try_of(run)
            self.scene.go(run, one, stops)
            self.scene.crash(run, one)


def one_of(things: Any, pick: int) -> Any:
    """Pick one."""
    return things[pick % len(things)]
