# SPDX-License-Identifier: Apache-2.0
"""How tickets look in ITSM's answers (reference 4.2 to 4.4, 4.11, 4.13, 4.14)."""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.sandbox.moments import maybe_shanghai, shanghai
from airflow_provider_bkitsm.sandbox.service_views import form_field
from airflow_provider_bkitsm.sandbox.services import TITLE, Field, Node, Service
from airflow_provider_bkitsm.sandbox.settings import Settings
from airflow_provider_bkitsm.sandbox.tickets import AT_SUBMIT, SUSPENDED, Ticket, form_data

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
    "TERMINATED": "被终止",
    "REVOKED": "已撤销",
}
_SYSTEM_FIELDS = (("impact", "影响范围"), ("urgency", "紧急程度"), ("priority", "优先级"))
_SIMPLE_LOG = ("operator", "operate_at", "message", "source")


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
        "fields": _info_fields(ticket) if ticket.started else [],
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
        "bk_biz_id": -1,
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
    lines = ticket.logs
    if not complex_form:
        lines = [{key: line[key] for key in _SIMPLE_LOG} for line in lines]
    return {
        "sn": ticket.sn,
        "title": ticket.title,
        "create_at": shanghai(ticket.create_at),
        "creator": ticket.creator,
        "logs": lines,
    }


def node_result(ticket: Ticket, node: Node) -> dict[str, Any]:
    """``get_approve_node_result``."""
    remarks = [ticket.values.get(one.key, "") for one in node.fields if one.type == "TEXT"]
    return {
        "name": node.name,
        "processed_user": ticket.last_approver,
        "approve_result": ticket.results[str(node.state_id)],
        "approve_remark": next(filter(None, remarks), ""),
    }


def steps(ticket: Ticket, *, full: bool) -> list[dict[str, Any]]:
    """Return the current step as a list, with its form when ``full``."""
    service = ticket.service
    if not ticket.over and ticket.node == AT_SUBMIT:
        step = _step("提单", service.submit_state_id, "OPEN", "")
        return [step | (_form(service, service.form, service.submit_state_id) if full else {})]
    node = service.nodes[0] if ticket.raced and service.nodes else ticket.current_node
    if node is None:
        return []
    step = _step(node.name, node.state_id, "PERSON", ",".join(ticket.processors(node)))
    step["status"] = "QUEUEING" if ticket.answered else "RUNNING"
    more = ("DELIVER",) * node.deliverable + ("TERMINATE",) * node.terminable
    return [step | (_form(service, node.fields, node.state_id, *more) if full else {})]


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
    rows = form_data(service, [TITLE], ticket.fields)
    rows += [_system_field(key, name, None, "") for key, name in _SYSTEM_FIELDS]
    rows.append(_system_field("current_status", "工单状态", ticket.status, STATUS_NAMES[ticket.status]))
    rows += form_data(service, service.form, ticket.fields)
    for node in service.nodes:
        rows += form_data(service, node.fields, ticket.values)
    return [row | {"id": number} for number, row in enumerate(rows, start=ticket.id * 100)]


def _system_field(key: str, name: str, value: str | None, shown: str) -> dict[str, Any]:
    head = {"id": 0, "key": key, "type": "SELECT", "name": name, "desc": f"请选择{name}"}
    return head | {"value": value, "display_value": shown}
