# SPDX-License-Identifier: Apache-2.0
"""What a person may do with a ticket: by their rights in Airflow, and by ITSM's rule."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fastapi import HTTPException

from airflow_provider_bkitsm.approvals.rows import TaskKey
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.itsm.actions import may_withdraw
from airflow_provider_bkitsm.plugins.concurrency import in_thread
from airflow_provider_bkitsm.plugins.reminders import reminded_by_page
from airflow_provider_bkitsm.plugins.security import itsm_name, may_change

if TYPE_CHECKING:
    from fastapi import Request


class TicketRights:
    """Says what a person may do. ITSM decides it once more when it is asked to do it.

    :param gateway: reads a connection.
    """

    def __init__(self, gateway: Callable[[str], Awaitable[Gateway | None]]) -> None:
        self._gateway = gateway

    async def add(self, request: Request, user: Any, tickets: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the tickets of a list with what a person may do with each, by the first task they may change."""
        listed = list(tickets)
        dags = {task["dag_id"] for ticket in listed for task in ticket["tasks"] if task["open"]}
        changes = await in_thread(lambda: {dag for dag in dags if may_change(request, user, dag)})
        added = [{**ticket, "tasks": _tasks(ticket, changes)} for ticket in listed]
        acting = [_acting_task(ticket) for ticket in added]
        tasks = [task for task in acting if task is not None]
        reminded = await in_thread(reminded_by_page, tasks) if tasks else frozenset()
        for ticket, task in zip(added, acting, strict=True):
            withdraws, by = await self.withdrawal(user, ticket["conn_id"], ticket["creator"])
            ticket["may_withdraw"] = task is not None and withdraws
            ticket["withdraw_by"] = by if ticket["open"] else ()
            ticket["may_remind"] = task in reminded
        return added

    async def withdrawal(self, user: Any, conn_id: str, creator: str) -> tuple[bool, tuple[str, ...]]:
        """Return whether ITSM lets a person withdraw an open ticket, and if not, who may as far as it is known."""
        person, gateway = _acting_name(user), await self._gateway(conn_id) if conn_id else None
        if gateway is None or not person:
            return False, ()
        is_allowed = may_withdraw(gateway.dialect.capabilities, person=person, creator=creator)
        return is_allowed, () if is_allowed or not creator else (creator,)


def _tasks(ticket: Mapping[str, Any], changes: Collection[str]) -> list[dict[str, Any]]:
    return [{**task, "may_change": task["open"] and task["dag_id"] in changes} for task in ticket["tasks"]]


def _acting_task(ticket: Mapping[str, Any]) -> TaskKey | None:
    """Return the task by which a person may act on a ticket; None where there is none."""
    if not (ticket["sn"] and ticket["conn_id"]):
        return None
    names = ("dag_id", "run_id", "task_id", "map_index")
    own = (task for task in ticket["tasks"] if task["may_change"])
    return next((TaskKey(**{name: task[name] for name in names}) for task in own), None)


def _acting_name(user: Any) -> str:
    """Return the name in which a person acts in ITSM; empty where it cannot be read: they may do nothing."""
    try:
        return itsm_name(user)
    except HTTPException:
        return ""
