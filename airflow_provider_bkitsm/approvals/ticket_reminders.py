# SPDX-License-Identifier: Apache-2.0
"""Which reminders of a ticket went out, to whom, and when the next one is due: for the Ticket tab. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.approvals.snapshot import text
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.reminders import ReminderPlan
from airflow_provider_bkitsm.tickets.reminder import ReminderKind

if TYPE_CHECKING:
    from airflow_provider_bkitsm.tickets.reminder_store import StoredReminder

_MOST_PEOPLE, _LONGEST_NAME = 50, 200


class ReminderAct(StrEnum):
    """What is done about a ticket that waits: a message to its approvers or to the further ones; a hand-over."""

    REMINDER = "reminder"
    ESCALATION = "escalation"
    HAND_OVER = "hand_over"


@dataclass(frozen=True, kw_only=True)
class SentReminder:
    """One message or hand-over, and what became of it.

    :param state: as ``tickets.reminder_store.ReminderState`` has it.
    :param at: when that was; of one whose end is not known, when it was tried last.
    """

    kind: ReminderAct
    state: str
    at: datetime
    recipients: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {"kind": str(self.kind), "at": self.at.isoformat()}


@dataclass(frozen=True, kw_only=True)
class NextReminder:
    """What is due next, if nobody decides before."""

    kind: ReminderAct
    at: datetime

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"kind": str(self.kind), "at": self.at.isoformat()}


def sent_reminders(stored: Iterable[StoredReminder]) -> tuple[SentReminder, ...]:
    """Return what was done, oldest first. Several senders have a row each: what is the same of them is one."""
    found: dict[tuple[Any, ...], SentReminder] = {}
    for row in sorted(stored, key=lambda row: row.at):
        one = SentReminder(kind=_act_of(row), state=row.state, at=row.at, recipients=_people(row.recipients))
        found.setdefault((one.kind, row.after_seconds, one.state, one.recipients), one)
    return tuple(found.values())


def next_reminder(
    reminders: str,
    stored: Collection[StoredReminder],
    *,
    opened_at: datetime,
    now: datetime,
    deadline: datetime | None,
    has_sender: bool,
) -> NextReminder | None:
    """Return what a waiting task has planned next; None: nothing, or that is not known.

    What another task has done, which waits for the same ticket, is not done again.

    :param reminders: what the task says of reminders, as its trigger has it.
    :param deadline: nothing is done at it or later.
    :param has_sender: whether there is a sender for tasks that name none: without any, nobody is reminded.
    """
    try:
        given = json.loads(reminders)
        plan, senders = ReminderPlan.from_dict(given["plan"]), given.get("remind_by")
    except (ItsmError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    planned = [(ReminderAct.REMINDER, after) for after in plan.remind_after if senders or has_sender]
    if plan.escalate_after is not None:
        # The first of two that are due together: the reminder is merged with the escalation.
        planned.insert(0, (ReminderAct.ESCALATION, plan.escalate_after))
    done = {(row.kind, row.after_seconds) for row in stored}
    later = [
        NextReminder(kind=kind, at=at)
        for kind, after in planned
        if (_KINDS[kind], round(after)) not in done
        and (at := plan.at(opened_at, after)) > now
        and (deadline is None or at < deadline)
    ]
    return min(later, key=lambda one: one.at, default=None)


_KINDS = {ReminderAct.REMINDER: ReminderKind.REMIND, ReminderAct.ESCALATION: ReminderKind.ESCALATE}


def _act_of(row: StoredReminder) -> ReminderAct:
    if row.kind != ReminderKind.ESCALATE:
        return ReminderAct.REMINDER
    return ReminderAct.HAND_OVER if row.is_hand_over else ReminderAct.ESCALATION


def _people(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text(name)[:_LONGEST_NAME] for name in names[:_MOST_PEOPLE])
