# SPDX-License-Identifier: Apache-2.0
"""What must be true of a scene, whatever was done to it.

The truth is kept here apart from the package: which of our tasks opened a ticket and what it asked, who answered
what, and what they read when they did.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.collectors.clean_config import digest
from airflow_provider_bkitsm.collectors.row import CollectorRow
from airflow_provider_bkitsm.hooks.transport import Request
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.sandbox.itsm.tickets import Ticket
from airflow_provider_bkitsm.tickets.approval_store import ApprovalStore
from tests.chaos.runs import DAG_ID, Asked, Run
from tests.chaos.seams import call_of
from tests.chaos.tasks import ALICE, CONN

if TYPE_CHECKING:
    from tests.chaos.scene import Scene

_WRITES = ("operate_ticket", "operate_node", "approve", "edit_field", "proceed_approval", "comment")
_ADMINISTRATOR = "admin"
# ITSM tells whole seconds.
_TICK = 1


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What people answered in a ticket.

    :param at: when the last of them did, by Airflow's clock.
    :param form: what they read then.
    """

    answers: tuple[tuple[str, bool], ...] = ()
    withdrawn: bool = False
    at: datetime | None = None
    form: str = ""

    def with_answer(self, person: str, yes: bool, *, at: datetime, form: str) -> Decision:
        """Return it with a further answer."""
        return replace(self, answers=(*self.answers, (person, yes)), at=at, form=form)

    @property
    def outcome(self) -> Outcome:
        """What they decided, if that is all of them."""
        if self.withdrawn:
            return Outcome.WITHDRAWN
        return Outcome.APPROVED if all(yes for _, yes in self.answers) else Outcome.REJECTED


def form_of(ticket: Ticket) -> str:
    """Return title and form of a ticket as one text."""
    shown = {key: str(value) for key, value in ticket.fields.items() if key != "title"}
    return json.dumps([str(ticket.fields.get("title", ticket.title)), shown], sort_keys=True)


