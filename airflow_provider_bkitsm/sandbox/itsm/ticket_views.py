# SPDX-License-Identifier: Apache-2.0
"""How tickets look in ITSM's answers: to any caller, to one person, and to ITSM's own pages.

See docs/itsm-behaviour.md#reading-a-ticket and docs/itsm-behaviour.md#get_tickets_by_user; for the lists of the
SaaS that want no signature, docs/itsm-behaviour.md#open-by-accident.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_provider_bkitsm.sandbox.itsm.log_entries import complex_entries, simple_entries
from airflow_provider_bkitsm.sandbox.itsm.service_views import form_field
from airflow_provider_bkitsm.sandbox.itsm.services import AUTOMATIC_KINDS, TITLE, Field, Node, Service
from airflow_provider_bkitsm.sandbox.itsm.tickets import (
    FAILED,
    FINISHED,
    SUSPENDED,
    Step,
    Ticket,
    answered_form,
    submitted_form,
)
from airflow_provider_bkitsm.sandbox.settings import Settings
from airflow_provider_bkitsm.sandbox.times import maybe_shanghai, shanghai

_OPERATIONS = {
    "WITHDRAW": "撤单",
    "SUSPEND": "挂起",
    "UNSUSPEND": "恢复",
    "TRANSITION": "提交",
    "DELIVER": "转单",
    "TERMINATE": "终止",
}
STATUS_NAMES = {
    "RUNNING": "处理中",
    "SUSPENDED": "被挂起",
    "FINISHED": "已完成",
    "TERMINATED": "已终止",
    "REVOKED": "已撤销",
}
_SYSTEM_FIELDS = (("impact", "影响范围"), ("urgency", "紧急程度"), ("priority", "优先级"))


def ticket_url(settings: Settings, ticket: Ticket) -> str:
    """Address of a ticket's page."""
    return f"{settings.public_url}/#/ticket/detail?id={ticket.id}"


def iframe_url(settings: Settings, ticket: Ticket) -> str:
    """Address of a ticket's page for frames."""
    return f"{settings.public_url}/#/ticket/detail-iframe?id={ticket.id}"


def status(settings: Settings, ticket: Ticket) -> dict[str, Any]:
    """``get_ticket_status``: no sn, no title, no verdict."""
    return {
        "ticket_url": ticket_url(settings, ticket),
        "iframe_ticket_url": iframe_url(settings, ticket),
        "operations": _operations(*_possible(ticket)),
        "current_status": ticket.status,
        "current_steps": steps(ticket, full=True),
        "is_commented": bool(ticket.stars),
    }


def info(settings: Settings, ticket: Ticket) -> dict[str, Any]:
    """``get_ticket_info``: the form, in which an undecided verdict already shows its default."""
    shown = summary(settings, ticket)
    del shown["service_type"]
    return shown | {
        "current_steps": steps(ticket, full=False),
        "fields": _info_fields(ticket) if ticket.started or ticket.stuck == "fields" else [],
    }


def summary(settings: Settings, ticket: Ticket) -> dict[str, Any]:
    """One row of ``get_tickets``; neither tag nor meta comes back."""
    return {
        "id": ticket.id,
        "sn": ticket.sn,
        "title": ticket.title,
        "catalog_id": ticket.service.catalog_id,
        "service_id": ticket.service_id,
        "service_type": ticket.service.kind,
        "flow_id": ticket.service_id,
        "current_status": ticket.status,
        "comment_id": str(ticket.comment or ""),
        "is_commented": bool(ticket.stars),
        "updated_by": ",".join(ticket.updated_by),
        "update_at": shanghai(ticket.update_at),
        "end_at": maybe_shanghai(ticket.end_at),
        "creator": ticket.creator,
        "create_at": shanghai(ticket.create_at),
        "bk_biz_id": business(ticket),
        "ticket_url": ticket_url(settings, ticket),
        "iframe_ticket_url": iframe_url(settings, ticket),
    }


def approval_result(settings: Settings, ticket: Ticket) -> dict[str, Any]:
    """One row of ``ticket_approval_result``."""
    return {
        "sn": ticket.sn,
        "title": ticket.title,
        "ticket_url": ticket_url(settings, ticket),
        "current_status": ticket.status,
        "updated_by": ",".join(ticket.updated_by),
        "update_at": shanghai(ticket.update_at),
        "approve_result": ticket.approve_result,
    }


def logs(ticket: Ticket, *, complex_form: bool) -> dict[str, Any]:
    """``get_ticket_logs``, oldest first."""
    return {
        "sn": ticket.sn,
        "title": ticket.title,
        "create_at": shanghai(ticket.create_at),
        "creator": ticket.creator,
        "logs": complex_entries(ticket) if complex_form else simple_entries(ticket),
    }


