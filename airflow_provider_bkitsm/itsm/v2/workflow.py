# SPDX-License-Identifier: Apache-2.0
"""The steps people take in a service's flow, read from ``get_workflow_detail``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_bkitsm.itsm.models import FlowStep
from airflow_provider_bkitsm.itsm.v2.models import Workflow
from airflow_provider_bkitsm.translation import Text

_APPROVAL, _FORM_STEP, _SIGN = "APPROVAL", "NORMAL", "SIGN"
_NO_STEP_OF_PEOPLE = frozenset({"START", "END", "ROUTER", "ROUTER-P", "COVERAGE", "TASK", "TASK-SOPS", "WEBHOOK"})
_NEVER_ENDS = Text("A SIGN step never ends in ITSM.")


def steps_of(workflow: Workflow) -> tuple[FlowStep, ...]:
    """Return the steps people take, but for the one that submits."""
    fields = {str(one.get("id")): one for one in workflow.fields}
    return tuple(_step(state, fields) for state in workflow.states if _is_taken_by_people(state))


def _is_taken_by_people(state: Mapping[str, Any]) -> bool:
    submits = state.get("is_first_state") or (state.get("is_builtin") and state.get("type") == _FORM_STEP)
    return not submits and str(state.get("type")) not in _NO_STEP_OF_PEOPLE


def _step(state: Mapping[str, Any], fields: Mapping[str, Mapping[str, Any]]) -> FlowStep:
    people = str(state.get("processors") or "").strip(",")
    varies = state.get("processors_type") == "VARIABLE"
    own = [fields[str(one)] for one in state.get("fields") or () if str(one) in fields]
    own += [one for one in fields.values() if one not in own and _belongs(one, state)]
    kind = str(state.get("type") or "")
    return FlowStep(
        name=str(state.get("name") or ""),
        kind=kind,
        approves=kind == _APPROVAL,
        fills_form=kind == _FORM_STEP,
        people_from=people if varies else None,
        people="" if varies else people or str(state.get("processors_type") or ""),
        names_people=state.get("processors_type") == "PERSON",
        ends_at_first=state.get("is_multi") is False,
        fields=tuple(own),
        note=_NEVER_ENDS if kind == _SIGN else "",
    )


def _belongs(field: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    return field.get("state_id") not in (None, "") and str(field.get("state_id")) == str(state.get("id"))
