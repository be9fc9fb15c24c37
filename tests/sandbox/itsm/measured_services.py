# SPDX-License-Identifier: Apache-2.0
"""The services of the recordings, as exports: their steps and keys are read from the recordings themselves."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.record import EVIDENCE

ALL_FIELD_TYPES = 43
_EXPORT = EVIDENCE["import_service__countersign_rate60"]["request"]
_ALL_TYPES_EXPORT = EVIDENCE["import_service__all_field_types"]["request"]
_START, _END, _ROUTER, _COVERAGE = 1, 2, 8, 9
_ABC = ",alice,bob,carol,"
_YES_NO = [{"key": "true", "name": "通过"}, {"key": "false", "name": "拒绝"}]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a recorded flow.

    :param then: where a yes leads, and a no if that is elsewhere; without it, the next step.
    :param more: keys of the export's step.
    """

    id: int
    name: str
    people: str = ",alice,"
    kind: str = "APPROVAL"
    then: tuple[int, ...] = ()
    finish: tuple[str, int] | None = None
    more: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A recorded service's flow."""

    steps: tuple[Step, ...]
    submit: int = 5
    parallel: bool = False
    more: tuple[tuple[str, Any], ...] = ()


def _two(first: int, **more: Any) -> Flow:
    steps = (Step(id=first, name="一级审批"), Step(id=first + 1, name="二级审批", people=",bob,"))
    return Flow(steps=steps, more=tuple(more.items()))


def _countersign(number: int, finish: tuple[str, int] | None = None, **more: Any) -> Flow:
    everybody = (("is_multi", True), *more.items())
    return Flow(steps=(Step(id=number, name="会签审批", people=_ABC, finish=finish, more=everybody),))


def _one(number: int, **more: Any) -> Flow:
    return Flow(steps=(Step(id=number, name="一级审批", **more),))


_ANY_TIME = {"type": 1, "state": 0}
_SKIP = (("is_allow_skip", True), ("processors_type", "VARIABLE"))


def _task(key: str) -> Step:
    variables = {"outputs": [{"key": key, "name": "数量", "value": 2}]}
    return Step(id=300, name="调接口", kind="TASK", more=(("variables", variables),))


FLOWS: dict[int, Flow] = {
    19: Flow(steps=(Step(id=88, name="审批", people="approver", more=(("processors_type", "VARIABLE"),)),)),
    21: _one(97, more=(("can_deliver", True), ("is_terminable", True))),
    22: _two(101),
    25: _countersign(116),
    26: _countersign(120, ("PASS_RATE", 60)),
    27: _countersign(124, ("REJECT_COUNT", 1)),
    28: _countersign(128, is_sequential=True),
    29: Flow(
        steps=(
            Step(id=132, name="一级审批", then=(_END, 133)),
            Step(id=133, name="修改", kind="NORMAL", then=(132,), more=(("processors_type", "STARTER"),)),
        )
    ),
    30: Flow(
        steps=(
            Step(id=137, name="一级审批"),
            Step(id=138, name="二级审批", people=",bob,", then=(_END, 137)),
        )
    ),
    31: Flow(steps=(Step(id=142, name="一级审批", then=(_END, 140)),), submit=140),
    32: Flow(
        steps=(
            Step(id=146, name="一级审批", then=(_END, 147)),
            Step(id=147, name="复核审批", people=",bob,"),
        )
    ),
    34: _two(156, is_auto_approve=True),
    35: Flow(
        steps=(
            Step(id=161, name="一级审批", people="approver", more=_SKIP),
            Step(id=162, name="二级审批", people=",bob,"),
        )
    ),
    36: Flow(steps=(Step(id=166, name="会签节点", people=_ABC, kind="SIGN"),)),
    38: Flow(steps=(Step(id=174, name="会签节点", people=_ABC, kind="SIGN", finish=("REJECT_COUNT", 2)),)),
    40: _one(184),
    42: _one(192, people=_ABC),
    44: _two(200, revoke_config=_ANY_TIME),
    45: Flow(
        steps=(
            Step(id=205, name="一级审批"),
            Step(id=206, name="二级审批", people=",bob,", then=(_END, 205)),
        ),
        more=(("revoke_config", _ANY_TIME),),
    ),
    46: _two(210),
    47: _two(215),
    48: _two(220),
    50: Flow(
        steps=(Step(id=230, name="甲审批"), Step(id=231, name="乙审批", people=",bob,")),
        parallel=True,
    ),
    51: Flow(steps=(_task("tcount"), Step(id=237, name="二级审批", people=",bob,"))),
    52: Flow(steps=(_task("tcount2"),)),
    56: _two(260),
    60: _one(301, people="approver", more=_SKIP),
}


