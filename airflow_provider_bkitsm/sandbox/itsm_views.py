"""How tickets and services look in ITSM's answers (reference 4.2 - 4.4, 4.11, 4.13, 4.19)."""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.sandbox.services import Field, Node, Service
from airflow_provider_bkitsm.sandbox.settings import Settings
from airflow_provider_bkitsm.sandbox.tickets import ENDED, Ticket, shanghai

_OPERATIONS = {"WITHDRAW": "撤单", "SUSPEND": "挂起", "UNSUSPEND": "恢复", "TRANSITION": "提交"}
_STATUS_NAMES = {
    "RUNNING": "处理中",
    "SUSPENDED": "被挂起",
    "FINISHED": "已完成",
    "TERMINATED": "被终止",
    "REVOKED": "已撤销",
}
_InfoRow = tuple[str, str, str, Any, Any]
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
        "current_steps": _steps(ticket, full=True),
        "is_commented": False,
    }


def info(settings: Settings, ticket: Ticket) -> dict[str, Any]:
    """``get_ticket_info``: the form, in which an undecided verdict already shows its default."""
    return summary(settings, ticket) | {
        "current_steps": _steps(ticket, full=False),
        "fields": _info_fields(ticket),
    }


def summary(settings: Settings, ticket: Ticket) -> dict[str, Any]:
    """One row of ``get_tickets``."""
    return {
        "id": ticket.id,
        "sn": ticket.sn,
        "title": ticket.title,
        "catalog_id": 11,
        "service_id": ticket.service_id,
        "service_type": "request",
        "flow_id": ticket.service_id,
        "current_status": ticket.status,
        "comment_id": str(ticket.id) if ticket.status in ENDED else "",
        "is_commented": False,
        "updated_by": ",".join(ticket.updated_by),
        "update_at": shanghai(ticket.update_at),
        "end_at": shanghai(ticket.end_at),
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


def logs(ticket: Ticket, show_type: str) -> dict[str, Any]:
    """``get_ticket_logs``, oldest first."""
    simple = ("operator", "operate_at", "message", "source")
    lines = ticket.logs
    if show_type != "complex":
        lines = [{key: line[key] for key in simple} for line in lines]
    head = {"sn": ticket.sn, "title": ticket.title, "creator": ticket.creator}
    return head | {"create_at": shanghai(ticket.create_at), "logs": lines}


def service_row(service: Service) -> dict[str, Any]:
    """One row of ``get_services``."""
    return {"id": service.id, "name": service.name, "service_type": "request", "desc": service.desc}


def service_detail(service: Service) -> dict[str, Any]:
    """``get_service_detail``: the submit form."""
    fields = [
        _field(one, number, service.submit_state_id) | {"default": one.default or "", "layout": "COL_6"}
        for number, one in enumerate(service.form, start=1)
    ]
    head = {"service_id": service.id, "workflow_id": service.id, "name": service.name}
    return head | {"service_type": "request", "desc": service.desc, "fields": fields}


def roles(service: Service) -> list[dict[str, Any]]:
    """``get_service_roles``: who acts where."""
    submit = _role(service.submit_state_id, "提单", "", "OPEN", everybody=False)
    return [submit, *(_node_role(node) for node in service.nodes)]


def _node_role(node: Node) -> dict[str, Any]:
    if node.people_from:
        return _role(node.state_id, node.name, node.people_from, "VARIABLE", everybody=node.everybody)
    return _role(node.state_id, node.name, ",".join(node.people), "PERSON", everybody=node.everybody)


def _role(number: int, name: str, people: str, kind: str, *, everybody: bool) -> dict[str, Any]:
    sign = "and" if everybody else "or"
    return {"id": number, "name": name, "processors": people, "processors_type": kind, "sign_type": sign}


def _possible(ticket: Ticket) -> list[str]:
    if ticket.status in ENDED:
        return []
    revocable = ticket.service.revocable and not ticket.results and not ticket.answered
    suspension = "UNSUSPEND" if ticket.status == "SUSPENDED" else "SUSPEND"
    return [*(["WITHDRAW"] if revocable else []), suspension]


def _operations(*keys: str) -> list[dict[str, Any]]:
    return [{"key": key, "name": _OPERATIONS[key], "can_operate": True} for key in keys]


def _steps(ticket: Ticket, *, full: bool) -> list[dict[str, Any]]:
    service, node = ticket.service, ticket.current_node
    if ticket.status not in ENDED and ticket.node == 0:
        return [_step("提单", service.submit_state_id, "OPEN", "", service.form, full=full)]
    if node is None:
        return []
    return [
        _step(
            node.name,
            node.state_id,
            "PERSON",
            ",".join(ticket.processors(node)),
            node.fields,
            full=full,
            partly=bool(ticket.answered),
        )
    ]


def _step(
    name: str,
    state_id: int,
    kind: str,
    people: str,
    fields: tuple[Field, ...],
    *,
    full: bool,
    partly: bool = False,
) -> dict[str, Any]:
    step: dict[str, Any] = {
        "name": name,
        "state_id": state_id,
        "status": "QUEUEING" if partly else "RUNNING",
        "action_type": "TRANSITION",
        "tag": "DEFAULT",
        "processors_type": kind,
        "processors": people,
    }
    if full:
        step["fields"] = [_field(one, number, state_id) for number, one in enumerate(fields, start=1)]
        step["operations"] = _operations("TRANSITION", "SUSPEND")
    return step


def _field(one: Field, number: int, state_id: int) -> dict[str, Any]:
    return {
        "id": number,
        "is_readonly": False,
        "source_type": "CUSTOM",
        "source_uri": "",
        "api_instance_id": 0,
        "type": one.type,
        "key": one.key,
        "name": one.name,
        "validate_type": "REQUIRE" if one.required else "OPTION",
        "regex": "EMPTY",
        "regex_config": {},
        "custom_regex": "",
        "desc": "",
        "choice": [{"key": key, "name": name} for key, name in one.choice],
        "meta": {"code": one.code} if one.code else {},
        "workflow_id": 3,
        "state_id": state_id,
        "source": "CUSTOM",
    }


def _info_fields(ticket: Ticket) -> list[dict[str, Any]]:
    rows: list[_InfoRow] = [("title", "STRING", "标题", ticket.title, ticket.title)]
    rows += [(key, "SELECT", name, None, "") for key, name in _SYSTEM_FIELDS]
    shown = _STATUS_NAMES.get(ticket.status, ticket.status)
    rows.append(("current_status", "SELECT", "工单状态", ticket.status, shown))
    rows += [_info_row(one, ticket.fields.get(one.key)) for one in ticket.service.form]
    for node in ticket.service.nodes:
        rows += [_info_row(one, ticket.values.get(one.key, one.default)) for one in node.fields]
    keys = ("key", "type", "name", "value", "display_value")
    return [
        {"id": number, "desc": "", **dict(zip(keys, row, strict=True))} for number, row in enumerate(rows, start=1)
    ]


def _info_row(one: Field, value: Any) -> _InfoRow:
    names = dict(one.choice)
    shown = names.get(str(value), value) if value is not None else ""
    return one.key, one.type, one.name, value, shown
