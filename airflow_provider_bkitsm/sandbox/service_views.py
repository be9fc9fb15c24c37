# SPDX-License-Identifier: Apache-2.0
"""How services look in ITSM's answers (docs/itsm-behaviour.md#services-in-answers)."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_bkitsm.sandbox.services import TITLE_KEY, Field, Node, Service


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
