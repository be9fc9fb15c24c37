# SPDX-License-Identifier: Apache-2.0
"""Opening a ticket exactly once, although the call may do its work and lose its answer (P2)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.confirmation import ticket_differences
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import (
    ItsmConflictError,
    ItsmError,
    ItsmInvalidRequestError,
    ItsmOrphanError,
    ItsmOutcomeUnknownError,
    ItsmUnavailableError,
    printable,
)
from airflow_provider_bkitsm.itsm.idempotency import find_opened, is_marked, marks
from airflow_provider_bkitsm.itsm.models import CreatedTicket, TicketInfo, TicketSummary
from airflow_provider_bkitsm.itsm.stall import has_started
from airflow_provider_bkitsm.tickets.callback_tokens import with_kept_callback
from airflow_provider_bkitsm.tickets.opening_records import KnownTicket, read_known_tickets
from airflow_provider_bkitsm.tickets.withdrawal import withdraw

log = logging.getLogger(__name__)

# The gateway lets a request run for 120 s: until then a ticket whose answer was lost may still appear
# (docs/itsm-behaviour.md#lost-answer).
SETTLE_SECONDS = 120.0
_LOOKS = 12
_STARTS, START_SECONDS = 30, 2.0
# A flow that has not started by then never will.
MAY_START = timedelta(hours=1)
_ORPHAN = (
    "Ticket {sn} carries this approval's mark, but its flow has not started: it asks nobody, and ITSM neither"
    " withdraws nor terminates such a ticket. No second one was opened. A retry looks at it again; if it never"
    " starts, have it deleted in ITSM, then clear the task"
)
_MADE = "Ticket {sn} carries this approval's mark all the same, and asks people. A retry looks at it"
_MADE_PERHAPS = (
    "Whether ITSM has made the ticket all the same could not be read ({error}). A retry looks for it before it"
    " opens one"
)

# How many tickets that exist are searched for, where a search that has found nothing is tried.
_WITNESSES = 3
_HIDDEN = "a search of the same kind does not find ticket {sn} either, which exists. ITSM hides our tickets"
_UNTRIED = (
    "no ticket is recorded that connection {conn_id!r} has opened in the name of {creator}, with which the search"
    " could be tried. A retry goes on once it has opened another one"
)

# A ticket as its opening, or a search, knows it.
Opened = CreatedTicket | TicketSummary


@dataclass(frozen=True, kw_only=True)
class TicketKey:
    """What a ticket whose answer was lost is found by.

    :param creator: in whose name it was asked for.
    :param since: when the first attempt to open it may have been made (aware).
    :param request: what it was opened with: a ticket that asks something else is not ours, whatever
        tag it carries. None: not compared.
    """

    tag: str
    creator: str
    since: datetime
    request: Mapping[str, Any] | None = None


class TicketOpener:
    """Opens tickets by tag: looks before it opens, and looks after a lost answer.

    :param hook: the ITSM to open tickets in. Extra ``settle_seconds`` of its connection is how long a lost
        ticket may take to appear (default 120; docs/itsm-behaviour.md#lost-answer).
    :param calls_back: whether ITSM is asked to call back; nobody may wait for the ticket.
    :param patience: how long this process may look for a lost ticket (seconds); by default until it has settled.
    :param sleep: the clock's seam, for tests.
    """

    def __init__(
        self,
        *,
        hook: ItsmHook,
        calls_back: bool = True,
        patience: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.hook = hook
        self.calls_back = calls_back
        self.settle = hook.gateway.seconds("settle_seconds", SETTLE_SECONDS)
        self.patience = self.settle if patience is None else min(patience, self.settle)
        # Whether an ``open`` that has raised may have left a ticket behind.
        self.may_have_opened = False
        self._sleep = sleep

    def find(self, handle: TicketKey) -> TicketSummary | None:
        """Return the ticket already opened with this tag, and withdraw every other open ticket that asks the same.

        The oldest ticket whose flow has started stands.

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

    def open(self, handle: TicketKey, **request: Any) -> Opened:
        """Open a ticket; when the answer is lost, wait for it to appear.

        Where ITSM is to call back, it is asked to, unless ``meta`` names an address of its own.

        :param request: what it is opened with; see :meth:`~airflow_provider_bkitsm.itsm.dialect.Dialect.create`.
        :raises ItsmOutcomeUnknownError: nothing appeared in time, or ITSM refused and may have made the ticket all
            the same; a retry looks again before it opens one.
        :raises ItsmOrphanError: ITSM refused, and left a ticket behind all the same, which asks nobody.
        """
        dialect = self.hook.gateway.dialect
        self.may_have_opened = False
        if request.get("fast_approval") and not dialect.capabilities.fast_approval:
            raise ItsmInvalidRequestError(
                f"ITSM {dialect.name} has no built-in approval service: name a service instead of fast_approval;"
                " no ticket was opened"
            )
        title = str(request["fields"].get("title", ""))
        kept = dialect.title_as_shown(title)
        if not is_marked(kept, handle.tag):
            raise ItsmInvalidRequestError(
                f"of the title {title!r} ITSM would keep only {kept!r}, without the mark it is"
                " found by: leave markup out of it; no ticket was opened"
            )
        if self.calls_back:
            request["meta"] = with_kept_callback(request.get("meta"), gateway=self.hook.gateway, tag=handle.tag)
        try:
            ticket = self.hook.run(
                ask(lambda itsm: itsm.create(tag=handle.tag, creator=handle.creator, **request))
            )
        except ItsmOutcomeUnknownError as lost:
            self.may_have_opened = True
            log.warning("%s; looking for a ticket marked %s", lost, marks(handle.tag)[0])
            return self._appeared(handle, lost)
        except ItsmInvalidRequestError as refused:
            self._raise_if_made(handle, refused)
            raise
        log.info("opened ticket %s: %s", ticket.sn, printable(ticket.ticket_url))
        return ticket

    def look_for(self, handle: TicketKey, *, seconds: float) -> TicketSummary | None:
        """Call :meth:`find` for so long until there is a ticket; outages of ITSM in between are waited out.

        None says that there is none: where it is not sure that a search shows tickets of ours, it has shown one.

        :raises ItsmUnavailableError: ITSM could not be read at the end either, so nothing is known.
        :raises ItsmOutcomeUnknownError: no ticket was found, and the search finds none that exists either.
        """
        found = self._looked_for(handle, seconds)
        if found is None:
            self._check_search(handle)
        return found

    def _looked_for(self, handle: TicketKey, seconds: float) -> TicketSummary | None:
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

    def _check_search(self, handle: TicketKey) -> None:
        """Raise an error unless a search like the one that found nothing finds a ticket that is known to exist.

        Where a ticket has no tag it is searched for in lists, and what they show an application is not known
        (docs/itsm-v4.md#one-ticket). Lists that hide our tickets would make a second one of each lost answer.
        """
        dialect = self.hook.gateway.dialect
        if dialect.capabilities.tag:
            return
        of_ours = {"dialect": dialect.name, "creator": handle.creator}
        known = [one for one in read_known_tickets(self.hook.bkitsm_conn_id, **of_ours) if one.tag != handle.tag]
        if any(self._finds(one) for one in known[:_WITNESSES]):
            return
        mark, conn_id = marks(handle.tag)[0], self.hook.bkitsm_conn_id
        why = _HIDDEN.format(sn=known[0].sn) if known else _UNTRIED.format(creator=handle.creator, conn_id=conn_id)
        raise ItsmOutcomeUnknownError(
            f"no ticket marked {mark} was found, and that shows nothing: {why}. Whether it was opened is not"
            f" known, and no second one was opened. Look for {mark} in ITSM: if that ticket is there, its decision"
            " brings its number; if not, a new run asks anew"
        )

    def _finds(self, known: KnownTicket) -> bool:
        query = find_opened(known.tag, creator=known.creator, since=known.since)
        return known.sn in {one.sn for one in self.hook.run(query)}

    def seconds_left(self, handle: TicketKey) -> float:
        """How long the ticket of a lost answer may still take to appear."""
        return self.settle - (datetime.now(UTC) - handle.since).total_seconds()

    def never_starts(self, sn: str) -> bool:
        """Whether a ticket is an orphan: its flow has not started, and will not any more."""
        info = self._read_info(sn)
        return not (has_started(info) or _is_young(info.created_at))

    def _read_info(self, sn: str) -> TicketInfo:
        """Read a ticket with its form."""
        return self.hook.run(ask(lambda itsm: itsm.info(sn)))

    def withdraw(self, sn: str, *, why: str) -> None:
        """End a ticket that nobody waits for any more, unless it is over."""
        withdraw(self.hook, sn=sn, why=why, sleep=self._sleep)

    def _listed(self, handle: TicketKey) -> list[TicketSummary]:
        found = self.hook.run(find_opened(handle.tag, creator=handle.creator, since=handle.since))
        return [one for one in found if self._asks(handle, one)]

    def _asks(self, handle: TicketKey, ticket: TicketSummary) -> bool:
        """Whether a found ticket asks what was sent: a mark can be copied from a ticket that shows it."""
        if handle.request is None:
            return True
        info, sent = self._read_started(ticket.sn, ticket.created_at), handle.request
        if not has_started(info):
            # It has taken in no form, and asks nobody.
            info = replace(info, fields=())
            sent = {**sent, "fields": {"title": sent["fields"]["title"]}}
        differences = ticket_differences(sent, info, self.hook.gateway.dialect)
        if differences:
            log.error(
                "ticket %s carries this approval's mark, but asks something else: %s. It is not taken for ours",
                ticket.sn,
                "; ".join(differences),
            )
        return not differences

    def _oldest_started(self, found: Sequence[TicketSummary]) -> TicketSummary:
        """Return the oldest ticket that asks somebody, or asked somebody once."""
        for one in found:
            if one.progress.has_ended or self._starts(one):
                return one
        raise ItsmOrphanError(_ORPHAN.format(sn=found[0].sn))

    def _starts(self, ticket: TicketSummary) -> bool:
        """Whether a ticket asks somebody, or comes to: one that is stuck on a failed step has started."""
        return has_started(self._read_started(ticket.sn, ticket.created_at))

    def _read_started(self, sn: str, created_at: datetime | None) -> TicketInfo:
        """Read a ticket once it has started; ITSM takes a moment for that.

        See docs/itsm-behaviour.md#flow-starts-late.
        """
        for left in range(_STARTS if _is_young(created_at) else 1, 0, -1):
            info = self._read_info(sn)
            if left == 1 or has_started(info):
                return info
            self._sleep(START_SECONDS)
        raise AssertionError

    def _end_second(self, ticket: TicketSummary, *, kept: str) -> None:
        try:
            self.withdraw(ticket.sn, why=f"{kept} was opened for the same approval")
        except ItsmConflictError as error:
            log.error(
                "ticket %s STAYS OPEN beside %s, though its answer has no effect: %s", ticket.sn, kept, error
            )

    def _raise_if_made(self, handle: TicketKey, refused: ItsmInvalidRequestError) -> None:
        """Raise an error if ITSM refused a ticket and made it all the same, or may have while it is down.

        See docs/itsm-behaviour.md#late-check-of-dynamic-fields.
        """
        try:
            left = [one for one in self._listed(handle) if not one.progress.has_ended]
            started = next((one for one in left if self._starts(one)), None)
        except ItsmError as error:
            log.warning("whether the refused ticket exists all the same could not be read: %s", error)
            if error.retry_safe and refused.code is not None:
                self.may_have_opened = True
                raise ItsmOutcomeUnknownError(f"{refused}. {_MADE_PERHAPS.format(error=error)}") from refused
            return
        if left:
            self.may_have_opened = True
            if started is not None:
                raise ItsmOutcomeUnknownError(f"{refused}. {_MADE.format(sn=started.sn)}") from refused
            raise ItsmOrphanError(f"{refused}. {_ORPHAN.format(sn=left[0].sn)}") from refused

    def _appeared(self, handle: TicketKey, lost: ItsmOutcomeUnknownError) -> TicketSummary:
        """Wait for the ticket of a lost answer: whatever goes wrong by now, it may be there."""
        try:
            found, why = self._looked_for(handle, self.patience), f"was seen in {self.patience:.0f} s"
        except (ItsmOrphanError, ItsmUnavailableError):
            raise
        except ItsmError as error:
            # Refused: that says nothing about the ticket.
            found, why = None, f"could be looked for ({error})"
        if found:
            telemetry.adopted(self.hook.bkitsm_conn_id)
            return found
        raise ItsmOutcomeUnknownError(
            f"{lost.message}. No ticket marked {marks(handle.tag)[0]} {why}; a retry looks for it again before it"
            " opens one"
        ) from None


def _is_second(ticket: TicketSummary, kept: TicketSummary) -> bool:
    """Whether an open ticket asks what another one asks or asked; one opened after that had ended asks anew."""
    if ticket.sn == kept.sn or ticket.progress.has_ended:
        return False
    if not kept.progress.has_ended:
        return True
    return bool(kept.ended_at and ticket.created_at and ticket.created_at < kept.ended_at)


def _is_young(created_at: datetime | None) -> bool:
    """Whether a ticket that has not started may do so yet: ITSM's worker may be down."""
    return created_at is not None and datetime.now(UTC) - created_at < MAY_START
