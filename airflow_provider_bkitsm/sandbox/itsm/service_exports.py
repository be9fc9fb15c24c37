# SPDX-License-Identifier: Apache-2.0
"""Services read from exports, so that a sandbox can run the flow of a real installation. Pure.

Supported are an export's start, its submit step, steps of people (NORMAL, APPROVAL, SIGN), automatic steps (TASK,
WEBHOOK), parallel branches (ROUTER-P to COVERAGE), and transitions that depend on nothing but an approval's
result. A sandbox calls nobody: what an automatic step yields is the ``value`` of its output variables.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from airflow_provider_bkitsm.sandbox import refusals
from airflow_provider_bkitsm.sandbox.itsm.services import Field, FinishCondition, Node, Service

_VERDICT = "NODE_APPROVE_RESULT"
_STEPS = frozenset({"NORMAL", "APPROVAL", "SIGN", "TASK", "WEBHOOK", "ROUTER-P", "COVERAGE"})
_KNOWN = _STEPS | {"START", "END"}
_PEOPLE: Mapping[str, tuple[str, ...]] = {"EMPTY": ()}
_REVOKE_ANY, _REVOKE_ASSIGNED = 1, 3
_DESCRIBED = (
    *("layout", "regex", "regex_config", "custom_regex", "kv_relation", "show_type", "show_conditions"),
    *("source_type", "source_uri"),
)


def service_of(number: int, body: Mapping[str, Any]) -> Service:
    """Return the service of an export.

    :raises Refusal: it has steps of a type that is not supported, or no submit step.
    """
    flow = body["workflow"]
    states = {one["id"]: one for one in _values(flow["states"])}
    unsupported = sorted({one["type"] for one in states.values()} - _KNOWN)
    if unsupported:
        raise refusals.unexpected(f"the sandbox does not know steps of type {', '.join(unsupported)}")
    submit = next((one for one in states.values() if one.get("is_first_state")), None)
    if submit is None:
        raise refusals.unexpected("'is_first_state'")
    fields = {one["id"]: one for one in _values(flow["fields"])}
    leads = _Transitions(_values(flow["transitions"]), states)
    return Service(
        id=number,
        name=str(body["name"]),
        desc=str(body.get("desc") or ""),
        kind=str(body.get("key") or "request"),
        form=_form(submit, fields),
        nodes=tuple(_node(states[one], fields, leads) for one in leads.walk(submit["id"])),
        revocable=bool(flow.get("is_revocable")),
        revoke_until=_revoke_until(flow.get("revoke_config") or {}),
        auto_approve=bool(flow.get("is_auto_approve")),
        display_role=str(body.get("display_role") or ""),
        display_type=str(body.get("display_type") or "OPEN"),
        catalog_id=body.get("catalog_id"),
        submit_state=submit["id"],
    )


class _Transitions:
    """Where an export's steps lead to, by the result of the step before."""

    def __init__(self, transitions: Iterable[Mapping[str, Any]], states: Mapping[int, Any]) -> None:
        self._states = states
        self._leads: dict[int, dict[bool, int]] = {}
        self._all: dict[int, list[int]] = {}
        codes = _variable_codes(states)
        # The default line first: a line with a condition wins where its condition holds.
        for one in sorted(transitions, key=lambda one: len(_verdicts(one, codes)), reverse=True):
            self._all.setdefault(one["from_state"], []).append(one["to_state"])
            for verdict in _verdicts(one, codes):
                self._leads.setdefault(one["from_state"], {})[verdict] = one["to_state"]

    def targets(self, state: int) -> dict[bool, int | None]:
        """Return the next step by verdict; None is the end."""
        found = self._leads.get(state, {})
        return {verdict: self._step(found.get(verdict)) for verdict in (True, False)}

    def branches(self, state: int) -> tuple[int, ...]:
        """Return every step a parallel gateway leads to."""
        if self._states[state]["type"] != "ROUTER-P":
            return ()
        found = map(self._step, sorted(self._all.get(state, [])))
        return tuple(one for one in found if one is not None)

    def walk(self, state: int) -> list[int]:
        """Return every step behind a state, each once, nearest first."""
        seen: list[int] = []
        ahead = [state]
        while ahead:
            here = ahead.pop(0)
            for target in (*self.branches(here), *self.targets(here).values()):
                if target is not None and target not in seen and target != state:
                    seen.append(target)
                    ahead.append(target)
        return seen

    def _step(self, state: int | None) -> int | None:
        known = None if state is None else self._states.get(state)
        return int(known["id"]) if known and known["type"] in _STEPS else None


