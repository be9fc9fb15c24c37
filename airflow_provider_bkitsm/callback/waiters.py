# SPDX-License-Identifier: Apache-2.0
"""Who waits for a ticket: a waiting task registers itself, and the callback finds it by the ticket's number.

The registration is an XCom on the waiting task instance. Its key carries the sn, because XCom keys are indexed
in Airflow's database. It is an index and no authority, since others can write XComs: number, connection, verdict
source and what may end the task are those of the trigger's own arguments, which are encrypted. Those of a task
that starts from its trigger hold templates; see :mod:`airflow_provider_bkitsm.plugins.metadata.resume`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from math import isfinite
from types import NoneType, UnionType
from typing import Any
from uuid import UUID

from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.mixins import TICKET_URL_KEY, VerdictPolicyMixin

WAIT_PREFIX = "bkitsm_wait:"
# XCom of one waiting task of a connection: when its triggerer last had an answer from ITSM.
POLLED_KEY = "bkitsm_polled"
# XComs that hold how a round ended. Those of an earlier round say nothing about this one.
RESULT_KEYS = ("return_value", "verdict")
# As Airflow names connections. A name that no database takes must not reach one.
_CONN_ID = re.compile(r"[\w#!()\-.:/\\]{1,250}")
_TYPES: Mapping[str, type | UnionType] = {
    "ti_id": str,
    "conn_id": str,
    "verdict_field": str | NoneType,
    "verdict_value": str | NoneType,
    "require_evidence": bool | NoneType,
    "accept_automatic": bool | NoneType,
    "ends_task": bool,
    "after_worker": bool,
    "approval_seconds": int | float | NoneType,
}


@dataclass(frozen=True, kw_only=True)
class Waiter(VerdictPolicyMixin):
    """A task instance that waits, and how it wants the verdict read.

    :param ti_id: UUID of the task instance's try: a later try of the same task is another one.
    :param conn_id: connection it asks ITSM with.
    :param ends_task: whether an approval may end it without a worker.
    :param after_worker: it was deferred by a worker, whose end the executor may still have to report.
    :param approval_seconds: from the ticket's creation to its deadline, for people; None: for ever, or not said.
    """

    ti_id: str
    conn_id: str
    verdict_field: str | None = None
    verdict_value: str | None = None
    require_evidence: bool | None = None
    accept_automatic: bool | None = None
    ends_task: bool = False
    after_worker: bool = False
    approval_seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; a setting that the first version did not know only where it is set."""
        values = asdict(self)
        if self.accept_automatic is None:
            del values["accept_automatic"]
        return values

    @classmethod
    def from_value(cls, value: Any) -> Waiter | None:
        """Read what ``as_dict`` returned, of this version or another one; None when it is something else.

        A key that only another version knows is left out. A key that has another type is no registration of ours.
        """
        if not isinstance(value, Mapping):
            return None
        known = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        if not all(isinstance(given, _TYPES[name]) for name, given in known.items()):
            return None
        seconds = known.get("approval_seconds")
        try:
            is_ours = _CONN_ID.fullmatch(known["conn_id"]) and UUID(known["ti_id"]) and isfinite(seconds or 0)
        except (KeyError, ValueError, OverflowError):
            return None
        return cls(**known) if is_ours else None


_TEMPLATE = ("{{", "{%", "{#")


@dataclass(frozen=True, kw_only=True)
class WaitArguments:
    """Arguments of a stored trigger, as far as they are plain values; an authority where an XCom is none.

    :param sn: number of the ticket; None where it is a template.
    :param conn_id: connection; None likewise.
    :param verdict_settings: what the hooks' ``verdict_policy`` takes; None where one of them is not plain.
    :param opened_by: as :class:`~airflow_provider_bkitsm.tickets.binding.AwaitedTicket` has it.
    """

    sn: str | None
    conn_id: str | None
    verdict_settings: Mapping[str, Any] | None
    approval_seconds: float | None
    ends_task: bool
    after_worker: bool
    opened_by: str | None

    @classmethod
    def from_stored(cls, stored: object) -> WaitArguments | None:
        """Read a trigger's arguments, of this version or another one; None where they are none of ours."""
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
            **flags,
        )

    def may_be_about(self, sn: str, conn_id: str) -> bool:
        """Whether these arguments name this ticket, or leave open which one."""
        return self.sn in (None, sn) and self.conn_id in (None, conn_id)

    @property
    def names_ticket(self) -> bool:
        """Whether these arguments name one ticket."""
        return self.sn is not None and self.conn_id is not None

    def waiter(self, registered: Waiter) -> Waiter:
        """Return who has registered, by the trigger's own values.

        Whether others are mapped over the task is known only since the wait began: the registration may say that a
        worker has to end the task, and never that none has to.
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


_SETTINGS = ("verdict_field", "verdict_value", "require_evidence", "accept_automatic")


def _settings(stored: Mapping[Any, Any]) -> Mapping[str, Any] | None:
    """Return where the verdict is read; the version before had no ``accept_automatic``."""
    given = {name: stored[name] for name in _SETTINGS if name in stored}
    typed = all(isinstance(value, _TYPES[name]) for name, value in given.items())
    texts = (value for value in given.values() if isinstance(value, str))
    complete = set(_SETTINGS) - {"accept_automatic"} <= given.keys()
    return given if typed and complete and not any(map(is_template, texts)) else None


def _seconds(given: object) -> float | None:
    """Return how long people may take; None for ever, for a template and for anything else."""
    if isinstance(given, timedelta):
        return given.total_seconds()
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    return float(given) if isfinite(given) else None


def _plain(value: object) -> str | None:
    """Return a text as it is; None for a template, for an empty text and for anything else."""
    return value.strip() or None if isinstance(value, str) and not is_template(value) else None


def is_template(value: object) -> bool:
    """Whether an argument of a trigger is yet to be rendered."""
    return isinstance(value, str) and any(sign in value for sign in _TEMPLATE)


def wait_key(sn: str) -> str:
    """Return the XCom key under which the tasks that wait for a ticket register themselves."""
    return f"{WAIT_PREFIX}{sn}"


def xcoms_of(verdict: Verdict) -> dict[str, Any]:
    """Return the XComs of a task that an approval ends with no worker: those the worker would have pushed."""
    return {"return_value": verdict.as_dict(), TICKET_URL_KEY: verdict.ticket_url}


def wait_can_finish_without_worker(waiter: Waiter, verdict: Verdict) -> bool:
    """Whether the task ends without a worker; all else goes to ``execute_complete``, which logs and decides."""
    return waiter.ends_task and verdict.outcome is Outcome.APPROVED
