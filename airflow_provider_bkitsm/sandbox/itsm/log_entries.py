# SPDX-License-Identifier: Apache-2.0
"""The log of a ticket, as ``get_ticket_logs`` shows it. Pure.

An entry keeps the step it belongs to. As long as the ticket has a visit to that step, the entry shows the step's
type and its form in short. Once the visit is dropped, because an earlier step was entered again, the type is empty
and the form comes as the database holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_bkitsm.sandbox.itsm.services import Field, Node
from airflow_provider_bkitsm.sandbox.itsm.tickets import Ticket, answered_form, submitted_form
from airflow_provider_bkitsm.sandbox.times import shanghai

SIMPLE = ("operator", "operate_at", "message", "source")
_NO_FORM: Mapping[str, Any] = {}


def write(
    ticket: Ticket,
    now: float,
    operator: str,
    message: str,
    source: str,
    *,
    node: Node | None = None,
    form: Any = _NO_FORM,
) -> None:
    """Add an entry.

    :param node: the step it belongs to.
    :param form: values by key; or a list, which is shown as it is.
    """
    ticket.logs.append(
        {
            "operator": operator,
            "operate_at": shanghai(now),
            "message": message,
            "source": source,
            "state_id": node.state_id if node else None,
            "form": form if isinstance(form, list) else dict(form),
        }
    )


def simple_entries(ticket: Ticket) -> list[dict[str, Any]]:
    """Return the entries as ``show_type=simple`` shows them."""
    return [{key: line[key] for key in SIMPLE} for line in ticket.logs]


def complex_entries(ticket: Ticket) -> list[dict[str, Any]]:
    """Return the entries with ``form_data`` and ``from_state_type``."""
    return [{key: line[key] for key in SIMPLE} | _evidence(ticket, line) for line in ticket.logs]


def _evidence(ticket: Ticket, line: Mapping[str, Any]) -> dict[str, Any]:
    if "state_id" not in line:
        return {"form_data": line["form_data"], "from_state_type": line["from_state_type"]}
    node = None if line["state_id"] is None else ticket.service.node(line["state_id"])
    if node is None:
        return {"form_data": line["form"], "from_state_type": ""}
    visited = str(node.state_id) in ticket.steps
    form = line["form"] if isinstance(line["form"], list) else _rows(ticket, node, line["form"], short=visited)
    return {"form_data": form, "from_state_type": node.kind if visited else ""}


def _rows(ticket: Ticket, node: Node, values: dict[str, Any], *, short: bool) -> list[dict[str, Any]]:
    service = ticket.service
    if node.state_id == service.submit_state_id:
        rows = submitted_form(service, node.fields, values)
    else:
        given = [one for one in node.fields if one.key in values]
        rows = answered_form(service, given, values)
    if short:
        return rows
    by_key = {one.key: one for one in node.fields}
    return [_as_stored(ticket, node, by_key[row["key"]], row) for row in rows]


def _as_stored(ticket: Ticket, node: Node, field: Field, row: dict[str, Any]) -> dict[str, Any]:
    """Return a field as the database holds it: of a ticket, or of an approval, which has tasks of its own."""
    ticket_fields = {
        "ticket_id": ticket.id,
        "workflow_field_id": row["id"],
        "workflow_id": ticket.service_id,
    }
    more = ticket_fields if node.kind == "NORMAL" else {"task_id": ticket.id}
    moments = {"create_at": shanghai(ticket.create_at), "update_at": shanghai(ticket.update_at), "end_at": None}
    return {
        **row,
        "choice": [{"key": key, "name": name} for key, name in field.choice],
        "display": not field.more.get("show_conditions"),
        "show_result": True,
        "related_fields": {},
        "meta": {"code": field.code} if field.code else {},
        "source_type": "CUSTOM",
        "source_uri": "",
        "kv_relation": {},
        "validate_type": "REQUIRE" if field.required else "OPTION",
        "api_instance_id": 0,
        "regex": field.more.get("regex", "EMPTY"),
        "regex_config": field.more.get("regex_config", {}),
        "custom_regex": "",
        "default": "" if field.default is None else field.default,
        "tips": "",
        "is_tips": False,
        "layout": field.more.get("layout", "COL_6"),
        "is_valid": True,
        "is_builtin": False,
        "state_id": str(node.state_id),
        "show_conditions": field.more.get("show_conditions", {}),
        "show_type": field.more.get("show_type", 1),
        "is_readonly": False,
        "source": "CUSTOM",
        "creator": None,
        "updated_by": None,
        **moments,
        **more,
    }
