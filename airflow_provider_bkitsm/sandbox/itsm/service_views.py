# SPDX-License-Identifier: Apache-2.0
"""How services and their flows look in ITSM's answers (docs/itsm-behaviour.md#services-in-answers).

The steps of ``get_workflow_detail`` are those of an export, START and END among them. ITSM leaves out whether a
step is built in, its variables, its place in the drawing, who made it and when, and whether the flow is revocable.
See docs/itsm-behaviour.md#get_workflow_detail.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from airflow_provider_bkitsm.sandbox.itsm.services import TITLE_KEY, Field, Node, Service, random_word


def service_row(service: Service) -> dict[str, Any]:
    """One row of ``get_services``."""
    return {"id": service.id, "name": service.name, "service_type": service.kind, "desc": service.desc}


def service_detail(service: Service) -> dict[str, Any]:
    """``get_service_detail``: the submit form."""
    fields = [_detail_field(service, one) for one in service.form]
    head = {"service_id": service.id, "workflow_id": service.id, "name": service.name}
    return head | {"service_type": service.kind, "desc": service.desc, "fields": fields}


def roles(service: Service) -> list[dict[str, Any]]:
    """``get_service_roles``: who acts where."""
    return [_role(service.submit_state_id, "提单", "", "OPEN"), *map(_node_role, service.nodes)]


def form_field(service: Service, one: Field, state_id: int) -> dict[str, Any]:
    """Return a field as steps show it."""
    title, submit = one.key == TITLE_KEY, state_id == service.submit_state_id
    shown = {
        "id": service.field_id(one.key),
        "is_readonly": False,
        "source_type": "CUSTOM",
        "source_uri": "",
        "api_instance_id": 0,
        "type": one.type,
        "key": one.key,
        "name": one.name,
        "validate_type": "REQUIRE" if one.required else "OPTION",
        "regex": "" if submit and not title else "EMPTY",
        "regex_config": {},
        "custom_regex": "",
        "desc": one.desc,
        "choice": [{"key": key, "name": name} for key, name in one.choice],
        "meta": {"code": one.code} if one.code else {},
        "workflow_id": service.id,
        "state_id": "" if title else state_id,
        "source": "TABLE" if title else "CUSTOM",
    }
    return {key: one.more.get(key, value) for key, value in shown.items()}


def _detail_field(service: Service, one: Field) -> dict[str, Any]:
    more = {
        "default": one.default if isinstance(one.default, str) else json.dumps(one.default) if one.default else "",
        "layout": "COL_12",
        "kv_relation": {},
        "show_type": 1,
        "show_conditions": {},
    }
    hidden = ("is_readonly", "workflow_id", "state_id", "source")
    shown = form_field(service, one, service.submit_state_id) | more | dict(one.more)
    return {key: value for key, value in shown.items() if key not in hidden}


def _node_role(node: Node) -> dict[str, Any]:
    if node.people_from:
        role = _role(node.state_id, node.name, node.people_from, "VARIABLE")
    else:
        role = _role(node.state_id, node.name, ",".join(node.people), "PERSON")
    return role | {"sign_type": "and" if node.everybody else "or"}


def _role(number: int, name: str, people: str, kind: str) -> dict[str, Any]:
    return {"id": number, "name": name, "processors": people, "processors_type": kind, "sign_type": "or"}


_OPEN = ("OPEN", "")


def workflow(service: Service) -> dict[str, Any]:
    """Return a flow: its steps, what leads where, and the fields of all of them."""
    first = service.nodes[0].state_id if service.nodes else _end(service)
    lines = [(_start(service), service.submit_state_id), (service.submit_state_id, first), *_lines(service)]
    return {
        "name": f"{service.name}_work_flow",
        "flow_type": "other",
        "desc": service.desc,
        "version_number": str(service.id),
        "states": [
            _state(service, _start(service), "开始", "START"),
            _state(
                service, service.submit_state_id, "提单", "NORMAL", fields=_numbers(service, service.submit_node)
            )
            | {"is_first_state": True},
            *(_step(service, node) for node in service.nodes),
            _state(service, _end(service), "结束", "END"),
        ],
        "transitions": [_transition(service, *line) for line in lines],
        "fields": [
            form_field(service, one, node.state_id)
            for node in (service.submit_node, *service.nodes)
            for one in node.fields
        ],
    }


def _start(service: Service) -> int:
    return max((service.submit_state_id, *(node.state_id for node in service.nodes))) + 1


def _end(service: Service) -> int:
    return _start(service) + 1


def _numbers(service: Service, node: Node) -> list[int]:
    return [service.field_id(one.key) for one in node.fields]


def _state(service: Service, number: int, name: str, kind: str, **more: Any) -> dict[str, Any]:
    people_from, people = _OPEN
    return {
        "workflow": service.id,
        "id": number,
        "key": number,
        "name": name,
        "distribute_type": "PROCESS",
        "tag": "DEFAULT",
        "processors_type": people_from,
        "processors": people,
        "assignors": "",
        "assignors_type": "EMPTY",
        "delivers": "",
        "delivers_type": "EMPTY",
        "can_deliver": False,
        "extras": {},
        "is_terminable": False,
        "fields": [],
        "type": kind,
        "api_instance_id": 0,
        "is_sequential": False,
        "finish_condition": {},
        "is_multi": False,
        "is_allow_skip": False,
        "is_first_state": False,
    } | more


def _step(service: Service, node: Node) -> dict[str, Any]:
    people_from, people = _people(node)
    return _state(service, node.state_id, node.name, node.kind) | {
        "processors_type": people_from,
        "processors": people,
        "can_deliver": node.deliverable,
        "extras": {"enable_terminate_ticket_when_rejected": True} if node.ends_when_refused else {},
        "is_terminable": node.terminable,
        "fields": _numbers(service, node),
        "is_sequential": node.in_turn,
        "finish_condition": _finish_condition(node),
        "is_multi": node.everybody,
        "is_allow_skip": node.skippable,
    }


def _people(node: Node) -> tuple[str, str]:
    """Return of what kind the people of a step are, and who; names have commas on both sides."""
    if node.starter:
        return "STARTER", ""
    if node.people_from:
        return "VARIABLE", node.people_from
    return ("PERSON", f",{','.join(node.people)},") if node.people else ("EMPTY", "")


def _finish_condition(node: Node) -> dict[str, Any]:
    groups = [
        {
            "type": "and",
            "expressions": [
                {"key": random_word(node.state_id, code), "condition": sign, "value": value, "type": "INT"}
            ],
        }
        for code, sign, value in node.finish.comparisons
    ]
    return {"type": "or", "expressions": groups} if groups else {}


def _lines(service: Service) -> Iterator[tuple[int, int]]:
    """Yield which step leads to which; the end has a number of its own."""
    for node in service.nodes:
        ahead = node.branches or service.followers(node)
        for target in dict.fromkeys(ahead):
            yield node.state_id, _end(service) if target is None else target


def _transition(service: Service, here: int, there: int) -> dict[str, Any]:
    return {
        "workflow": service.id,
        "id": here * 1000 + there,
        "from_state": here,
        "to_state": there,
        "name": "默认",
        "condition": {
            "expressions": [
                {"type": "and", "expressions": [{"key": "G_INT_1", "condition": "==", "value": 1}]},
            ],
            "type": "and",
        },
        "condition_type": "default",
    }
