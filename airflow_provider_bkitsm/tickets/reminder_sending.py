# SPDX-License-Identifier: Apache-2.0
"""What is sent about the ticket of one waiting task: a reminder, or an escalation with its hand-over.

Each message is claimed in the store before ITSM is asked how the ticket stands; then it is sent, or put off.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook
from airflow_provider_bkitsm.hooks.store import call_store
from airflow_provider_bkitsm.itsm.actions import HandOver, hand_over, read_own_info, read_status
from airflow_provider_bkitsm.itsm.duties import asked_by, counted_people, tightened
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError, ItsmError, printable
from airflow_provider_bkitsm.itsm.idempotency import TicketIdentity, unmarked_title
from airflow_provider_bkitsm.itsm.models import Progress, TicketStatus
from airflow_provider_bkitsm.itsm.people import person_key, read_people
from airflow_provider_bkitsm.itsm.reminders import Due, ReminderPlan
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.tickets.ownership import AwaitedTicket, Ownership
from airflow_provider_bkitsm.tickets.ownership_records import read_identity, read_ownership
from airflow_provider_bkitsm.tickets.reminder import Reminder, ReminderKind
from airflow_provider_bkitsm.tickets.reminder_store import (
    Claim,
    NotNow,
    ReminderKey,
    ReminderState,
    ReminderStore,
)
from airflow_provider_bkitsm.tickets.round_end import WaitingTask, ticket_tab
from airflow_provider_bkitsm.tickets.senders import SenderSpec, ThreadPerCall, load_sender

log = logging.getLogger(__name__)
T = TypeVar("T")

SENDER_SECONDS = 60.0
"""So long a sender is waited for."""
_ITSM_SECONDS = 20.0
# A ticket that cannot be reminded of now, since it is suspended or asks nobody, is looked at again.
_LOOK_AGAIN = timedelta(minutes=5)
_AFTER_FAILURE = timedelta(minutes=1)
_NOTE_ATTEMPTS = 3
_OPEN = frozenset({Progress.RUNNING, Progress.OPEN})


@dataclass(kw_only=True)
class TicketReminders:
    """What is sent about the ticket of one waiting task.

    :param awaited: the ticket, and which task has to have opened it.
    :param senders: empty: what ``[bkitsm] remind`` names.
    :param escalate_to: names in ITSM.
    :param policy_settings: the task's own part of the verdict policy.
    :param opened: when the ticket was opened (aware).
    :param title: returns the ticket's title as it was last seen.
    :param dialect: the one that the ticket was opened in; None: it is not known.
    :param handed_over: called when the ticket was handed over, and asks others.
    """

    awaited: AwaitedTicket
    plan: ReminderPlan
    senders: tuple[SenderSpec, ...] = ()
    escalate_to: tuple[str, ...] = ()
    policy_settings: Mapping[str, Any] = field(default_factory=dict)
    opened: datetime
    deadline: datetime | None = None
    title: Callable[[], str] = str
    dialect: str | None = None
    handed_over: Callable[[], None] | None = None
    task_id: str = ""
    map_index: int = -1
    context: Context = field(default_factory=copy_context, repr=False)
    number: int = -1
    done: set[tuple[ReminderKind, float]] = field(default_factory=set)

    def due(self, now: datetime) -> Due:
        """Return what is due and was not seen to be done."""
        due = self.plan.due(self.opened, now)
        if (ReminderKind.REMIND, due.reminder) in self.done:
            due = replace(due, reminder=None)
        return replace(due, escalation=None) if (ReminderKind.ESCALATE, due.escalation) in self.done else due

    def over(self, due: Due) -> None:
        """Take in that nothing of this is to be done any more."""
        self.done |= {
            (kind, after)
            for kind, after in ((ReminderKind.REMIND, due.reminder), (ReminderKind.ESCALATE, due.escalation))
            if after is not None
        }

    def key(self, kind: ReminderKind, after: float, sender: str) -> ReminderKey:
        """Return the key of one message."""
        return ReminderKey(
            bkitsm_conn_id=self.awaited.bkitsm_conn_id,
            sn=self.awaited.sn,
            kind=kind,
            after_seconds=after,
            sender=sender,
            opened_at=self.opened,
        )

    def message(self, kind: ReminderKind, status: TicketStatus, *, recipients: tuple[str, ...]) -> Reminder:
        """Return the message about a ticket as it stands now."""
        where: dict[str, Any] = {
            "dag_id": self.awaited.dag_id,
            "run_id": self.awaited.run_id,
            "task_id": self.task_id,
            "map_index": self.map_index,
        }
        return Reminder(
            kind=kind,
            sn=self.awaited.sn,
            title=unmarked_title(self.title(), is_ours=True),
            step=status.step_names,
            recipients=recipients,
            approvers=status.waits_for,
            waiting_since=self.opened,
            deadline=self.deadline,
            ticket_url=status.ticket_url,
            airflow_url=ticket_tab(WaitingTask(**where)),
            handed_over=kind is ReminderKind.ESCALATE and _same(status.waits_for, recipients),
            time_zone=self.plan.hours.time_zone if self.plan.hours else "UTC",
            **where,
        )


def ticket_reminders(stored: str, *, escalate_to: object = None, **about: Any) -> TicketReminders:
    """Return what is sent about a ticket, by what a task was given.

    :param stored: see ``tickets.reminder_settings.ReminderSettings``.
    :param escalate_to: names in ITSM, in any spelling of several people.
    :param about: the further arguments of :class:`TicketReminders`.
    :raises ItsmError: it cannot be read.
    """
    given = json.loads(stored)
    return TicketReminders(
        plan=ReminderPlan.from_dict(given["plan"]),
        senders=tuple(map(SenderSpec.from_dict, given.get("remind_by") or ())),
        escalate_to=read_people("escalate_to", escalate_to),
        **about,
    )


def _same(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    return {person_key(name) for name in some} == {person_key(name) for name in others}


# What became of one message: when to look again; None: it is over.
Again = datetime | None


class Sending:
    """Does what is due for one ticket.

    :param now: the clock; aware.
    :param threads: run the senders.
    """

    def __init__(
        self,
        item: TicketReminders,
        store: ReminderStore,
        now: Callable[[], datetime],
        threads: ThreadPerCall,
    ) -> None:
        self._item = item
        self._store = store
        self._now = now
        self._threads = threads
        self._has_sent = False
        self._identity: TicketIdentity | None = None

    async def do(self, due: Due) -> Again:
        """Escalate, or else remind; return when to look again, None where all of it is over."""
        if not due:
            return None
        senders, ownership = await call_store(self._prepare)
        if ownership.refusal is not None:
            # dag.test() runs a trigger without its task, which then owns no ticket.
            why = ownership.text if self._item.awaited.dag_id else "only a triggerer reminds, not dag.test()"
            log.warning("Nobody is reminded of ITSM ticket %s: %s", self._item.awaited.sn, why)
            self._item.over(due)
            return None
        again = await self._do(due, senders, ownership)
        if again is None:
            self._item.over(due)
        return again

    async def _do(self, due: Due, senders: tuple[SenderSpec, ...], ownership: Ownership) -> Again:
        if due.escalation is not None:
            again = await self._escalate(due.escalation, senders, ownership)
            if again is not None:
                return again
            if self._has_sent:
                await self._merge(due, senders)
                return None
        if due.reminder is None:
            return None
        if not senders:
            sn = self._item.awaited.sn
            log.warning(
                "Nobody is reminded of ITSM ticket %s: the task has no remind_by, and there is no [bkitsm] remind",
                sn,
            )
        return await self._send_each(ReminderKind.REMIND, due.reminder, senders)

    def _prepare(self) -> tuple[tuple[SenderSpec, ...], Ownership]:
        path = settings.remind()
        default, awaited = (SenderSpec(path=path),) if path else (), self._item.awaited
        self._identity = read_identity(awaited.sn, awaited.bkitsm_conn_id)
        return self._item.senders or default, read_ownership(awaited)

    async def _merge(self, due: Due, senders: tuple[SenderSpec, ...]) -> None:
        """Have the reminder that is due together with an escalation count as sent with it."""
        if due.reminder is None:
            return
        for spec in senders:
            key = self._item.key(ReminderKind.REMIND, due.reminder, spec.key)
            await call_store(partial(self._store.merge, key))

    async def _send_each(
        self, kind: ReminderKind, after: float, senders: tuple[SenderSpec, ...], people: tuple[str, ...] = ()
    ) -> Again:
        """Send one message with each sender; return when to look again.

        :param people: whom it is for; empty: whom the ticket asks.
        """
        moments = [await self._send_with(spec, kind, after, people) for spec in senders]
        return min((one for one in moments if one is not None), default=None)

    async def _send_with(
        self, spec: SenderSpec, kind: ReminderKind, after: float, people: tuple[str, ...]
    ) -> Again:
        claim = await self._claim(kind, after, spec.key)
        if not isinstance(claim, Claim):
            return claim.until if isinstance(claim, NotNow) else None
        status = await self._status(claim)
        if status is None:
            return self._now() + _LOOK_AGAIN
        message = self._item.message(kind, status, recipients=people or status.waits_for)
        return await self._send(spec, claim, replace(message, reminder_id=claim.key.digest))

    async def _claim(self, kind: ReminderKind, after: float, sender: str) -> Claim | NotNow | str:
        key = self._item.key(kind, after, sender)
        return await call_store(lambda: self._store.claim(key))

    async def _status(self, claim: Claim) -> TicketStatus | None:
        """Read how the ticket stands; None, and the claim is given back, where nobody may be written to now."""
        sn, problem = self._item.awaited.sn, ""
        try:
            async with asyncio.timeout(_ITSM_SECONDS), ItsmAsyncHook(self._item.awaited.bkitsm_conn_id) as hook:
                status = await self._read(hook)
        except (ItsmError, TimeoutError) as error:
            status, problem = None, f"ITSM does not say how it stands ({error or 'no answer'})"
        if status is not None:
            problem = _why_not_now(status)
        if status is not None and not problem:
            return status
        log.info("Nobody is reminded of ITSM ticket %s now: %s", sn, printable(problem))
        until = self._now() + _LOOK_AGAIN
        await call_store(lambda: self._store.put_off(claim, until))
        return None

    async def _read(self, hook: ItsmAsyncHook) -> TicketStatus:
        """Read the ticket that was opened: another ITSM may have one of its number (P6)."""
        spoken, stored = (await hook.aget_conn()).gateway.dialect.name, self._item.dialect
        if stored not in (None, spoken):
            raise ItsmError(f"it was opened in the dialect {stored!r}, and the connection speaks {spoken!r}")
        await hook.run(read_own_info(self._item.awaited.sn, self._identity))
        return await hook.run(read_status(self._item.awaited.sn))

    async def _send(self, spec: SenderSpec, claim: Claim, message: Reminder) -> Again:
        """Send a message in a thread, which stores that it did before anything else; return when to try again."""
        sn, to = message.sn, ", ".join(message.recipients)
        if not self._threads.has_room:
            until = self._now() + _AFTER_FAILURE
            log.warning("No reminder of ITSM ticket %s is sent now: too many senders do not answer", sn)
            await call_store(lambda: self._store.put_off(claim, until))
            return until
        try:
            is_sent, again = await self._in_thread(lambda: _send_and_note(self._store, spec, claim, message))
        except TimeoutError:
            log.warning("The reminder of ITSM ticket %s may not be sent: %s does not answer", sn, spec.path)
            return self._now() + timedelta(seconds=SENDER_SECONDS)
        if is_sent:
            self._has_sent = True
            log.info("A message about ITSM ticket %s (%s) to %s: %s", sn, message.kind, to, spec.path)
        return again

    async def _in_thread(self, call: Callable[[], T]) -> T:
        executor: Any = self._threads
        running = asyncio.ensure_future(sync_to_async(call, thread_sensitive=False, executor=executor)())
        done, _ = await asyncio.wait({running}, timeout=SENDER_SECONDS)
        if not done:
            running.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise TimeoutError
        return running.result()

    async def _escalate(self, after: float, senders: tuple[SenderSpec, ...], ownership: Ownership) -> Again:
        """Hand the ticket over to the further approvers where that may be, and tell them; never an approval."""
        claim = await self._claim(ReminderKind.ESCALATE, after, "")
        if isinstance(claim, NotNow):
            return claim.until
        policy = await self._policy(ownership.request)
        people = counted_people(policy, self._item.escalate_to)
        if isinstance(claim, Claim):
            status = await self._status(claim)
            if status is None:
                return self._now() + _LOOK_AGAIN
            again = await self._hand_over(claim, status, people, _why_no_hand_over(policy, people, ownership))
            if again is not None:
                return again
        return await self._send_each(ReminderKind.ESCALATE, after, senders, people) if people else None

    async def _policy(self, request: Mapping[str, Any] | None) -> VerdictPolicy:
        """Return by which duties the ticket is judged: the stricter ones of its request and of this task."""
        async with ItsmAsyncHook(self._item.awaited.bkitsm_conn_id) as hook:
            own = await hook.verdict_policy(**self._item.policy_settings)
        stored = VerdictPolicy.from_dict(request["policy"]) if request and request.get("policy") else None
        return tightened(stored or own, own, asked=asked_by(request or {}))

    async def _hand_over(self, claim: Claim, status: TicketStatus, people: tuple[str, ...], refusal: str) -> Again:
        sn, names = self._item.awaited.sn, ", ".join(self._item.escalate_to)
        if refusal:
            log.warning("ITSM ticket %s is not handed over to %s: %s", sn, names, refusal)
            await self._end(claim, ReminderState.REFUSED, people)
            return None
        message = f"Airflow: nobody has decided since {self._item.opened:%Y-%m-%d %H:%M} UTC"
        try:
            async with ItsmAsyncHook(self._item.awaited.bkitsm_conn_id) as hook:
                result: HandOver = await hook.run(hand_over(sn=sn, status=status, people=people, message=message))
        except ItsmError as error:
            again = await call_store(lambda: self._store.failed(claim))
            log.warning("ITSM ticket %s could not be handed over to %s: %s", sn, names, error)
            return again
        if result.done:
            log.info("ITSM ticket %s asks %s now: %s", sn, ", ".join(people), ", ".join(result.done))
            if self._item.handed_over is not None:
                self._item.handed_over()
        for reason in result.refusals:
            log.warning("ITSM ticket %s is not handed over to %s: %s", sn, ", ".join(people), printable(reason))
        await self._end(claim, ReminderState.SENT if result.done else ReminderState.REFUSED, people)
        return None

    async def _end(self, claim: Claim, state: ReminderState, people: tuple[str, ...]) -> None:
        await call_store(lambda: self._store.end(claim, state, recipients=people))


def _why_not_now(status: TicketStatus) -> str:
    """Return why nobody is written to about a ticket that stands so; empty where somebody is."""
    if status.progress not in _OPEN:
        return f"it is {status.current_status}"
    return "" if status.waits_for else "it asks nobody by name"


def _why_no_hand_over(policy: VerdictPolicy, people: tuple[str, ...], ownership: Ownership) -> str:
    """Return why a ticket is not handed over to people; empty where it may be (promises P3 and P6)."""
    if ownership.request is None:
        return "no record of this Airflow says that it was opened here"
    if policy.forbid_self_approval and not policy.requester:
        return "who asked is not known, and nobody may approve their own request"
    if not people:
        return f"{policy.requester} asked, and may not approve it (forbid_self_approval)"
    if len(people) < policy.min_approvers:
        return f"min_approvers is {policy.min_approvers}, and so many could not say yes any more"
    return ""


def _send_and_note(store: ReminderStore, spec: SenderSpec, claim: Claim, message: Reminder) -> tuple[bool, Again]:
    """Send a message, and store at once that it was sent; return whether it was, and when to try again. Blocks."""
    is_sent = False
    try:
        send = load_sender(spec)
        with store.sending(claim, recipients=message.recipients) as note:
            send(message)
            is_sent = True
            note()
    except Exception as error:
        if is_sent:
            _note_late(store, claim, message)
            return True, None
        # The text of a foreign error may hold a secret: only its class is named.
        why = printable(str(error)) if isinstance(error, ItsmConfigurationError) else type(error).__name__
        again = store.failed(claim)
        tried = f"attempt {claim.attempts}" if again else "the last attempt"
        log.warning("%s has not sent the reminder of %s: %s, %s", spec.path, message.sn, why, tried)
        return False, again
    return True, None


def _note_late(store: ReminderStore, claim: Claim, message: Reminder) -> None:
    """Store that a message was sent, although the store has just failed to."""
    for left in reversed(range(_NOTE_ATTEMPTS)):
        try:
            store.end(claim, ReminderState.SENT, recipients=message.recipients)
            return
        except ItsmError as error:
            if not left:
                log.warning("That %s was reminded of could not be stored; it may be again: %s", message.sn, error)
            time.sleep(1)
