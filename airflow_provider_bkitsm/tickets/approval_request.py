# SPDX-License-Identifier: Apache-2.0
"""Asking for one approval once: the record of a task's round, and the ticket that answers it (P2, P3).

Who comes first stores the intent to ask, then opens the ticket; who comes later, a retry after a crash included,
goes by the record. ITSM is searched only for a ticket that this record has asked for and whose answer was lost: a
ticket that somebody else prepared is never looked at.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from airflow_provider_bkitsm import telemetry
from airflow_provider_bkitsm.callback.signature import signing_keys
from airflow_provider_bkitsm.collectors.errors import StoreRaceLost
from airflow_provider_bkitsm.itsm.actions import read_own_info
from airflow_provider_bkitsm.itsm.dialect import another_dialect
from airflow_provider_bkitsm.itsm.duties import REQUESTER
from airflow_provider_bkitsm.itsm.errors import (
    ItsmAnotherQuestionError,
    ItsmConflictError,
    ItsmError,
    ItsmNotFoundError,
    ItsmOutcomeUnknownError,
)
from airflow_provider_bkitsm.itsm.idempotency import TicketIdentity, approval_tag
from airflow_provider_bkitsm.itsm.models import TicketInfo
from airflow_provider_bkitsm.tickets.approval import (
    RUN_BY,
    RUNS,
    ApprovalRecord,
    Attempt,
    Subject,
    new_nonce,
)
from airflow_provider_bkitsm.tickets.approval_store import ApprovalStore
from airflow_provider_bkitsm.tickets.legacy import LegacyTicket, clock_behind
from airflow_provider_bkitsm.tickets.opener import Opened, TicketKey, TicketOpener
from airflow_provider_bkitsm.tickets.question import Question

log = logging.getLogger(__name__)

# What the ticket is opened with, given the ticket's tag; everything in it has been checked.
Content = Callable[[str], Mapping[str, Any]]

_RACES = 20
_NUMBER_SECONDS = 0.5
# ITSM tells whole seconds.
_TICK = timedelta(seconds=1)
_CLEARED = "The Airflow task was cleared and asks anew"


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """An approval that tasks of a DAG share.

    :param subject: of all who name the key.
    :param run_began: when the task's run began (aware). A decision since then counts, unless the task was cleared.
    :param cleared: whether the task is known to have been cleared.
    """

    subject: Subject
    run_began: datetime
    cleared: bool


@dataclass(kw_only=True)
class ApprovalRequest:
    """One try of a task that wants an approval.

    :param content: see ``Content``; called before anything is stored, so that what cannot be asked is not.
    :param keeps_open: whether a new round goes on with the earlier round's open ticket, if it asks the same.
    :param compares: whether a ticket that asks something else is refused.
    :param sharing: set for an approval that is shared.
    :param requester: names of those who ask, with commas; empty: the connection's user does.
    :param run_by: who started the run, by the name in Airflow; empty for nobody.
    :param item: what of a shared approval's items this task would do, as ``approval.ITEM`` names it, for people.
    :param duties: what the task says of who has to say yes, as a hook's ``verdict_policy`` takes it.
    :param legacy: the ticket of an earlier try that has no record; its title shows one of ``legacy_digests``, if
        it asks what is asked now.
    """

    opener: TicketOpener
    store: ApprovalStore
    subject: Subject
    attempt: Attempt
    question: Question
    content: Content
    keeps_open: bool = True
    compares: bool = True
    sharing: Sharing | None = None
    requester: str = ""
    run_by: str = ""
    item: Mapping[str, Any] = field(default_factory=dict)
    duties: Mapping[str, Any] = field(default_factory=dict)
    legacy: LegacyTicket | None = None
    legacy_digests: Collection[str] = ()
    sleep: Callable[[float], None] = time.sleep
    _has_opened: bool = field(default=False, init=False)

    def ticket(self) -> ApprovalRecord:
        """Return the record whose ticket answers this round; it has the ticket's number.

        :raises ItsmAnotherQuestionError: its ticket asks something else.
        :raises ItsmError: there is no ticket, or it is not known; a retry goes on where this try stopped.
        """
        if self.sharing is not None:
            return self._settled(partial(self._joined, self.sharing))
        return self._settled(self._own)

    def ticket_of_all(self) -> ApprovalRecord:
        """Return the record of the shared ticket alone, for those who wait for no decision.

        :raises ItsmError: as :meth:`ticket`.
        """
        if self.sharing is None:
            raise ValueError("nothing is shared")
        return self._settled(partial(self._shared, self.sharing, since=self.sharing.run_began))

    def _settled(self, step: Callable[[], ApprovalRecord]) -> ApprovalRecord:
        """Take a step, and take it again where another try was faster."""
        for left in range(_RACES, -1, -1):
            try:
                record = step()
            except StoreRaceLost:
                if left == 0:
                    raise
                self.sleep(_NUMBER_SECONDS)
            else:
                if not self._has_opened:
                    telemetry.adopted(self.opener.hook.bkitsm_conn_id)
                return record
        raise AssertionError

    # -- a ticket of the task's own --------------------------------------------------------------------------

    def _latest(self) -> ApprovalRecord | None:
        """Return the record of this task's last round, if it is for this try to go on from there."""
        latest = self.store.latest(self.subject)
        if latest is not None and self.attempt.is_given_up(latest.attempt):
            raise ItsmError(
                f"try {self.attempt.try_number} of {self.subject} was given up: try {latest.attempt.try_number}"
                " began after it, and goes on from its record. This one asks nobody"
            )
        return latest

    def _own(self) -> ApprovalRecord:
        latest = self._latest()
        if latest is not None and self.attempt.continues(latest.attempt):
            return self._opened(self._checked(self._source(self._again(latest))))
        if latest is None and self.legacy is not None:
            return self._after_upgrade(self.legacy)
        kept = None if latest is None else self._earlier(latest)
        if kept is not None:
            self._begin(self.subject, latest, ticket_of=kept.nonce, asks=False)
            return kept
        if latest is not None and latest.sn is not None:
            # That its ticket was ended is in the record by now. One with a number asks nobody any more.
            latest = self.store.get(latest.nonce) or latest
        return self._opened(self._begin(self.subject, latest))

    def _after_upgrade(self, found: LegacyTicket) -> ApprovalRecord:
        """Go on with the ticket that a version without records has opened for an earlier try."""
        info, since = self._info(found.sn, None), self.store.records_since()
        is_before = info is not None and since is not None and self._opened_at(info) < since
        if info is None or self.attempt.try_number <= 1 or not is_before:
            log.error("ticket %s was not opened by a version without records. It is not taken for ours", found.sn)
            return self._opened(self._begin(self.subject, None))
        asks_the_same = found.asks_for(self.legacy_digests) or not self.compares
        if found.same_round and not asks_the_same:
            raise ItsmAnotherQuestionError(
                f"ITSM ticket {found.sn} ({found.title}) asks something else. It is as it was"
            )
        is_open = not info.progress.has_ended
        if found.same_round or (is_open and self.keeps_open and asks_the_same):
            # Without a request: what a version before has sent is not known, and so not read back.
            return self._begin(self.subject, None, asks=False, found=found)
        if is_open:
            self.opener.withdraw(found.sn, why=_CLEARED)
        return self._opened(self._begin(self.subject, None))

    def _opened_at(self, info: TicketInfo) -> datetime:
        """Return when a ticket was opened at the latest, by our clock."""
        return info.created_at + clock_behind(self.opener.hook)

    def _again(self, record: ApprovalRecord) -> ApprovalRecord:
        """Take up a round where an earlier try has left it."""
        if record.attempt == self.attempt:
            return record
        request, runs = record.request, self.question.asked_digest
        if record.request.get(RUNS, record.asked_digest) != runs:
            request = {**record.request, RUNS: runs}
        return self.store.change(record, attempt=self.attempt, request=request)

    def _source(self, record: ApprovalRecord) -> ApprovalRecord:
        """Return the record that opened the ticket which answers a round."""
        if record.ticket_of is None:
            return record
        found = self.store.get(record.ticket_of)
        if found is None:
            raise ItsmError(
                f"the record of the ticket that {record.subject} waits for is gone from the store. The ticket is"
                " as it was; clear the task to ask anew"
            )
        return found

    def _earlier(self, latest: ApprovalRecord) -> ApprovalRecord | None:
        """Return the record of an earlier round's open ticket if it answers this one too; else end the ticket."""
        source = self._source(latest)
        if not self.attempt.is_later(latest.attempt):
            # Another run had the same id. Its ticket was asked for by people who may still wait for it.
            log.warning(
                "%s: an earlier run of the same id asked in ticket %s", self.subject, source.sn or "(none)"
            )
            return None
        if source.dialect != self._dialect:
            log.warning("ticket %s STAYS OPEN in ITSM %s, if it is", source.sn or "(none)", source.dialect)
            return None
        source = self._looked_for(source)
        if source.sn is None or not self._is_open(source):
            return None
        if self.keeps_open and (not self.compares or source.asked_digest == self.question.asked_digest):
            log.info("ticket %s of an earlier round is still open and asks the same", source.sn)
            return source
        self._end(source)
        return None

    def _end(self, earlier: ApprovalRecord) -> None:
        """End an earlier round's ticket; an orphan, which ITSM lets nobody end and which asks nobody, is left.

        :raises ItsmConflictError: ITSM lets nobody end it, and people may still answer it.
        """
        try:
            self.opener.withdraw(str(earlier.sn), why=_CLEARED)
        except ItsmConflictError as error:
            if not self.opener.never_starts(str(earlier.sn)):
                raise
            log.error("ticket %s STAYS OPEN, though its answer has no effect: %s", earlier.sn, error)

    # -- a shared ticket -------------------------------------------------------------------------------------

    def _joined(self, sharing: Sharing) -> ApprovalRecord:
        own = self._latest()
        if own is not None and self.attempt.continues(own.attempt):
            own = self._again(own)
        else:
            own = self._begin(self.subject, own, asks=False)
        if own.ticket_of is not None:
            return self._opened(self._checked(self._source(own)))
        is_first = own.round_number == 1 and not sharing.cleared
        shared = self._shared(sharing, since=sharing.run_began if is_first else own.created_at or self.store.now())
        self.store.change(own, ticket_of=shared.nonce)
        return shared

    def _shared(self, sharing: Sharing, *, since: datetime) -> ApprovalRecord:
        latest = self.store.latest(sharing.subject)
        if latest is None:
            return self._opened(self._begin(sharing.subject, None))
        if latest.dialect != self._dialect:
            return self._opened(self._begin(sharing.subject, latest))
        latest = self._looked_for(latest)
        if latest.sn is not None and self._counts(latest, since=since):
            return self._checked(latest)
        if latest.sn is None and (not self.compares or latest.asked_digest == self.question.asked_digest):
            return self._asked(latest)
        return self._opened(self._begin(sharing.subject, latest))

    def _counts(self, record: ApprovalRecord, *, since: datetime) -> bool:
        """Whether a shared ticket is open, or was decided after a moment of our clock."""
        info = self._info(str(record.sn), record.identity)
        if info is None:
            return False
        if not info.progress.has_ended or (record.created_at is not None and record.created_at >= since):
            return True
        return info.ended_at is not None and info.ended_at - _clock_ahead(record, info) >= since

    # -- opening ---------------------------------------------------------------------------------------------

    def _begin(
        self,
        subject: Subject,
        latest: ApprovalRecord | None,
        *,
        ticket_of: str | None = None,
        asks: bool = True,
        found: LegacyTicket | None = None,
    ) -> ApprovalRecord:
        """Store the intent of the subject's next round.

        :param asks: whether it opens a ticket of its own.
        :param found: the ticket that answers it, of a version without records.
        """
        nonce, digest = new_nonce(), self.question.digest
        key, *_ = signing_keys(self.opener.hook.gateway)
        tag = (found and found.tag) or approval_tag(key, subject=subject.key, nonce=nonce, digest=digest)
        # What a ticket of a version without records was opened with is not known, and is not compared.
        joins = {} if found else {"dialect": self._dialect, **self._asked_by, **self._run_by(subject)}
        request = self._sent(self.content(tag)) | self._run_by(subject) if asks else joins
        if latest is not None:
            # Whoever still stands before asking in the earlier round is stopped: the record is another one now.
            self.store.change(latest)
        record = ApprovalRecord(
            nonce=nonce,
            subject=subject,
            round_number=1 if latest is None else latest.round_number + 1,
            attempt=self.attempt,
            digest=digest,
            asked_digest=self.question.asked_digest,
            tag=tag,
            request=request,
            ticket_of=ticket_of,
        )
        return self.store.begin(record if found is None else replace(record, **self._number_of(found)))

    def _opened(self, record: ApprovalRecord) -> ApprovalRecord:
        """Return a record with its ticket's number: as stored, of the ticket that was lost, or of a new ticket."""
        if record.sn is None:
            record = self._looked_for(record)
        return record if record.sn is not None else self._asked(record)

    def _asked(self, record: ApprovalRecord) -> ApprovalRecord:
        """Open a record's ticket: there is none so far."""
        content = dict(self.content(record.tag))
        record = self.store.change(
            record, create_started_at=self.store.now(), request=self._sent(content) | self._run_by(record.subject)
        )
        try:
            ticket = self.opener.open(self._handle(record), **content)
            self._has_opened = True
        except ItsmError:
            if not self.opener.may_have_opened:
                self._not_opened(record)
            raise
        return self._with_number(record, ticket)

    def _not_opened(self, record: ApprovalRecord) -> None:
        """Note that ITSM made no ticket, or was never asked for one: nothing is left to look for."""
        try:
            self.store.change(record, create_started_at=None)
        except ItsmError as error:
            log.warning("that no ticket was opened could not be stored, a retry looks for it: %s", error)

    def _with_number(self, record: ApprovalRecord, ticket: Opened) -> ApprovalRecord:
        return self.store.change(record, **self._number_of(ticket))

    def _number_of(self, ticket: Opened | LegacyTicket) -> dict[str, Any]:
        url = ticket.ticket_url or ""
        return {"sn": ticket.sn, "ticket_id": ticket.id, "ticket_url": url, "opened_at": self.store.now()}

    def _looked_for(self, record: ApprovalRecord) -> ApprovalRecord:
        """Look for the ticket of a lost answer for as long as it may appear; in the store first.

        :raises ItsmOutcomeUnknownError: it was not seen so far as this process may wait, and may still appear.
        """
        if record.sn is not None or record.create_started_at is None:
            return record
        record, waited = self._told_by_others(record)
        if record.sn is not None or record.create_started_at is None:
            return record
        seconds, patience = self._seconds_left(record), max(0.0, self.opener.patience - waited)
        found = self.opener.look_for(self._handle(record), seconds=min(seconds, patience))
        if found is not None:
            return self._with_number(record, found)
        if seconds > patience:
            raise ItsmOutcomeUnknownError(
                f"the answer to create_ticket for {record.subject} was lost, and its ticket may appear for another"
                f" {seconds - patience:.0f} s. No second one was opened; a retry looks for it again"
            )
        return record

    def _told_by_others(self, record: ApprovalRecord) -> tuple[ApprovalRecord, float]:
        """Wait until who shares the ticket has stored how its opening ended; return for how long."""
        began, waited = self.store.now(), 0.0
        while self.sharing and (left := self._seconds_left(record)) > 0 and waited < self.opener.patience:
            self.sleep(min(left, _NUMBER_SECONDS))
            waited = (self.store.now() - began).total_seconds()
            record = self.store.get(record.nonce) or record
        return record, waited

    def _seconds_left(self, record: ApprovalRecord) -> float:
        return record.seconds_until_settled(self.opener.settle, self.store.now())

    def _handle(self, record: ApprovalRecord) -> TicketKey:
        return TicketKey(
            tag=record.tag,
            creator=str(record.request["creator"]),
            since=record.create_started_at or self.store.now(),
            request=record.request,
        )

    def _sent(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is kept of a request: all that people see, who they are, and which of their answers count.

        The policy is the connection's of now, with the task's duties: loosened later, it does not count for this
        ticket.
        """
        meta = content.get("meta") or {}
        return {
            "service_id": content.get("service_id"),
            "fast_approval": content.get("fast_approval", False),
            "creator": self.question.creator or self.opener.hook.gateway.username,
            "fields": content["fields"],
            "processors": meta.get("state_processors") or {},
            "dialect": self._dialect,
            "policy": asdict(self.opener.hook.verdict_policy(**self.duties)),
            **self._asked_by,
        }

    @property
    def _asked_by(self) -> dict[str, str]:
        """Who asks, as it is stored: also of a task that joins another one's ticket."""
        return {REQUESTER: self.requester} if self.requester else {}

    def _run_by(self, subject: Subject) -> dict[str, Any]:
        """Who started the run, and of the task's own round which item it is about: for people."""
        person = {RUN_BY: self.run_by} if self.run_by else {}
        return {**person, **self.item} if subject == self.subject else person

    @property
    def _dialect(self) -> str:
        return self.opener.hook.gateway.dialect.name

    # -- reading ---------------------------------------------------------------------------------------------

    def _checked(self, source: ApprovalRecord) -> ApprovalRecord:
        """Refuse a ticket of another dialect, or that asks something else than this task would run."""
        if source.dialect != self._dialect:
            ticket = f"ITSM ticket {source.sn or '(not opened yet)'} of {source.subject}"
            conn_id = self.subject.bkitsm_conn_id
            raise another_dialect(ticket, conn_id, stored=source.dialect, spoken=self._dialect)
        if not self.compares or source.asked_digest == self.question.asked_digest:
            return source
        shared = f" for {source.subject}" if self.sharing else ""
        raise ItsmAnotherQuestionError(
            f"ITSM ticket {source.sn or '(not opened yet)'} ({source.request.get('fields', {}).get('title', '')})"
            f" was opened{shared} to ask {source.asked_digest}, and this task would run"
            f" {self.question.asked_digest} ({self.question.title}): its approval does not cover that. The ticket"
            " is as it was, nobody was asked anything else"
        )

    def _is_open(self, record: ApprovalRecord) -> bool:
        info = self._info(str(record.sn), record.identity)
        return info is not None and not info.progress.has_ended

    def _info(self, sn: str, identity: TicketIdentity | None) -> TicketInfo | None:
        """Read a ticket of ours; None where ITSM has it no more."""
        try:
            return self.opener.hook.run(read_own_info(sn, identity))
        except ItsmNotFoundError as error:
            log.warning("ticket %s of %s is gone from ITSM: %s", sn, self.subject, error)
            return None


def _clock_ahead(record: ApprovalRecord, info: TicketInfo) -> timedelta:
    """Return by how much ITSM's clock is ahead of ours at most: a decision may be so much older than it says.

    ITSM dates a ticket no earlier than it was asked for, by its own clock.
    """
    asked = record.create_started_at or record.created_at
    return timedelta(0) if asked is None else info.created_at + _TICK - asked


__all__ = ["ApprovalRequest", "Content", "Sharing"]