def _outputs(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((state.get("variables") or {}).get("outputs") or [])


def _variable_codes(states: Mapping[int, Any]) -> dict[str, str]:
    """Return what the variables of all steps mean, by their keys."""
    outputs = [one for state in states.values() for one in _outputs(state)]
    return {str(one["key"]): str((one.get("meta") or {}).get("code") or "") for one in outputs}


def _expressions(condition: Any) -> list[Mapping[str, Any]]:
    outer = (condition or {}).get("expressions") or []
    return [one for group in outer for one in group.get("expressions") or []]


def _verdicts(transition: Mapping[str, Any], codes: Mapping[str, str]) -> tuple[bool, ...]:
    """Return the verdicts with which a transition is taken."""
    for one in _expressions(transition.get("condition")):
        if ((one.get("meta") or {}).get("code") or codes.get(str(one.get("key")))) == _VERDICT:
            return (str(one.get("value")).lower() == "true",)
    return (True, False)


def _revoke_until(config: Mapping[str, Any]) -> Literal["first", "any"] | int:
    if config.get("type") == _REVOKE_ANY:
        return "any"
    return int(config.get("state") or 0) if config.get("type") == _REVOKE_ASSIGNED else "first"


def _finish(state: Mapping[str, Any]) -> FinishCondition:
    codes = _variable_codes({state["id"]: state})
    return FinishCondition(
        comparisons=tuple(
            (codes.get(str(one.get("key")), ""), str(one.get("condition")), float(one.get("value") or 0))
            for one in _expressions(state.get("finish_condition"))
        )
    )


def _yield(state: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return what the log entry of an automatic step holds."""
    if state["type"] == "WEBHOOK":
        return (dict((state.get("extras") or {}).get("webhook_info") or {}),)
    variables = [
        {"key": one["key"], "name": one.get("name", ""), "value": one.get("value")} for one in _outputs(state)
    ]
    return ({"output_variables": variables},) if state["type"] == "TASK" else ()


def _form(submit: Mapping[str, Any], fields: Mapping[int, Any]) -> tuple[Field, ...]:
    found = [_field(fields[one]) for one in submit["fields"] if one in fields]
    # Clients and pages rely on the title being the first.
    return tuple(sorted(found, key=lambda one: one.key != "title"))


def _node(state: Mapping[str, Any], fields: Mapping[int, Any], leads: _Transitions) -> Node:
    own = tuple(_field(fields[one]) for one in state["fields"] if one in fields)
    kind, people = str(state.get("processors_type")), str(state.get("processors") or "")
    return Node(
        state_id=state["id"],
        name=str(state["name"]),
        fields=own,
        kind=state["type"],
        people_from=people if kind == "VARIABLE" else None,
        people=_PEOPLE.get(kind, ("admin",))
        if kind != "PERSON"
        else tuple(one for one in people.split(",") if one),
        starter=kind == "STARTER",
        everybody=bool(state.get("is_multi")) or state["type"] == "SIGN",
        in_turn=bool(state.get("is_sequential")),
        finish=_finish(state),
        skippable=bool(state.get("is_allow_skip")),
        ends_when_refused=bool((state.get("extras") or {}).get("enable_terminate_ticket_when_rejected")),
        output=_yield(state),
        deliverable=bool(state.get("can_deliver")),
        terminable=bool(state.get("is_terminable")),
        targets=leads.targets(state["id"]),
        branches=leads.branches(state["id"]),
    )


def _field(one: Mapping[str, Any]) -> Field:
    meta = one.get("meta") or {}
    conditions, choice = json.dumps(one.get("show_conditions") or {}), one.get("choice") or []
    return Field(
        key=str(one["key"]),
        name=str(one["name"]),
        type=str(one["type"]),
        required=one.get("validate_type") == "REQUIRE",
        on_refusal='"true"' in conditions,
        choice=tuple((str(pair["key"]), str(pair["name"])) for pair in choice) if one["type"] != "TABLE" else (),
        required_cells=tuple((str(pair["key"]), str(pair["name"])) for pair in choice if pair.get("required")),
        default=_default(one),
        code=str(meta.get("code") or ""),
        desc=str(one.get("desc") or ""),
        more={key: one[key] for key in _described(one["type"]) if key in one},
    )


def _described(kind: str) -> tuple[str, ...]:
    """Return the keys of a field's description that are shown as they are; of a table, its columns too."""
    return (*_DESCRIBED, "choice") if kind == "TABLE" else _DESCRIBED


def _default(one: Mapping[str, Any]) -> Any:
    text = str(one.get("default") or "")
    if one["type"] == "CUSTOM-FORM" and text:
        return json.loads(text)
    return (text.lower() if one["type"] == "RADIO" else text) or None


def _values(group: Any) -> list[Any]:
    """Return an export's rows, which come as an object by number or as a list."""
    return list(group.values()) if isinstance(group, dict) else list(group)
