# SPDX-License-Identifier: Apache-2.0
"""Who waits for a ticket: a waiting task registers itself, and the callback finds it by the ticket's number.

The registration is an XCom on the waiting task instance. Its key carries the sn, because XCom keys are indexed
in Airflow's database; trigger arguments are encrypted there, and those of a task that starts from its trigger
hold templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import NoneType, UnionType
from typing import Any
from uuid import UUID

from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.tasks import TICKET_URL_KEY, ReadsVerdict

WAIT_PREFIX = "bkitsm_wait:"
# XCom of one waiting task of a connection: when its triggerer last had an answer from ITSM.
POLLED_KEY = "bkitsm_polled"
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
class Waiter(ReadsVerdict):
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
        try:
            return cls(**known) if UUID(known["ti_id"]) and "conn_id" in known else None
        except (KeyError, ValueError):
            return None


def wait_key(sn: str) -> str:
    """Return the XCom key under which the tasks that wait for a ticket register themselves."""
    return f"{WAIT_PREFIX}{sn}"


def xcoms_of(verdict: Verdict) -> dict[str, Any]:
    """Return the XComs of a task that an approval ends with no worker: those the worker would have pushed."""
    return {"return_value": verdict.as_dict(), TICKET_URL_KEY: verdict.ticket_url}


def ends_here(waiter: Waiter, verdict: Verdict) -> bool:
    """Whether the task ends without a worker; all else goes to ``execute_complete``, which logs and decides."""
    return waiter.ends_task and verdict.outcome is Outcome.APPROVED