def export(number: int) -> dict[str, Any]:
    """Return the export of a recorded service."""
    if number in {ALL_FIELD_TYPES, 57}:
        return _renamed(_ALL_TYPES_EXPORT, number)
    body, flow = _renamed(_EXPORT, number), FLOWS[number]
    fields = {str(one["id"]): one for one in _fields(number, flow)}
    body["workflow"] |= {
        "states": {str(one["id"]): one for one in _states(flow, fields)},
        "transitions": {str(n): one for n, one in enumerate(_transitions(flow))},
        "fields": fields,
        **dict(flow.more),
    }
    return body


def _renamed(body: dict[str, Any], number: int) -> dict[str, Any]:
    made = copy.deepcopy(body) | {"name": f"recorded {number}"}
    if number in {ALL_FIELD_TYPES, 57}:
        # The step of the ticket that was opened in it, and its keys.
        keys = _recorded_fields(number)[-3:]
        text = {ALL_FIELD_TYPES: "196", 57: "270"}[number]
        states = made["workflow"]["states"]
        states[text] = states.pop("200") | {"id": int(text)}
        for one, key in zip(states[text]["fields"], keys, strict=True):
            made["workflow"]["fields"][str(one)]["key"] = key["key"]
        for one in made["workflow"]["transitions"].values():
            one |= {end: int(text) for end in ("from_state", "to_state") if one[end] == 200}
    return made


def _recorded_fields(number: int) -> list[dict[str, Any]]:
    """Return the fields of a service's steps, as a ticket of it shows them, or its open step."""
    for name, one in EVIDENCE.items():
        data = one["body"].get("data")
        if name.startswith("get_ticket_info__") and data["service_id"] == number:
            keys = [field["key"] for field in data["fields"]]
            last = max(keys.index(key) for key in ("content", "f_custom") if key in keys)
            return list(data["fields"][last + 1 :])
    sns = {one["body"]["data"]["sn"] for one in _created_in(number)}
    for name, one in EVIDENCE.items():
        if sns & {one.get("path", "").partition("sn=")[2].partition("&")[0]}:
            if name.startswith("get_ticket_status") and one["body"]["data"]["current_steps"]:
                return list(one["body"]["data"]["current_steps"][0]["fields"])
            if name.startswith("get_ticket_logs"):
                return list(one["body"]["data"]["logs"][-1]["form_data"])
    raise LookupError(number)


def _created_in(number: int) -> Iterator[dict[str, Any]]:
    for name, one in EVIDENCE.items():
        if (
            name.startswith("create_ticket__")
            and one["request"].get("service_id") == number
            and one["body"]["data"]
        ):
            yield one


def _fields(number: int, flow: Flow) -> Iterator[dict[str, Any]]:
    for place, (key, kind, name) in enumerate(
        (("title", "STRING", "标题"), ("approver", "MEMBERS", "审批人"), ("content", "TEXT", "内容"))
    ):
        yield _field(10 + place, {"key": key, "type": kind, "name": name}, required=key == "title")
    rows = _recorded_fields(number)
    asking = [one for one in flow.steps if one.kind != "TASK"]
    for step, group in zip(asking, _groups(rows, asking), strict=True):
        for place, row in enumerate(group):
            opinion = next((one["key"] for one in group if one["type"] == "RADIO" and one["key"] != "urgent"), "")
            yield _field(step.id * 10 + place, row, required=_is_required(group, place), opinion=opinion)


