# SPDX-License-Identifier: Apache-2.0
"""Who waits for a ticket: a waiting task registers itself, and the callback finds it by the ticket's number.

The registration is an XCom on the waiting task instance. Its key holds the ticket's number, because XCom keys are
indexed in Airflow's database. Others can write XComs, so a registration only finds a task. Number, connection,
verdict source and what may end the task come from the trigger's own arguments, which are encrypted. The arguments
of a task that starts from its trigger hold templates; see
:mod:`airflow_provider_bkitsm.plugins.metadata.waiting_tasks`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from types import NoneType, UnionType
from typing import Any
from uuid import UUID

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.itsm.wait import approval_time
from airflow_provider_bkitsm.mixins import LATER_SETTINGS, TICKET_URL_KEY, VerdictPolicyMixin

WAIT_PREFIX = "bkitsm_wait:"
# XCom of one waiting task of a connection: when its triggerer last had an answer from ITSM.
POLLED_KEY = "bkitsm_polled"
# XCom of a task that a callback has resumed: see ``resumption``.
RESUMED_KEY = "bkitsm_resumed"
# XComs that hold how a round ended. An earlier round's XComs do not count for this round.
RESULT_KEYS = ("return_value", "verdict")
TRIGGER = "airflow_provider_bkitsm.triggers.ticket.ItsmTicketTrigger"
"""The class path of the trigger that waits."""

# A connection's id is free text, of any script. What no database can store must not reach a look-up.
CONN_ID = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,250}")
_TYPES: Mapping[str, type | UnionType] = {
    "ti_id": str,
    "conn_id": str,
    "verdict_field": str | NoneType,
    "verdict_value": str | NoneType,
    "require_evidence": bool | NoneType,
    "accept_automatic": bool | NoneType,
    "forbid_self_approval": bool | NoneType,
    "min_approvers": int | NoneType,
    "requester": str | NoneType,
    "ends_task": bool,
    "after_worker": bool,
    "approval_seconds": int | float | NoneType,
}


@dataclass(frozen=True, kw_only=True)
class Waiter(VerdictPolicyMixin):
    """A task instance that waits, with its verdict policy.

    :param ti_id: UUID of the task instance's try: a later try of the same task has another UUID.
    :param conn_id: connection to the ITSM of the ticket.
    :param ends_task: whether an approval may end the task without a worker.
    :param after_worker: a worker deferred the task, and the executor may still have to report that worker's end.
    :param approval_seconds: from the ticket's creation to its deadline; None: no deadline, or not given.
    """

    ti_id: str
    conn_id: str
    verdict_field: str | None = None
    verdict_value: str | None = None
    require_evidence: bool | None = None
    accept_automatic: bool | None = None
    forbid_self_approval: bool | None = None
    min_approvers: int | None = None
    requester: str | None = None
    ends_task: bool = False
    after_worker: bool = False
    approval_seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values. What an earlier version lacks is among them only where it is set."""
        values = asdict(self)
        return {name: value for name, value in values.items() if name not in LATER_SETTINGS or value is not None}

    @classmethod
    def from_value(cls, value: Any) -> Waiter | None:
        """Read what ``as_dict`` of this or another version returned; None for anything else.

        A key of another version is ignored. A value of another type is no registration of ours.
        """
        if not isinstance(value, Mapping):
            return None
        values = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        if not all(isinstance(given, _TYPES[name]) for name, given in values.items()):
            return None
        seconds = values.get("approval_seconds")
        try:
            is_ours = CONN_ID.fullmatch(values["conn_id"]) and UUID(values["ti_id"]) and isfinite(seconds or 0)
        except (KeyError, ValueError, OverflowError):
            return None
        return cls(**values) if is_ours else None


_TEMPLATE = ("{{", "{%", "{#")


