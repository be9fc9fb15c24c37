# SPDX-License-Identifier: Apache-2.0
"""Opening a ticket exactly once, although ``create_ticket`` may do its work and lose its answer (P2)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.hooks.callback import with_callback
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.operating import call_off
from airflow_provider_bkitsm.itsm.errors import (
    ItsmConflictError,
    ItsmError,
    ItsmInvalidRequestError,
    ItsmOrphanError,
    ItsmOutcomeUnknownError,
    ItsmUnavailableError,
)
from airflow_provider_bkitsm.itsm.models import CreatedTicket, TicketSummary
from airflow_provider_bkitsm.itsm.opening import find_opened, marker
from airflow_provider_bkitsm.itsm.outcome import ENDED

log = logging.getLogger(__name__)

# The gateway lets a request run for 120 s: until then the row of a lost create_ticket may still appear.
SETTLE_SECONDS = 120.0
_LOOKS = 12
_STARTS, _START_SECONDS = 30, 2.0
_MAY_START = timedelta(hours=1)
_ORPHAN = (
    "Ticket {sn} carries this approval's mark, but its flow has not started: it asks nobody, and ITSM neither"
    " withdraws nor terminates such a ticket. No second one was opened. A retry looks at it again; if it never"
    " starts, have it deleted in ITSM, then clear the task"
)

# For tickets that may have been opened by any run, long ago.
ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)

# A ticket as its opening, or a search, knows it.
Opened = CreatedTicket | TicketSummary


@dataclass(frozen=True, kw_only=True)
class Handle:
    """What a ticket whose answer was lost is found by.

    :param since: when the first attempt to open it may have been made (aware).
    :param began: tickets that ended before are of no concern (aware); None: all are.
    """

    tag: str
    creator: str
    since: datetime
    began: datetime | None = None

    def counts(self, ticket: TicketSummary) -> bool:
        """Whether a found ticket is open, or was when whoever asks began."""
        if self.began is None or ticket.current_status not in ENDED:
            return True
        return ticket.end_at is not None and ticket.end_at >= self.began


class TicketOpener:
    """Opens tickets by tag: looks before it opens, and looks after a lost answer.

    :param hook: the ITSM to open tickets in. Extra ``settle_seconds`` of its connection is how long a lost
        ``create_ticket`` may take to appear (default 120).
    :param calls_back: whether ITSM is asked to call back; nobody may wait for the ticket.
    :param sleep: the clock's seam, for tests.
    """

    def __init__(
        self, *, hook: ItsmHook, calls_back: bool = True, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.hook = hook
        self.calls_back = calls_back
        self.settle = hook.gateway.seconds("settle_seconds", SETTLE_SECONDS)
        self._sleep = sleep

    def find(self, handle: Handle) -> TicketSummary | None:
        """Return the ticket already opened with this tag. Of several, the oldest stands and the rest is ended.

        :raises ItsmOrphanError: its flow has not started.
        """
        found = self._listed(handle)
        if not found:
            return None
        kept = self._oldest_started(found)
        for one in found:
            if _is_second(one, kept):
                self._end_second(one, kept=kept.sn)
        log.info("ticket %s was already opened for this approval; adopting it", kept.sn)
        return kept

    def find_open(self, handle: Handle) -> TicketSummary | None:
        """Return an earlier round's ticket, if it is still open; one that never started is told and left out.

        :raises ItsmOrphanError: its flow has not started, but may yet.
        """
        found = [one for one in self._listed(handle) if one.current_status not in ENDED]
        try:
            kept = self._oldest_started(found) if found else None
        except ItsmOrphanError as orphan:
            if any(map(_is_young, found)):
                raise
            log.error("%s", orphan)
            return None
        if kept is not None:
            log.info("ticket %s of an earlier round is still open", kept.sn)
        return kept

    def open(self, handle: Handle, **request: Any) -> Opened:
        """Open a ticket; when the answer is lost, wait for it to appear.

        Where ITSM is to call back, it is asked to, unless ``meta`` names an address of its own.

        :param request: the other parameters of ``create_ticket``.
        :raises ItsmOutcomeUnknownError: nothing appeared in time; a retry looks again before it opens one.
        :raises ItsmOrphanError: ITSM refused, and left a ticket behind all the same.
        """
        if self.calls_back:
            request["meta"] = with_callback(request.get("meta"), gateway=self.hook.gateway, tag=handle.tag)
        try:
            ticket = self.hook.create_ticket(tag=handle.tag, creator=handle.creator, **request)
        except ItsmOutcomeUnknownError as lost:
            log.warning("%s; looking for a ticket marked #%s", lost, marker(handle.tag))
            return self._appeared(handle, lost)
        except ItsmInvalidRequestError as refused:
            self._report_orphan(handle, refused)
            raise
        log.info("opened ticket %s: %s", ticket.sn, ticket.ticket_url)
        return ticket

    def open_shared(self, handle: Handle, **request: Any) -> Opened:
        """Open a ticket for all who share a tag, unless another of them has just done so."""
        mine = self.open(handle, **request)
        others = any(one.sn != mine.sn for one in self._listed(handle))
        return (self.find(handle) if others else None) or mine

    def look_for(self, handle: Handle, *, seconds: float) -> TicketSummary | None:
        """Look for a ticket for so long; outages of ITSM in between are waited out.

        :raises ItsmUnavailableError: ITSM could not be read at the end either, so nothing is known.
        """
        looks = _LOOKS if seconds > 0 else 0
        for left in range(looks, -1, -1):
            try:
                found = self.find(handle)
            except ItsmUnavailableError:
                if left == 0:
                    raise
                found = None
            if found or left == 0:
                return found
            self._sleep(seconds / looks)
        return None

    def outlast(self, handle: Handle, *, seconds: float) -> TicketSummary | None:
        """Look once nothing more can appear: of several who share a tag, one stands and the rest is ended."""
        self._sleep(seconds)
        return self.find(handle)

    def seconds_left(self, handle: Handle) -> float:
        """How long the ticket of a lost answer may still take to appear."""
        return self.settle - (datetime.now(UTC) - handle.since).total_seconds()

    def call_off(self, ticket: Opened, *, why: str) -> None:
        """End a ticket nobody waits for any more, unless it is over."""
        call_off(self.hook, sn=ticket.sn, why=why, sleep=self._sleep)

    def _listed(self, handle: Handle) -> list[TicketSummary]:
        found = self.hook.run(find_opened(handle.tag, creator=handle.creator, since=handle.since))
        return [one for one in found if handle.counts(one)]

    def _oldest_started(self, found: Sequence[TicketSummary]) -> TicketSummary:
        """Return the oldest ticket that asks somebody, or asked somebody once."""
        for one in found:
            if one.current_status in ENDED or self._starts(one):
                return one
        raise ItsmOrphanError(_ORPHAN.format(sn=found[0].sn))

    def _starts(self, ticket: TicketSummary) -> bool:
        """Whether a ticket comes to ask somebody; ITSM takes a moment to start one (reference 4.1.4)."""
        for left in range(_STARTS if _is_young(ticket) else 1, 0, -1):
            status = self.hook.get_ticket_status(ticket.sn)
            if status.current_steps or status.current_status != "RUNNING":
                return True
            if left > 1:
                self._sleep(_START_SECONDS)
        return False

    def _end_second(self, ticket: TicketSummary, *, kept: str) -> None:
        try:
            self.call_off(ticket, why=f"{kept} was opened for the same approval")
        except ItsmConflictError as error:
            log.error(
                "ticket %s STAYS OPEN beside %s, though its answer has no effect: %s", ticket.sn, kept, error
            )

    def _report_orphan(self, handle: Handle, refused: ItsmInvalidRequestError) -> None:
        """Tell of a ticket that ITSM made although it refused to (observed: invalid dynamic fields)."""
        try:
            left = [
                one for one in self._listed(handle) if one.current_status not in ENDED and not self._starts(one)
            ]
        except ItsmError as error:
            log.warning("whether the refused ticket exists all the same could not be read: %s", error)
            return
        if left:
            raise ItsmOrphanError(f"{refused}. {_ORPHAN.format(sn=left[0].sn)}") from refused

    def _appeared(self, handle: Handle, lost: ItsmOutcomeUnknownError) -> TicketSummary:
        found = self.look_for(handle, seconds=self.settle)
        if found:
            telemetry.adopted(self.hook.bkitsm_conn_id)
            return found
        raise ItsmOutcomeUnknownError(
            f"{lost.message}. No ticket marked #{marker(handle.tag)} was seen in {self.settle:.0f} s; a retry"
            " looks for it again before it opens one"
        ) from None


def _is_second(ticket: TicketSummary, kept: TicketSummary) -> bool:
    """Whether an open ticket asks what another one asks or asked; one opened after that had ended asks anew."""
    if ticket.sn == kept.sn or ticket.current_status in ENDED:
        return False
    if kept.current_status not in ENDED:
        return True
    return bool(kept.end_at and ticket.create_at and ticket.create_at < kept.end_at)


def _is_young(ticket: TicketSummary) -> bool:
    """Whether a ticket that has not started may do so yet: ITSM's worker may be down."""
    return ticket.create_at is not None and datetime.now(UTC) - ticket.create_at < _MAY_START
