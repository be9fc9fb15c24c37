# SPDX-License-Identifier: Apache-2.0
"""Where a service's verdict is read: ITSM's ``approve_result``, or a form field that a person fills in. Pure.

The log platform's built-in service decides on an ordinary step, whose RADIO ``approval_result`` holds the verdict;
ITSM's ``approve_result`` is true there whatever was answered. Nobody has to say so in a DAG: before a ticket is
opened the service's flow tells, and when a ticket has ended its own log does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from airflow_provider_bkitsm.itsm.models import FlowStep, Service
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import VERDICT_FIELD
from airflow_provider_bkitsm.translation import Text

_YES = "true"
# Fields of the log platform's built-in service, by which its form is recognised where its flow cannot be read.
_BUILT_IN_FORM = frozenset({"expect_access_data", "single_log_size", "single_host_peak", "log_keep_days"})


@dataclass(frozen=True, kw_only=True)
class VerdictSource:
    """Where a service's verdict is read, and why there.

    :param settings: what a hook's ``verdict_policy`` takes; None leaves it to the ticket's own log.
    :param problem: why no verdict of this service could be believed; None where one can.
    """

    settings: Mapping[str, Any] | None
    reason: str
    problem: str | None = None


def is_built_in_form(service: Service) -> bool:
    """Whether a form is that of the log platform's built-in service: no field names who is asked."""
    keys = {one.key for one in service.fields}
    names_people = any(one.names_people for one in service.fields)
    return keys >= _BUILT_IN_FORM and not names_people and VERDICT_FIELD not in keys


def withdrawal_note(service: Service) -> str | None:
    """Return why a service's tickets stay open when nobody waits for them; None where ITSM may end them.

    No answer about a service says whether its flow is revocable. The log platform's is not, as ITSM installs it.
    """
    if not is_built_in_form(service):
        return None
    return Text(
        "its tickets cannot be withdrawn, as ITSM installs the log platform's service: one that nobody waits for"
        " any more (a timeout, a run that was ended) stays open until somebody answers it"
    )


def verdict_source(service: Service, steps: tuple[FlowStep, ...] | None, policy: VerdictPolicy) -> VerdictSource:
    """Decide where the verdict of a service's tickets is read.

    :param steps: those of its flow that people take; None where the flow could not be read.
    :param policy: as task and connection have it. What they set is kept, unless it cannot work.
    """
    if policy.verdict_field is not None:
        return _chosen_field(service, steps, policy)
    if not policy.require_evidence:
        return _chosen_without_evidence(service, steps)
    if steps is None:
        return _by_form(service)
    return _by_flow(service, steps)


def _chosen_field(service: Service, steps: tuple[FlowStep, ...] | None, policy: VerdictPolicy) -> VerdictSource:
    field = str(policy.verdict_field)
    problem = None
    if any(one.key == field for one in service.fields):
        problem = Text(
            "the verdict field {field} is in the submit form: whoever asks would answer", field=repr(field)
        )
    elif steps is not None and all(step.fields for step in steps) and field not in _keys(steps):
        problem = Text(
            "no step of its flow has the verdict field {field}; their fields: {fields}",
            field=repr(field),
            fields=", ".join(sorted(_keys(steps))) or Text("none"),
        )
    reason = Text(
        "task or connection name the field {field} with the value {value}",
        field=repr(field),
        value=repr(policy.verdict_value),
    )
    return VerdictSource(settings=None, reason=reason, problem=problem)


def _chosen_without_evidence(service: Service, steps: tuple[FlowStep, ...] | None) -> VerdictSource:
    by_field = _by_form(service) if steps is None else _by_flow(service, steps)
    problem = None
    if by_field.settings:
        problem = Text(
            "require_evidence is off, and ITSM's approve_result is true for every finished ticket of it,"
            " a refused one as well: {reason}. Leave require_evidence on",
            reason=by_field.reason,
        )
    reason = Text("task or connection ask for no evidence")
    return VerdictSource(settings=None, reason=reason, problem=problem)


def _by_form(service: Service) -> VerdictSource:
    if is_built_in_form(service):
        reason = Text(
            "its form is the log platform's built-in one, which answers in the field {field}",
            field=repr(VERDICT_FIELD),
        )
        return VerdictSource(settings=_field_settings(), reason=reason)
    reason = Text("its flow cannot be read: ITSM's approve_result with a visible approval step behind it counts")
    return VerdictSource(settings=None, reason=reason)


def _by_flow(service: Service, steps: tuple[FlowStep, ...]) -> VerdictSource:
    approvals = [step.name for step in steps if step.approves]
    if approvals:
        reason = Text("its flow has the approval step {steps}", steps=", ".join(approvals))
        return VerdictSource(settings={}, reason=reason)
    asked = [step.name for step in steps if step.fills_form and _has_verdict(step)]
    in_form = any(one.key == VERDICT_FIELD for one in service.fields)
    if asked and not in_form:
        reason = Text(
            "its flow has no approval step; the step {step} answers in the field {field}",
            step=asked[0],
            field=repr(VERDICT_FIELD),
        )
        return VerdictSource(settings=_field_settings(), reason=reason)
    if any(step.fills_form and not step.fields for step in steps):
        return _by_form(service)
    return VerdictSource(settings=None, reason=Text("nobody decides in its flow"), problem=_undecided(steps))


def _undecided(steps: tuple[FlowStep, ...]) -> str:
    problem = Text(
        "nobody approves in its flow: it has no APPROVAL step, and no step with a RADIO {field} whose choices hold"
        " {value}. Its steps: {steps}.",
        field=repr(VERDICT_FIELD),
        value=repr(_YES),
        steps=", ".join(f"{step.name} ({step.kind})" for step in steps) or Text("none"),
    )
    notes = dict.fromkeys(step.note for step in steps if step.note)
    return reduce(lambda first, note: Text("{first} {note}", first=first, note=note), notes, problem)


def _field_settings() -> dict[str, Any]:
    return {"verdict_field": VERDICT_FIELD, "verdict_value": _YES}


def _has_verdict(step: FlowStep) -> bool:
    return any(one.get("key") == VERDICT_FIELD and _can_be_yes(one) for one in step.fields)


def _can_be_yes(field: Mapping[str, Any]) -> bool:
    choices = field.get("choice") or ()
    return field.get("type") == "RADIO" and any(str(one.get("key")) == _YES for one in choices)


def _keys(steps: Iterable[FlowStep]) -> set[str]:
    return {str(one.get("key")) for step in steps for one in step.fields}
