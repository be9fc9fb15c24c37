# SPDX-License-Identifier: Apache-2.0
"""The record of one approval round: what was asked, of whom, for which round of which task. Pure.

An approval counts for its round only. The record says which round that is, since Airflow has no number for it:
``max_tries`` falls when ``retries`` is lowered, XComs are cleared, and a deleted run comes back under its id.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from airflow_provider_bkitsm.itsm.dialect import stored_dialect
from airflow_provider_bkitsm.itsm.idempotency import TicketIdentity

RUN_BY, ITEM, ITEM_DIGEST, RUNS = "run_by", "item", "item_digest", "runs"
"""What a stored request calls the person who started the run (by the name in Airflow), what of a shared approval's
items the task would do, that item's digest, and the digest of what a retry would run, if that is another one."""

_NONCE_BYTES = 16
_TIME_ORDERED = 7
# Bits of such an id behind its milliseconds.
_BEHIND_TIME = 80


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What an approval is for: one task of one run, or all tasks of a DAG that share a key.

    :param installation: tells Airflow installations apart that share DAGs, a store and an ITSM.
    :param approval_key: of a shared approval, whose own subject names neither run nor task.
    """

    installation: str
    bkitsm_conn_id: str
    dag_id: str
    run_id: str = ""
    task_id: str = ""
    map_index: int = -1
    approval_key: str | None = None

    @property
    def key(self) -> str:
        """64 hex characters: the same for the same parts only, whatever characters they hold."""
        parts = (self.installation, self.bkitsm_conn_id, self.dag_id, self.run_id, self.task_id)
        text = json.dumps([*parts, self.map_index, self.approval_key])
        return hashlib.sha256(text.encode()).hexdigest()

    def __str__(self) -> str:
        if not self.task_id:
            return f"approval_key {self.approval_key!r} of {self.dag_id}"
        index = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"{self.dag_id}.{self.task_id}{index}, run {self.run_id}"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A try of a task, as Airflow numbers it.

    :param ti_id: of the try: every retry and every clear gets a new one. None where Airflow does not say.
    :param retries: as the DAG says now.
    :param clear_number: how often tasks of the run were cleared; None where Airflow does not say, and in a test
        run, whose beginning is not known either.
    :param run_started: when the run began (ISO 8601); a run that comes back under its id began at another moment.
    """

    ti_id: str | None
    try_number: int
    max_tries: int
    retries: int
    clear_number: int | None = None
    run_started: str | None = None

    def continues(self, earlier: Attempt) -> bool:
        """Whether this try belongs to the round of an earlier one: a retry, or the same try once more.

        A person who clears the task begins a new round. Two numbers show a clear, and neither shows every clear:

        - ``max_tries`` rises, unless ``retries`` was lowered meanwhile or a worker was running the task.
        - The run's ``clear_number`` rises, unless the person left the run's state alone, or the run was still
          running on Airflow 3.1.

        So a try is a retry only if both numbers are as they were. Every other try begins a new round. A new round
        goes on with the earlier ticket while that is open, and asks anew once it was decided. A clear that
        changes neither number looks like a try that was lost with its scheduler, and the round goes on.
        """
        if self.ti_id is not None and (self.ti_id, *self._numbers) == (earlier.ti_id, *earlier._numbers):
            return True
        unchanged = self._of_round == earlier._of_round
        return unchanged and self.is_later(earlier) and not self._may_be_cleared_since(earlier)

    @property
    def _of_round(self) -> tuple[int, int, int | None, str | None]:
        """What a retry leaves as it was."""
        return self.max_tries, self.retries, self.clear_number, self.run_started

    @property
    def _numbers(self) -> tuple[int, int]:
        return self.try_number, self.max_tries

    def is_later(self, earlier: Attempt) -> bool:
        """Whether this is a later try of the same run, as far as Airflow shows the run.

        A run that comes back under its id counts its tries from 1 again, but the first of them may have ended
        before they asked. So the run's beginning is compared. A clear changes that of a run that has ended, and
        then ``clear_number`` rises too. A run that comes back and is cleared before it asks looks like that.
        """
        if self.try_number <= earlier.try_number:
            return False
        clears, earlier_clears = self.clear_number, earlier.clear_number
        if self.run_started == earlier.run_started or clears is None or earlier_clears is None:
            return True
        return clears > earlier_clears

    def is_given_up(self, later: Attempt) -> bool:
        """Whether Airflow made the other try after this one. The ids of tries are UUIDs that rise with time.

        Airflow may believe a running try lost, or a person may clear it; its worker then goes on for a while.
        Within a run the numbers of tries count before their ids: a scheduler's clock may be set back.
        """
        if self.run_started == later.run_started and self.is_later(later):
            return False
        mine, other = _time_ordered(self.ti_id), _time_ordered(later.ti_id)
        return mine is not None and other is not None and mine < other

    def _may_be_cleared_since(self, earlier: Attempt) -> bool:
        """Whether a clear between two tries would have left their numbers alike.

        It sets ``max_tries`` to the number of the last try plus ``retries``: the same as before where ``retries``
        was lowered before the task first ran.
        """
        last_before_clear = self.max_tries - self.retries
        return earlier.try_number <= last_before_clear < self.try_number