def _groups(rows: list[dict[str, Any]], steps: list[Step]) -> Iterator[list[dict[str, Any]]]:
    rows = list(rows)
    for step in steps:
        size = {"NORMAL": 1, "SIGN": 2}.get(step.kind, 4 if rows[0]["key"] == "urgent" else 3)
        yield rows[:size]
        rows = rows[size:]


def _is_required(group: list[dict[str, Any]], place: int) -> bool:
    """A choice, and the last of two remarks, which whoever refuses must fill in."""
    return group[place]["type"] != "TEXT" or (len(group) > 2 and place == len(group) - 1)


def _field(number: int, row: dict[str, Any], *, required: bool, opinion: str = "") -> dict[str, Any]:
    kind, key = row["type"], row["key"]
    verdict = kind in {"RADIO", "SELECT"} and key != "urgent"
    remark = kind == "TEXT" and bool(opinion)
    hides = {"value": "true" if required else "false", "type": "RADIO", "condition": "==", "key": opinion}
    return {
        "id": number,
        "key": key,
        "name": row["name"],
        "type": kind,
        "desc": "请输入标题" if key == "title" else "",
        "validate_type": "REQUIRE" if required else "OPTION",
        "choice": _YES_NO if verdict else _URGENT if key == "urgent" else [],
        "default": "true" if verdict and kind == "RADIO" else "",
        "meta": {"code": "APPROVE_RESULT"} if verdict and kind == "RADIO" else {},
        "show_conditions": {"expressions": [hides], "type": "and"} if remark else {},
        "show_type": 0 if remark else 1,
        "layout": "COL_12" if key == "title" or remark else "COL_6",
        "regex": "EMPTY" if verdict or remark or key == "title" else "",
    }


_URGENT = [{"key": "true", "name": "是"}, {"key": "false", "name": "否"}]


def _states(flow: Flow, fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    empty = {"name": "", "processors_type": "OPEN", "processors": "", "fields": [], "is_first_state": False}
    yield empty | {"id": _START, "type": "START"}
    yield empty | {
        "id": flow.submit,
        "type": "NORMAL",
        "name": "提单",
        "is_first_state": True,
        "fields": [10, 11, 12],
    }
    yield empty | {"id": _END, "type": "END"}
    if flow.parallel:
        yield empty | {"id": _ROUTER, "type": "ROUTER-P"}
        yield empty | {"id": _COVERAGE, "type": "COVERAGE"}
    for one in flow.steps:
        rate = [{"key": "counted", "condition": ">=", "value": one.finish[1], "type": "INT"}] if one.finish else []
        outputs = [{"key": f"v{one.id}", "meta": {"code": "NODE_APPROVE_RESULT"}}]
        outputs += [{"key": "counted", "meta": {"code": one.finish[0]}}] if one.finish else []
        yield empty | {
            "id": one.id,
            "type": one.kind,
            "name": one.name,
            "processors_type": "PERSON",
            "processors": one.people,
            "fields": [row["id"] for row in fields.values() if row["id"] // 10 == one.id],
            "variables": {"outputs": outputs},
            "finish_condition": {"type": "or", "expressions": [{"type": "and", "expressions": rate}]},
            **dict(one.more),
        }


def _transitions(flow: Flow) -> Iterator[dict[str, Any]]:
    numbers = [one.id for one in flow.steps]
    yield _line(_START, flow.submit)
    yield _line(flow.submit, _ROUTER if flow.parallel else numbers[0])
    if flow.parallel:
        for one in numbers:
            yield _line(_ROUTER, one)
            yield _line(one, _COVERAGE)
        yield _line(_COVERAGE, _END)
        return
    for one, following in zip(flow.steps, [*numbers[1:], _END], strict=True):
        targets = one.then or (following,)
        yield _line(one.id, targets[0])
        if len(targets) > 1:
            yield _line(one.id, targets[1], refused=f"v{one.id}")


def _line(here: int, there: int, *, refused: str = "") -> dict[str, Any]:
    test = {"key": refused, "condition": "==", "value": "false"} if refused else {"key": "G_INT_1", "value": 1}
    condition = {"type": "and", "expressions": [{"type": "and", "expressions": [test]}]}
    return {"from_state": here, "to_state": there, "condition": condition}
