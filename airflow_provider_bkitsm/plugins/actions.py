"""What a person may do from Airflow: withdraw a ticket, in ITSM and in their own name there.

Nobody approves here. ITSM decides whether that person may withdraw, as if they had asked it themselves.
"""

from __future__ import annotations

import json
import logging
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, Field

from airflow_provider_bkitsm.approvals.rows import Found, TaskKey
from airflow_provider_bkitsm.callback.itsm import GatewayHook
from airflow_provider_bkitsm.itsm.calls import TicketAction
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.operating import operate
from airflow_provider_bkitsm.plugins.access import SignedIn, check_changes, check_own_page, signed_in
from airflow_provider_bkitsm.plugins.pages import secured
from airflow_provider_bkitsm.plugins.views import Views, in_thread
from airflow_provider_bkitsm.version_compat import airflow_conf

log = logging.getLogger(__name__)

Reason = Annotated[str, Field(min_length=1, max_length=255, pattern=r"\S")]


class Withdrawal(BaseModel):
    """Which task instance's ticket, and why."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    sn: str
    reason: Reason

    @property
    def task(self) -> TaskKey:
        """The task instance."""
        return TaskKey(dag_id=self.dag_id, run_id=self.run_id, task_id=self.task_id, map_index=self.map_index)


def router(views: Views) -> APIRouter:
    """Return the routes below ``/bkitsm/api`` that change something."""
    doors = [Depends(signed_in), Depends(check_own_page), Depends(secured)]
    routes = APIRouter(prefix="/api", dependencies=doors)

    @routes.post("/ticket/withdraw")
    async def withdraw(request: Request, user: SignedIn, asked: Withdrawal) -> dict[str, Any]:
        await in_thread(check_changes, request, user, asked.dag_id)
        found = await views.found(request, user, asked.task)
        # The page names the ticket it showed: another round may have begun meanwhile.
        if found is None or not found.conn_id or found.sn != asked.sn:
            raise HTTPException(404, "The task has no such ticket")
        return await _withdraw(views, found, operator=itsm_name(user), reason=asked.reason)

    return routes


async def _withdraw(views: Views, found: Found, *, operator: str, reason: str) -> dict[str, Any]:
    gateway = await in_thread(views.metadata.gateway, found.conn_id)
    if gateway is None:
        raise HTTPException(503, "The ITSM connection cannot be used")
    wish = {"action_type": TicketAction.WITHDRAW, "operator": operator, "action_message": reason}
    try:
        async with GatewayHook(gateway) as hook:
            status = await hook.run(operate(sn=found.sn, **wish))
    except ItsmError as error:
        raise HTTPException(409, str(error)) from None
    log.info("ticket %s is %s: %s withdrew it from Airflow", found.sn, status.current_status, operator)
    return {"current_status": status.current_status}


def itsm_name(user: Any) -> str:
    """Return a person's name in ITSM: ``[bkitsm] user_mapping``, else the same as in Airflow.

    :raises HTTPException: the mapping cannot be read; nobody then acts in a name that is not theirs.
    """
    # The FAB auth manager's name is "First Last"; its user name is the one that people share with ITSM.
    name = str(getattr(user, "username", None) or user.get_name())
    try:
        mapping = json.loads(airflow_conf().get("bkitsm", "user_mapping", fallback="") or "{}")
        return str(mapping.get(name, name))
    except (ValueError, AttributeError):
        raise HTTPException(500, "[bkitsm] user_mapping is no JSON object") from None
