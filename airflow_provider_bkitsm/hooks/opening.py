"""Opening a ticket exactly once, although ``create_ticket`` may do its work and lose its answer (P2)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.errors import ItsmOutcomeUnknownError, ItsmUnavailableError
from airflow_provider_bkitsm.itsm.models import CreatedTicket
from airflow_provider_bkitsm.itsm.opening import find_opened, marker

log = logging.getLogger(__name__)

# The gateway lets a request run for 120 s: until then the row of a lost create_ticket may still appear.
SETTLE_SECONDS = 120.0


class TicketOpener:
    """Opens tickets by tag: looks before it opens, and looks after a lost answer.

    :param hook: the ITSM to open tickets in.
    :param sleep: the clock's seam, for tests.
    """

    def __init__(self, *, hook: ItsmHook, sleep: Callable[[float], None] = time.sleep) -> None:
        self.hook = hook
        self._sleep = sleep
        self._settle = hook.gateway.seconds("settle_seconds", SETTLE_SECONDS)

    def find(self, tag: str, *, creator: str, since: datetime) -> CreatedTicket | None:
        """Return the ticket already opened with this tag; the oldest one, should there be several."""
        found = self.hook.run(find_opened(tag, creator=creator, since=since))
        if len(found) > 1:
            log.error("several tickets carry %s: %s", marker(tag), ", ".join(one.sn for one in found))
        if not found:
            return None
        log.info("ticket %s was already opened for this approval; adopting it", found[0].sn)
        return CreatedTicket(sn=found[0].sn, id=found[0].id, ticket_url=found[0].ticket_url)

    def open(self, tag: str, *, creator: str, since: datetime, **request: Any) -> CreatedTicket:
        """Open a ticket; when the answer is lost, wait for it to appear.

        :param request: the other parameters of ``create_ticket``.
        :raises ItsmOutcomeUnknownError: nothing appeared in time; a retry looks again before it opens one.
        """
        try:
            ticket = self.hook.create_ticket(tag=tag, creator=creator, **request)
        except ItsmOutcomeUnknownError as lost:
            log.warning("%s; looking for a ticket marked %s", lost, marker(tag))
            return self._appeared(tag, creator, since, lost)
        log.info("opened ticket %s: %s", ticket.sn, ticket.ticket_url)
        return ticket

    def find_or_open(self, tag: str, *, creator: str, since: datetime, **request: Any) -> CreatedTicket:
        """Adopt the ticket already opened with this tag, or open it."""
        found = self.find(tag, creator=creator, since=since)
        return found or self.open(tag, creator=creator, since=since, **request)

    def _appeared(
        self, tag: str, creator: str, since: datetime, lost: ItsmOutcomeUnknownError
    ) -> CreatedTicket:
        pauses = 12
        for _ in range(pauses):
            self._sleep(self._settle / pauses)
            try:
                found = self.find(tag, creator=creator, since=since)
            except ItsmUnavailableError as error:
                log.warning("%s", error)
                continue
            if found:
                return found
        raise ItsmOutcomeUnknownError(
            f"{lost.message}. No ticket marked {marker(tag)} was seen in {self._settle:.0f} s;"
            " a retry looks for it again before it opens one"
        ) from None
