# SPDX-License-Identifier: Apache-2.0
"""Services from exports, as ``import_service`` takes them: so a sandbox can run a real installation's flow. Pure.

Understood are flows of steps that people take (reference 4.19): an export's start, submit step, NORMAL and
APPROVAL steps, and transitions that depend on nothing but an approval's result.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_bkitsm.sandbox import refusals
from airflow_provider_bkitsm.sandbox.services import Field, Node, Service

_VERDICT = "NODE_APPROVE_RESULT"
_PEOPLE_STEPS = frozenset({"NORMAL", "APPROVAL"})
_KNOWN = _PEOPLE_STEPS | {"START", "END"}


def service_of(number: int, body: Mapping[str, Any]) -> Service:
    """Return the service of an export.

    :raises Refusal: it has steps that no person takes, or no submit step.
    """
    flow = body["workflow"]
    states = {one["id"]: one for one in _values(flow["states"])}
    strange = sorted({one["type"] for one in states.values()} - _KNOWN)
    if strange:
        raise refusals.unexpected(f"the sandbox does not know steps of type {', '.join(strange)}")
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
        for one in transitions:
            for verdict in _verdicts(one):
                self._leads.setdefault(one["from_state"], {})[verdict] = one["to_state"]

    def targets(self, state: int) -> dict[bool, int | None]:
        """Return the next step by verdict; None is the end."""
        found = self._leads.get(state, {})
        return {verdict: self._person_step(found.get(verdict)) for verdict in (True, False)}

    def walk(self, state: int) -> list[int]:
        """Return every step behind a state, each once, nearest first."""
        seen: list[int] = []
        ahead = [state]
        while ahead:
            for target in self.targets(ahead.pop(0)).values():
                if target is not None and target not in seen:
                    seen.append(target)
                    ahead.append(target)
        return seen

    def _person_step(self, state: int | None) -> int | None:
        known = None if state is None else self._states.get(state)
        return int(known["id"]) if known and known["type"] in _PEOPLE_STEPS else None


def _verdicts(transition: Mapping[str, Any]) -> tuple[bool, ...]:
    """Return the verdicts with which a transition is taken."""
    outer = (transition.get("condition") or {}).get("expressions") or []
    inner = [one for group in outer for one in group.get("expressions") or []]
    for one in inner:
        meta = one.get("meta") or {}
        if meta.get("code") == _VERDICT:
            return (str(one.get("value")).lower() == "true",)
    return (True, False)


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
        kind="APPROVAL" if state["type"] == "APPROVAL" else "NORMAL",
        people_from=people if kind == "VARIABLE" else None,
        people=tuple(one for one in people.split(",") if one) if kind == "PERSON" else ("admin",),
        starter=kind == "STARTER",
        everybody=bool(state.get("is_multi")),
        deliverable=bool(state.get("can_deliver")),
        terminable=bool(state.get("is_terminable")),
        targets=leads.targets(state["id"]),
    )


def _field(one: Mapping[str, Any]) -> Field:
    meta = one.get("meta") or {}
    conditions = json.dumps(one.get("show_conditions") or {})
    return Field(
        key=str(one["key"]),
        name=str(one["name"]),
        type=str(one["type"]),
        required=one.get("validate_type") == "REQUIRE",
        on_refusal='"true"' in conditions,
        choice=tuple((str(pair["key"]), str(pair["name"])) for pair in one.get("choice") or []),
        default=_default(one),
        code=str(meta.get("code") or ""),
        desc=str(one.get("desc") or ""),
    )


def _default(one: Mapping[str, Any]) -> str | None:
    text = str(one.get("default") or "")
    return (text.lower() if one["type"] == "RADIO" else text) or None


def _values(group: Any) -> list[Any]:
    """Return an export's rows, which come as an object by number or as a list."""
    return list(group.values()) if isinstance(group, dict) else list(group)
