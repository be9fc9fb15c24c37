"""Opening a ticket exactly once, although ``create_ticket`` may do its work and lose its answer (P2)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_bkitsm.hooks.callback import with_callback
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.operating import operate
from airflow_provider_bkitsm.itsm.calls import TicketAction
from airflow_provider_bkitsm.itsm.errors import ItsmConflictError, ItsmOutcomeUnknownError, ItsmUnavailableError
from airflow_provider_bkitsm.itsm.models import CreatedTicket, TicketSummary
from airflow_provider_bkitsm.itsm.opening import find_opened, marker
from airflow_provider_bkitsm.itsm.outcome import ENDED

log = logging.getLogger(__name__)

# The gateway lets a request run for 120 s: until then the row of a lost create_ticket may still appear.
SETTLE_SECONDS = 120.0
_LOOKS = 12
_WITHDRAWALS, _UNTIL_STARTED = 10, 1.0


# For tickets that may have been opened by any run, long ago.
ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


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
    :param sleep: the clock's seam, for tests.
    """

    def __init__(self, *, hook: ItsmHook, sleep: Callable[[float], None] = time.sleep) -> None:
        self.hook = hook
        self.settle = hook.gateway.seconds("settle_seconds", SETTLE_SECONDS)
        self._sleep = sleep

    def find(self, handle: Handle, *, still_open: bool = False) -> CreatedTicket | None:
        """Return the ticket already opened with this tag.

        Of several, the oldest is kept and the others are withdrawn.

        :param still_open: leave out tickets that have ended.
        """
        listed = self.hook.run(find_opened(handle.tag, creator=handle.creator, since=handle.since))
        found = [one for one in listed if handle.counts(one)]
        if still_open:
            found = [one for one in found if one.current_status not in ENDED]
        for one in found[1:]:
            self._withdraw(one, creator=handle.creator, kept=found[0].sn)
        if not found:
            return None
        log.info("ticket %s was already opened for this approval; adopting it", found[0].sn)
        return _created(found[0])

    def open(self, handle: Handle, **request: Any) -> CreatedTicket:
        """Open a ticket; when the answer is lost, wait for it to appear.

        ITSM is asked to call back, unless ``meta`` names an address of its own.

        :param request: the other parameters of ``create_ticket``.
        :raises ItsmOutcomeUnknownError: nothing appeared in time; a retry looks again before it opens one.
        """
        request["meta"] = with_callback(request.get("meta"), gateway=self.hook.gateway, tag=handle.tag)
        try:
            ticket = self.hook.create_ticket(tag=handle.tag, creator=handle.creator, **request)
        except ItsmOutcomeUnknownError as lost:
            log.warning("%s; looking for a ticket marked #%s", lost, marker(handle.tag))
            return self._appeared(handle, lost)
        log.info("opened ticket %s: %s", ticket.sn, ticket.ticket_url)
        return ticket

    def open_shared(self, handle: Handle, **request: Any) -> CreatedTicket:
        """Open a ticket for all who share a tag, unless another of them has just done so."""
        mine = self.open(handle, **request)
        return self.find(handle) or mine

    def _withdraw(self, ticket: TicketSummary, *, creator: str, kept: str) -> None:
        """Withdraw a ticket; one that was just opened can be withdrawn only once its flow has started."""
        reason = f"{kept} was opened for the same approval"
        for left in range(_WITHDRAWALS - 1, -1, -1):
            try:
                operate(
                    self.hook,
                    sn=ticket.sn,
                    action_type=TicketAction.WITHDRAW,
                    operator=creator,
                    action_message=reason,
                )
            except ItsmConflictError:
                if left == 0:
                    raise
                self._sleep(_UNTIL_STARTED)
            else:
                log.info("ticket %s is withdrawn or over: %s", ticket.sn, reason)
                return

    def look_for(self, handle: Handle, *, seconds: float) -> CreatedTicket | None:
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

    def seconds_left(self, handle: Handle) -> float:
        """How long the ticket of a lost answer may still take to appear."""
        return self.settle - (datetime.now(UTC) - handle.since).total_seconds()

    def _appeared(self, handle: Handle, lost: ItsmOutcomeUnknownError) -> CreatedTicket:
        found = self.look_for(handle, seconds=self.settle)
        if found:
            return found
        raise ItsmOutcomeUnknownError(
            f"{lost.message}. No ticket marked #{marker(handle.tag)} was seen in {self.settle:.0f} s; a retry"
            " looks for it again before it opens one"
        ) from None


def _created(ticket: TicketSummary) -> CreatedTicket:
    return CreatedTicket(sn=ticket.sn, id=ticket.id, ticket_url=ticket.ticket_url)