class Promises:
    """The checks of a scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.written: list[tuple[int, str]] = []
        self.foreign: dict[int, str] = {}

    # -- what others have ------------------------------------------------------------------------------------

    def note_foreign(self, ticket: Ticket) -> None:
        """Note how another's ticket looks, after its owner has done something to it."""
        self.foreign[ticket.id] = _seen(ticket)

    def _check_foreign(self) -> None:
        for number, seen in self.foreign.items():
            assert _seen(self.scene.sandbox.world.tickets[number]) == seen, "P6: another's ticket was touched"

    # -- what a task is about to do --------------------------------------------------------------------------

    def check_request(self, request: Request, run: Run) -> None:
        """Check what a task is about to do (P3, P6, P7)."""
        body = json.loads(request.body) if request.body else {}
        name = call_of(request)
        if name in _WRITES:
            touched = {one.sn for one in self.scene.sandbox.tickets if one.id in self.foreign}
            assert body.get("sn") not in touched, f"P6: {name} of {body}"
        if name == "create_ticket":
            self._check_intent(run, body["tag"])
        if name == "update_or_create_clean_config":
            self._check_write(request, body)

    def _check_intent(self, run: Run, tag: str) -> None:
        if run.collector is not None:
            history = self.scene.store.history(CONN, run.collector)
            assert tag in [one.detail.get("tag") for one in history if one.event == "apply"], "P7: no intent"
            return
        approvals = ApprovalStore(run.site.engine, now=self.scene.clock.now)
        places = ((DAG_ID, run.name), (DAG_ID, ""), ("", ""))
        asking = [one for place in places for one in approvals.of_run(*place) if one.create_started_at]
        assert tag in [one.tag for one in asking], "P7: no intent"

    def _check_write(self, request: Request, body: dict[str, Any]) -> None:
        collector, shown = int(request.url.rstrip("/").split("/")[-2]), digest(body)
        approved = [one for one in self.scene.ours() if shown in json.dumps(one.fields) and self._says_yes(one)]
        assert approved, f"P3: an ETL that nobody approved: {body}"
        self.written.append((collector, shown))

    # -- what a wait goes by ---------------------------------------------------------------------------------

    def check_awaited(self, run: Run) -> None:
        """Check the ticket that a first task has returned: one of ours, for this run."""
        ticket = self.scene.sandbox.world.one(run.sn)
        asked = self.scene.asked.get(ticket.id)
        assert asked is not None, f"P3: {run.name} waits for a ticket of others: {ticket.title}"
        assert run.collector is not None or asked.sharers == run.asked().sharers, (
            f"P3: {run.name} waits for {ticket.title}"
        )

    def check_believed(self, run: Run) -> None:
        """Check a wait that has let its run go on."""
        wrong = self._wrong(run, run.awaited)
        assert not wrong, f"P3: {run.name} went on by {run.awaited}: {wrong}"

    def check_refused(self, run: Run) -> None:
        """Check a wait that has not: an approval of what was asked counts (P1)."""
        wrong = self._wrong(run, run.awaited)
        assert wrong, f"P1: {run.name} did not go on by {run.awaited}"
        (ticket,) = self.scene.sandbox.world.by_sn(run.awaited)
        asked = self.scene.asked.get(ticket.id)
        if not ticket.over and asked is not None and asked.at is not None:
            waited = (self.scene.clock.now() - asked.at).total_seconds()
            assert run.timeout is not None, f"P1: {run.name} gave up {ticket.sn}"
            assert waited > run.timeout - _TICK, f"P1: {run.name} gave up {ticket.sn} after {waited} s"
            run.sabotaged = True

    def _wrong(self, run: Run, sn: str) -> str:
        """Say why a ticket's approval is none of this run's round; empty if it is."""
        found = self.scene.sandbox.world.by_sn(sn)
        ticket = found[0] if len(found) == 1 else None
        asked = self.scene.asked.get(ticket.id) if ticket else None
        if ticket is None or asked is None:
            return "nobody of ours has opened it"
        if run.kind == "applies":
            return "" if sn == run.sn and self._says_yes(ticket) else "not its own, or not approved"
        if asked.sharers != run.asked().sharers:
            return f"{asked.run.name} has opened it"
        if asked.item != run.item:
            return f"it asks for {asked.item}"
        decided = self.scene.decided.get(sn)
        if decided is None or decided.at is None or decided.at < run.round_began:
            return f"it was decided at {decided and decided.at}, and the round began at {run.round_began}"
        return "" if self._says_yes(ticket) else f"it was not approved: {decided}"

    def _says_yes(self, ticket: Ticket) -> bool:
        """Whether the people whom we have asked have said yes to what we have asked."""
        decided, asked = self.scene.decided.get(ticket.sn), self.scene.asked[ticket.id]
        if decided is None or decided.outcome is not Outcome.APPROVED or not ticket.over:
            return False
        people = [ALICE, _ADMINISTRATOR] if asked.run.two_steps else [ALICE]
        return [who for who, _ in decided.answers] == people and decided.form == asked.form

    # -- at any time -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check what must be true at any time."""
        scene = self.scene
        scene.broken, broken = True, scene.broken
        self._check_foreign()
        places = Counter(scene.asked[one.id].place for one in self._untouched())
        assert not [one for one, many in places.items() if many > 1], f"P2: two open tickets: {places}"
        for row in self.rows():
            self._check_row(row)
        scene.broken = broken

    def check_end(self) -> None:
        """Check what must be true when all runs have ended (P1, P2, P5)."""
        self.check()
        waiting = [(one.sn, one.title) for one in self._untouched() if not self._is_left(self.scene.asked[one.id])]
        assert not waiting, f"P5: open tickets that nobody waits for: {waiting}"
        for row in self.rows():
            self._check_history(row)

    def _untouched(self) -> list[Ticket]:
        """Return our open tickets that ask what we have asked."""
        return [one for one in self.scene.open_tickets() if one.id not in self.scene.edited]

    def _is_left(self, asked: Asked) -> bool:
        """Whether a ticket may stay open: it only tells, or its wait was deleted or sabotaged."""
        sharing = [one for one in self.scene.runs if asked.key and one.key == asked.key]
        return asked.run.kind == "tells" or any(
            one.sabotaged or one.life > (asked.life if one is asked.run else 0) for one in [asked.run, *sharing]
        )

    def rows(self) -> list[CollectorRow]:
        """Return the rows of all collectors that runs are about."""
        numbers = sorted({run.collector for run in self.scene.runs if run.collector})
        return [self.scene.store.get(CONN, one) for one in numbers]

    def _check_row(self, row: CollectorRow) -> None:
        if row.provisioned_at is None and not row.has_success:
            return
        ticket = self.scene.sandbox.world.one(row.ticket_sn)
        assert row.outcome is Outcome.APPROVED, f"P3: {row}"
        assert self._says_yes(ticket), f"P3: {row}"
        assert ticket.tag == row.tag, f"P3: {row}"
        assert row.provisioned_at is not None, f"P7: complete before its ETL: {row}"
        assert (row.collector_config_id, row.etl_digest) in self.written, f"P7: its ETL was never written: {row}"

    def _check_history(self, row: CollectorRow) -> None:
        history = self.scene.store.history(CONN, row.collector_config_id)
        assert [one.version for one in history] == list(range(1, row.version + 1))
        verdicts = {one.ticket_sn: one.detail["outcome"] for one in history if one.event == "decided"}
        for sn in {one.ticket_sn for one in history if one.ticket_sn} & set(self.scene.decided):
            ticket, outcome = self.scene.sandbox.world.one(sn), self.scene.decided[sn].outcome
            said = {outcome}
            if outcome is Outcome.WITHDRAWN:
                # Nobody's decision: a task that withdraws in the same moment says that its time was up.
                said.add(Outcome.TIMED_OUT)
            if outcome is Outcome.APPROVED and not self._says_yes(ticket):
                said = {Outcome.REJECTED}
            assert verdicts.get(sn) in said, f"P1: {sn} was {outcome}: {verdicts}"


def _seen(ticket: Ticket) -> str:
    return json.dumps(ticket.document(), default=str)