@dataclass(frozen=True, kw_only=True)
class WaitArguments:
    """Arguments of a stored trigger, as far as they are plain values. Only Airflow can write them, unlike XComs.

    :param sn: number of the ticket; None for a template.
    :param conn_id: connection; None for a template.
    :param verdict_settings: parameters of the hooks' ``verdict_policy``; None where a value is not plain.
    :param opened_by: as :class:`~airflow_provider_bkitsm.tickets.ownership.AwaitedTicket` has it.
    :param reminders: as ``tickets.reminder_settings.ReminderSettings`` writes it; empty: the task says nothing.
    """

    sn: str | None
    conn_id: str | None
    verdict_settings: Mapping[str, Any] | None
    approval_seconds: float | None
    ends_task: bool
    after_worker: bool
    opened_by: str | None
    reminders: str = field(default="", repr=False)

    @classmethod
    def from_stored(cls, stored: object) -> WaitArguments | None:
        """Read the arguments of a trigger of this or another version; None for anything else."""
        if not isinstance(stored, Mapping):
            return None
        flags = {name: stored.get(name, False) for name in ("ends_task", "after_worker")}
        opened_by = stored.get("opened_by")
        plain = opened_by is None or _plain(opened_by) is not None
        if not plain or not all(isinstance(flag, bool) for flag in flags.values()):
            return None
        return cls(
            sn=_plain(stored.get("ticket_sn")),
            conn_id=_plain(stored.get("bkitsm_conn_id")),
            verdict_settings=_settings(stored),
            approval_seconds=_seconds(stored.get("approval_timeout")),
            opened_by=opened_by,
            reminders=_plain(stored.get("reminders")) or "",
            **flags,
        )

    def may_be_about(self, sn: str, conn_id: str) -> bool:
        """Whether these arguments name this ticket, or hold templates where they would name a ticket."""
        return self.sn in (None, sn) and self.conn_id in (None, conn_id)

    @property
    def names_ticket(self) -> bool:
        """Whether these arguments name one ticket."""
        return self.sn is not None and self.conn_id is not None

    def waiter(self, registered: Waiter) -> Waiter:
        """Return the registered waiter with the trigger's own values.

        Whether other tasks are mapped over this task is known only when the wait begins. So the registration may
        demand that a worker ends the task, but it may not waive a worker.
        """
        settings: dict[str, Any] = dict.fromkeys(_SETTINGS) | dict(self.verdict_settings or {})
        return Waiter(
            ti_id=registered.ti_id,
            conn_id=self.conn_id or registered.conn_id,
            ends_task=self.ends_task and registered.ends_task,
            after_worker=self.after_worker,
            approval_seconds=self.approval_seconds,
            **settings,
        )


_FIRST_SETTINGS = ("verdict_field", "verdict_value", "require_evidence")
_SETTINGS = (*_FIRST_SETTINGS, *LATER_SETTINGS)


def _settings(stored: Mapping[Any, Any]) -> Mapping[str, Any] | None:
    """Return the verdict policy's parameters. An earlier version had the first of them only."""
    given = {name: stored[name] for name in _SETTINGS if name in stored}
    typed = all(isinstance(value, _TYPES[name]) for name, value in given.items())
    texts = (value for value in given.values() if isinstance(value, str))
    complete = set(_FIRST_SETTINGS) <= given.keys()
    return given if typed and complete and not any(map(is_template, texts)) else None


def _seconds(given: Any) -> float | None:
    """Return how long approvers may take; None for no limit, for a template and for anything else."""
    try:
        time = approval_time(given)
    except ItsmConfigurationError:
        return None
    return None if time is None else time.total_seconds()


def _plain(value: object) -> str | None:
    """Return a text without blanks around it; None for a template, an empty text and anything else."""
    return value.strip() or None if isinstance(value, str) and not is_template(value) else None


def is_template(value: object) -> bool:
    """Whether an argument of a trigger is a template that is not rendered yet."""
    return isinstance(value, str) and any(sign in value for sign in _TEMPLATE)


def registration_key(sn: str) -> str:
    """Return the XCom key under which the tasks that wait for a ticket register themselves."""
    return f"{WAIT_PREFIX}{sn}"


def xcoms_of(verdict: Verdict) -> dict[str, Any]:
    """Return the XComs of a task that ends without a worker: the same that a worker would have pushed."""
    return {"return_value": verdict.as_dict(), TICKET_URL_KEY: verdict.ticket_url}


def resumption(trigger_id: int | None, verdict: Verdict | None) -> dict[str, Any]:
    """Return the XCom by which a trigger learns that a callback, and no person, has ended it.

    :param verdict: the verdict, where it counts for the task. No text of ITSM is stored: it may hold a character
        that the database refuses.
    """
    return {RESUMED_KEY: {"trigger_id": trigger_id, "outcome": None if verdict is None else str(verdict.outcome)}}


def wait_can_finish_without_worker(waiter: Waiter, verdict: Verdict) -> bool:
    """Whether a verdict may end the task without a worker; else ``execute_complete`` draws the conclusion."""
    return waiter.ends_task and verdict.outcome is Outcome.APPROVED
