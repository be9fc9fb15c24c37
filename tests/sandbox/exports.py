# SPDX-License-Identifier: Apache-2.0
"""Services as ITSM exports them, as small as they can be."""

from __future__ import annotations

from typing import Any

OPINION, NO_REMARK = "opinion", "why_not"
_VERDICT = "step_verdict"


def one_approval(name: str, **more: Any) -> dict[str, Any]:
    """An approval by admin; whoever asked confirms its result on a step of its own."""
    return {
        "key": "request",
        "name": name,
        "desc": "",
        "catalog_id": 12,
        "project_key": "0",
        "owners": "admin",
        "is_valid": True,
        "display_type": "OPEN",
        "display_role": "",
        "source": "service",
        "workflow": workflow(),
    } | more


def workflow() -> dict[str, Any]:
    return {
        "name": "flow",
        "is_revocable": True,
        "states": {str(one["id"]): one for one in _states()},
        "transitions": {str(one["id"]): one for one in _transitions()},
        "fields": {str(one["id"]): one for one in _fields()},
    }


def _states() -> list[dict[str, Any]]:
    return [
        _state(1, "START"),
        _state(2, "NORMAL", is_first_state=True, fields=[21]),
        _state(3, "APPROVAL", fields=[31, 32], processors_type="PERSON", processors="admin"),
        _state(4, "NORMAL", processors_type="STARTER", name="take note"),
        _state(5, "NORMAL", processors_type="STARTER", name="give up"),
        _state(9, "END"),
    ]


def _state(number: int, kind: str, **more: Any) -> dict[str, Any]:
    known = {"id": number, "type": kind, "name": f"step {number}", "fields": [], "is_first_state": False}
    return known | {"processors_type": "OPEN", "processors": "", "is_multi": False} | more


def _transitions() -> list[dict[str, Any]]:
    always = [(1, 2), (2, 3), (4, 9), (5, 9)]
    plain = [{"id": 10 * here, "from_state": here, "to_state": there, "condition": {}} for here, there in always]
    return [*plain, _if("true", 3, 4), _if("false", 3, 5)]


def _if(value: str, here: int, there: int) -> dict[str, Any]:
    said = {"key": _VERDICT, "condition": "==", "value": value, "meta": {"code": "NODE_APPROVE_RESULT"}}
    condition = {"type": "and", "expressions": [{"type": "and", "expressions": [said]}]}
    return {"id": 100 * there, "from_state": here, "to_state": there, "condition": condition}


def _fields() -> list[dict[str, Any]]:
    choice = [{"key": "true", "name": "yes"}, {"key": "false", "name": "no"}]
    shown_if_no = {"expressions": [{"key": OPINION, "condition": "==", "value": "true", "type": "RADIO"}]}
    return [
        _field(21, "title", "STRING"),
        _field(31, OPINION, "RADIO", choice=choice, default="True", meta={"code": "APPROVE_RESULT"}),
        _field(32, NO_REMARK, "TEXT", show_conditions=shown_if_no),
    ]


def _field(number: int, key: str, kind: str, **more: Any) -> dict[str, Any]:
    known = {"id": number, "key": key, "name": key, "type": kind, "validate_type": "REQUIRE", "choice": []}
    return known | {"default": "", "desc": "", "meta": {}, "show_conditions": {}} | more