def node_result(ticket: Ticket, step: Step) -> dict[str, Any]:
    """``get_approve_node_result``: of the last answer, and true if any of its RADIO fields is."""
    node = ticket.service.node(step.state_id)
    fields = node.fields if node else ()
    radios = [step.values.get(one.key) for one in fields if one.type == "RADIO"]
    remarks = [step.values.get(one.key, "") for one in fields if one.type == "TEXT"]
    return {
        "name": node.name if node else "",
        "processed_user": ",".join(step.people),
        "approve_result": "true" in radios,
        "approve_remark": next(filter(None, remarks), "") if radios else "",
    }


def business(ticket: Ticket) -> int:
    """Return the business a ticket is about; -1 for none."""
    value = str(ticket.fields.get("bk_biz_id") or "")
    return int(value) if value.isdecimal() else -1


def steps(ticket: Ticket, *, full: bool) -> list[dict[str, Any]]:
    """Return the current steps, with their forms when ``full``."""
    service = ticket.service
    if ticket.at_submit:
        step = _step("提单", service.submit_state_id, "OPEN", "")
        return [step | (_form(service, service.form, service.submit_state_id) if full else {})]
    nodes = service.nodes[:1] if ticket.raced else [service.node(one) for one in ticket.open]
    return [_current(ticket, node, full=full) for node in nodes if node is not None]


def _current(ticket: Ticket, node: Node, *, full: bool) -> dict[str, Any]:
    automatic = node.kind in AUTOMATIC_KINDS
    step = _step(node.name, node.state_id, "PERSON", "" if automatic else ",".join(ticket.processors(node)))
    visit = ticket.steps.get(str(node.state_id))
    if visit is not None:
        step["status"] = FAILED if visit.status == FAILED else "QUEUEING" if visit.answers else "RUNNING"
    more = ("DELIVER",) * node.deliverable + ("TERMINATE",) * node.terminable
    return step | (_form(ticket.service, node.fields, node.state_id, *more) if full else {})


def _step(name: str, state_id: int, kind: str, people: str) -> dict[str, Any]:
    return {
        "name": name,
        "state_id": state_id,
        "status": "RUNNING",
        "action_type": "TRANSITION",
        "tag": "DEFAULT",
        "processors_type": kind,
        "processors": people,
    }


def _form(service: Service, fields: tuple[Field, ...], state_id: int, *more: str) -> dict[str, Any]:
    return {
        "fields": [form_field(service, one, state_id) for one in fields],
        "operations": _operations("TRANSITION", "SUSPEND", *more),
    }


def _possible(ticket: Ticket) -> list[str]:
    if ticket.over:
        return []
    suspension = "UNSUSPEND" if ticket.status == SUSPENDED else "SUSPEND"
    return ["WITHDRAW", suspension] if ticket.withdrawable else [suspension]


def _operations(*keys: str) -> list[dict[str, Any]]:
    return [{"key": key, "name": _OPERATIONS[key], "can_operate": True} for key in keys]


def _info_fields(ticket: Ticket) -> list[dict[str, Any]]:
    service = ticket.service
    # What could not be stored is not even there with its default.
    form = [replace(one, default=None) for one in service.form] if ticket.stuck == "fields" else service.form
    rows = submitted_form(service, [TITLE], ticket.fields)
    rows += [_system_field(key, name, None, "") for key, name in _SYSTEM_FIELDS if service.ranked]
    status = ticket.status if ticket.submitted else None
    rows.append(_system_field("current_status", "工单状态", status, STATUS_NAMES[status] if status else ""))
    rows += submitted_form(service, form, ticket.fields)
    for node in service.nodes:
        rows += answered_form(service, node.fields, ticket.values)
    return [row | {"id": number} for number, row in enumerate(rows, start=ticket.id * 100)]


def _system_field(key: str, name: str, value: str | None, shown: str) -> dict[str, Any]:
    head = {"id": 0, "key": key, "type": "SELECT", "name": name, "desc": f"请选择{name}"}
    return head | {"value": value, "display_value": shown}


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
        "current_steps": _short_steps(ticket, more=True),
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
        "current_steps": _short_steps(ticket),
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


def _short_steps(ticket: Ticket, *, more: bool = False) -> list[dict[str, Any]]:
    return [
        {"id": node.state_id, "tag": "DEFAULT", "name": node.name}
        | ({"state_id": node.state_id, "type": node.kind} if more else {})
        for node in ticket.open_nodes
    ]