def made_at(ti_id: str | None) -> datetime | None:
    """Return when Airflow made a try (aware), as its id says; None for an id that does not rise with time."""
    found = _time_ordered(ti_id)
    return None if found is None else datetime.fromtimestamp((found.int >> _BEHIND_TIME) / 1000, UTC)


def _time_ordered(ti_id: str | None) -> UUID | None:
    """Return an id that rises with time; None for any other."""
    try:
        found = UUID(ti_id or "")
    except ValueError:
        return None
    return found if found.version == _TIME_ORDERED else None


@dataclass(frozen=True, kw_only=True)
class ApprovalRecord:
    """One approval round, from the intent to ask to the verdict.

    :param nonce: 32 random hex characters, the record's id: with it nobody can prepare the ticket's mark.
    :param round_number: counts the subject's rounds from 1. A subject has one record for each.
    :param digest: of the whole question; ``asked_digest`` leaves out who asks.
    :param tag: of the ticket, see :func:`~airflow_provider_bkitsm.itsm.idempotency.approval_tag`.
    :param request: ``service_id``, ``creator``, ``fields`` and ``processors`` as the ticket was opened with, the
        ``dialect``, and the connection's verdict ``policy`` of that time. Besides, who asks, and of a task's own
        round what it would run; see ``RUN_BY`` and the others.
    :param create_started_at: when its opening was last begun; None: never.
    :param ticket_of: nonce of the record whose ticket answers this round as well: an earlier round's, which was
        still open, or a shared approval's. None: this record opens its own.
    :param verdict: as ``Verdict.as_dict`` gives it, once the round ended; ``waits`` in it says of each task that
        waited for the ticket how its wait ended. See :mod:`airflow_provider_bkitsm.tickets.round_end`.
    :param version: of the row: it rises with each change, 0 is not stored.
    """

    nonce: str
    subject: Subject
    round_number: int
    attempt: Attempt
    digest: str
    asked_digest: str
    tag: str
    request: Mapping[str, Any]
    create_started_at: datetime | None = None
    ticket_of: str | None = None
    sn: str | None = None
    ticket_id: int | None = None
    ticket_url: str = ""
    opened_at: datetime | None = None
    verdict: Mapping[str, Any] | None = None
    ended_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    version: int = field(default=0, compare=False)

    @property
    def dialect(self) -> str:
        """The dialect that the round asks in."""
        return stored_dialect(self.request)

    @property
    def is_open(self) -> bool:
        """Whether nobody has seen an end of this round."""
        return self.verdict is None

    @property
    def identity(self) -> TicketIdentity | None:
        """By what another ticket of the same number is known; None for one of a version without records."""
        return TicketIdentity.of(self.tag, self.create_started_at, self.request)

    def with_changes(self, now: datetime, **changes: Any) -> ApprovalRecord:
        """Return the next version of the row."""
        return replace(self, **changes, updated_at=now, version=self.version + 1)

    def seconds_until_settled(self, settle: float, now: datetime) -> float:
        """Return for how long a ticket whose answer was lost may still appear.

        :param settle: how long a ticket whose answer was lost may take to appear (seconds).
        """
        if self.create_started_at is None or self.sn is not None:
            return 0.0
        return max(0.0, settle - (now - self.create_started_at).total_seconds())


def new_nonce() -> str:
    """Return 128 random bits."""
    return secrets.token_hex(_NONCE_BYTES)


def ticket_tab_path(*, dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """Return where the tab *Ticket* of a task instance is, below Airflow's own address."""
    mapped = ("mapped", str(map_index)) if map_index >= 0 else ()
    parts = ("dags", dag_id, "runs", run_id, "tasks", task_id, *mapped, "plugin", "bkitsm-ticket")
    return "/".join(quote(part, safe="") for part in parts)


def runs_digest(task: Mapping[str, Any], *, waits: object, at_start: object) -> str:
    """Return the digest of what a task's last try would run, as it was rendered last; empty where nobody knows.

    :param task: the task instance, by ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :param waits: how waits for the ticket ended, as a record's verdict lists them.
    :param at_start: the digest when the try began: it counts while no end of its wait says another.
    """
    ended = (one for one in waits if isinstance(one, Mapping)) if isinstance(waits, list | tuple) else ()
    at_end = (str(one["runs"]) for one in ended if one.get("runs") and task.items() <= one.items())
    return next(at_end, "") or str(at_start or "")
