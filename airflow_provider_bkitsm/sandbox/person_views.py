# SPDX-License-Identifier: Apache-2.0
"""How tickets look to one person, and in the collections that are open by accident (reference 1, 4.12)."""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.sandbox.itsm_views import STATUS_NAMES, business, summary
from airflow_provider_bkitsm.sandbox.settings import Settings
from airflow_provider_bkitsm.sandbox.tickets import FINISHED, Ticket
from airflow_provider_bkitsm.sandbox.times import maybe_shanghai, shanghai

_KIND_NAMES = {"request": "请求管理", "event": "事件管理", "change": "变更管理", "question": "问题管理"}
_HIDDEN_META = frozenset({"callback_url", "headers"})
_NOT_ALLOWED = "-1"


def personal(settings: Settings, ticket: Ticket, *, person: str) -> dict[str, Any]:
    """One row of ``get_tickets_by_user``: the only place where own ``meta`` keys come back."""
    may_comment = person == ticket.creator and ticket.status == FINISHED and not ticket.stars
    return summary(settings, ticket) | {
        "service_name": ticket.service.name,
        "meta": {key: value for key, value in ticket.meta.items() if key not in _HIDDEN_META},
        "current_status_display": STATUS_NAMES[ticket.status],
        "current_processors": ",".join(ticket.waits_for),
        "current_steps": _steps(ticket, more=True),
        "priority_name": "--",
        "project_key": "0",
        "followers": ticket.followers,
        "waiting_approve": person in ticket.waits_for,
        "can_comment": may_comment,
        "can_operate": False,
        "can_supervise": False,
        "can_withdraw": person == ticket.creator and ticket.withdrawable,
        "is_supervise_needed": False,
        "supervise_type": "EMPTY",
        "supervisor": "",
        "comment_id": str(ticket.comment) if may_comment else _NOT_ALLOWED,
        "sla": [],
        "sla_color": "",
    }


def detail(ticket: Ticket, *, catalog: str = "") -> dict[str, Any]:
    """A ticket as ITSM's own pages read it."""
    service = ticket.service
    return {
        "id": ticket.id,
        "catalog_id": str(service.catalog_id),
        "catalog_name": catalog,
        "catalog_fullname": catalog,
        "service_id": str(service.id),
        "service_name": service.name,
        "flow_id": service.id,
        "sn": ticket.sn,
        "title": ticket.title,
        "service_type": service.kind,
        "service_type_name": _KIND_NAMES.get(service.kind, service.kind),
        "is_draft": False,
        "current_status": ticket.status,
        "current_status_display": STATUS_NAMES[ticket.status],
        "comment_id": _NOT_ALLOWED,
        "is_commented": bool(ticket.stars),
        "is_over": ticket.over,
        "related_type": None,
        "has_relationships": False,
        "priority_name": "--",
        "meta": {},
        "bk_biz_id": business(ticket),
        "project_key": "0",
        "task_schemas": [],
        "creator": f"{ticket.creator}({ticket.creator.upper()})",
        "create_at": shanghai(ticket.create_at),
        "updated_by": f",{','.join(ticket.updated_by)},",
        "update_at": shanghai(ticket.update_at),
        "end_at": maybe_shanghai(ticket.end_at),
        "auth_actions": [],
        "current_steps": _steps(ticket),
        "current_processors": ",".join(f"{one}({one.upper()})" for one in ticket.waits_for),
        "can_comment": False,
        "can_operate": False,
        "can_view": True,
        "remark_root_id": ticket.id,
        "waiting_approve": False,
        "followers": ticket.followers,
        "is_auto_approve": False,
        "sla": [],
        "sla_color": "",
    }


def _steps(ticket: Ticket, *, more: bool = False) -> list[dict[str, Any]]:
    return [
        {"id": node.state_id, "tag": "DEFAULT", "name": node.name}
        | ({"state_id": node.state_id, "type": node.kind} if more else {})
        for node in ticket.open_nodes
    ]
