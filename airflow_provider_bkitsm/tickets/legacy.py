# SPDX-License-Identifier: Apache-2.0
"""The ticket that a version without approval records has opened: after an upgrade a retry goes on with it.

Only Airflow's own state of the task (3.3 and later) names it. It is not searched for: anybody can compute the tag
that such a version gave it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import ItsmNotFoundError
from airflow_provider_bkitsm.itsm.idempotency import asks_for, creation_tag, is_marked_as_before
from airflow_provider_bkitsm.tickets.opening_records import read_last_opening
from airflow_provider_bkitsm.tickets.ownership import AwaitedTicket

if TYPE_CHECKING:
    from airflow_provider_bkitsm.hooks.itsm import ItsmHook

_KEY = "bkitsm_ticket"
# Airflow's own limit of mapped tasks, and more clears and retries than any task has seen.
_INDEXES, _ROUNDS = range(-1, 1024), 50


class TaskStates(Protocol):
    """Airflow's task state store."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return what was stored."""


@dataclass(frozen=True, kw_only=True)
class LegacyTicket:
    """A ticket without a record.

    :param same_round: whether it was opened by an earlier try of this round; else the task was cleared since.
    """

    sn: str
    id: int | None
    ticket_url: str
    title: str
    tag: str
    same_round: bool

    def asks_for(self, digests: Collection[str]) -> bool:
        """Whether the ticket asks what has one of these digests, so far as its title shows one."""
        return not digests or any(asks_for(self.title, digest) for digest in digests)


def is_legacy(title: str, ticket: AwaitedTicket, *, conn_ids: Collection[str], approval_key: str | None) -> bool:
    """Whether a title has the mark that such a version gave the ticket of the task named by ``opened_by``.

    That mark names run and task. A later ticket whose record is lost has another one, which nobody can foresee.

    :param conn_ids: connections with one of which the task may have opened it.
    :param approval_key: of the task, rendered.
    """
    return any(is_marked_as_before(title, tag) for one in conn_ids for tag in _tags(ticket, one, approval_key))


def clock_behind(hook: ItsmHook) -> timedelta:
    """Return by how much ITSM's clock may be behind ours: a ticket may be so much younger than it says.

    The last ticket of a record tells: ITSM has dated it before a worker learnt its number. While no ticket has a
    record there is nothing to compare with, and the clocks are taken for equal.

    :raises ItsmError: store or ITSM cannot be read. A retry is safe.
    """
    last = read_last_opening(hook.bkitsm_conn_id)
    if last is None:
        return timedelta(0)
    try:
        created_at = hook.run(ask(lambda itsm: itsm.info(last.sn))).created_at
    except ItsmNotFoundError:
        return timedelta(0)
    return max(timedelta(0), last.opened_at - created_at)


def _tags(ticket: AwaitedTicket, conn_id: str, approval_key: str | None) -> Iterator[str]:
    if approval_key:
        yield creation_tag(conn_id, ticket.dag_id, "approval_key", approval_key)
        return
    indexes = _INDEXES if ticket.map_index is None else (ticket.map_index,)
    task = (conn_id, ticket.dag_id, ticket.run_id, ticket.task_id)
    yield from (creation_tag(*task, index, number) for index in indexes for number in range(_ROUNDS))


def legacy_ticket(states: TaskStates | None, *, round_number: int) -> LegacyTicket | None:
    """Return the ticket that a task's state names.

    :param states: None on an Airflow without them.
    :param round_number: ``max_tries`` of this try, which was the number of a round then.
    """
    stored = None if states is None else states.get(_KEY)
    if not isinstance(stored, dict) or not stored.get("sn"):
        return None
    tag, _, number = str(stored.get("asking", "")).rpartition(":")
    return LegacyTicket(
        sn=str(stored["sn"]),
        id=stored.get("id"),
        ticket_url=str(stored.get("ticket_url") or ""),
        title=str(stored.get("title") or ""),
        tag=tag,
        same_round=number == str(round_number),
    )
