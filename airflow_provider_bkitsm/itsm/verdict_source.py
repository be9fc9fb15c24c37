# SPDX-License-Identifier: Apache-2.0
"""Where a service's verdict is read: ITSM's ``approve_result``, or a form field that a person fills in. Pure.

The log platform's built-in service decides on an ordinary step, whose RADIO ``approval_result`` holds the verdict;
ITSM's ``approve_result`` is true there whatever was answered. Nobody has to say so in a DAG: before a ticket is
opened the service's flow tells, and when a ticket has ended its own log does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_bkitsm.itsm import verdict as verdicts
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.outcome import ENDED, Outcome
from airflow_provider_bkitsm.itsm.protocol import Flow
from airflow_provider_bkitsm.itsm.v2 import calls
from airflow_provider_bkitsm.itsm.v2.models import ApprovalResult, LogEntry, ServiceDetail, Workflow
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy

VERDICT_FIELD = "approval_result"
"""Key of the form field in which the log platform's services keep their verdict."""

_YES = "true"
_PEOPLE = frozenset({"MEMBERS", "MEMBER"})
# Fields of the log platform's built-in service, by which its form is recognised where its flow cannot be read.
_BUILT_IN_FORM = frozenset({"expect_access_data", "single_log_size", "single_host_peak", "log_keep_days"})
_NO_STEP_OF_PEOPLE = frozenset({"START", "END", "ROUTER", "ROUTER-P", "COVERAGE", "TASK", "TASK-SOPS", "WEBHOOK"})


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a flow that people take, behind the submit step.

    :param kind: APPROVAL, SIGN or NORMAL.
    :param people_from: key of the form field that names who is asked; None: ITSM knows by itself.
    :param people: who is asked, as the flow names them.
    :param fields: what they fill in; empty where ITSM did not show it.
    """

    name: str
    kind: str
    people_from: str | None = None
    people: str = ""
    fields: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class VerdictSource:
    """Where a service's verdict is read, and why there.

    :param settings: what a hook's ``verdict_policy`` takes; None leaves it to the ticket's own log.
    :param problem: why no verdict of this service could be believed; None where one can.
    """

    settings: Mapping[str, Any] | None
    reason: str
    problem: str | None = None


def steps_of(workflow: Workflow) -> tuple[Step, ...]:
    """Return the steps people take, but for the one that submits."""
    fields = {str(one.get("id")): one for one in workflow.fields}
    return tuple(_step(state, fields) for state in workflow.states if _is_taken_by_people(state))


def is_built_in_form(service: ServiceDetail) -> bool:
    """Whether a form is that of the log platform's built-in service: no field names who is asked."""
    keys = {one.key for one in service.fields}
    names_people = any(one.type in _PEOPLE for one in service.fields)
    return keys >= _BUILT_IN_FORM and not names_people and VERDICT_FIELD not in keys


def withdrawal_note(service: ServiceDetail) -> str | None:
    """Return why a service's tickets stay open when nobody waits for them; None where ITSM may end them.

    No answer about a service says whether its flow is revocable. The log platform's is not, as ITSM installs it.
    """
    if not is_built_in_form(service):
        return None
    return (
        "its tickets cannot be withdrawn, as ITSM installs the log platform's service: one that nobody waits for"
        " any more (a timeout, a run that was ended) stays open until somebody answers it"
    )


def read_workflow(service: ServiceDetail) -> Flow[tuple[Workflow | None, str]]:
    """Read a service's flow; None, and why, where it cannot be read. Nobody has to have the right to read it."""
    if service.workflow_id is None:
        return None, "ITSM names no flow for it"
    try:
        workflow: Workflow = yield calls.get_workflow_detail(service.workflow_id)
    except ItsmError as error:
        return None, str(error)
    return workflow, ""


def verdict_source(service: ServiceDetail, workflow: Workflow | None, policy: VerdictPolicy) -> VerdictSource:
    """Decide where the verdict of a service's tickets is read.

    :param workflow: the service's flow; None where it could not be read.
    :param policy: as task and connection have it. What they set is kept, unless it cannot work.
    """
    steps = None if workflow is None else steps_of(workflow)
    if policy.verdict_field is not None:
        return _chosen_field(service, steps, policy)
    if not policy.require_evidence:
        return _chosen_without_evidence(service, steps)
    if steps is None:
        return _by_form(service)
    return _by_flow(service, steps)


def read_verdict(sn: str, policy: VerdictPolicy) -> Flow[Verdict]:
    """As :func:`airflow_provider_bkitsm.itsm.verdict.read_verdict`, with the service's own verdict source."""
    row = verdicts.only_row(sn, (yield calls.ticket_approval_result([sn])))
    return (yield from verdict_of(row, policy))


def verdict_of(row: ApprovalResult, policy: VerdictPolicy) -> Flow[Verdict]:
    """As :func:`airflow_provider_bkitsm.itsm.verdict.verdict_of`, with the service's own verdict source.

    The ticket's log is searched for a person's answer in ``approval_result`` only where nothing is set, ITSM's
    verdict is yes and no approval step has answered. An answer in the form of whoever asked is none (P3).
    """
    if row.current_status not in ENDED:
        return (yield from verdicts.verdict_of(row, policy))
    entries = yield from verdicts.read_log(row.sn)
    verdict = yield from verdicts.judge_by_log(row, entries, policy)
    if not (_may_be_in_a_field(row, verdict, policy) and _is_answered_in_field(entries)):
        return verdict
    return (yield from verdicts.judge_by_log(row, entries, replace(policy, verdict_field=VERDICT_FIELD)))


def _may_be_in_a_field(row: ApprovalResult, verdict: Verdict, policy: VerdictPolicy) -> bool:
    unset = policy.verdict_field is None and policy.require_evidence
    finished = row.current_status == "FINISHED" and row.approve_result is True
    return unset and finished and verdict.outcome is Outcome.REJECTED and not verdict.approvers


def _is_answered_in_field(entries: Iterable[LogEntry]) -> bool:
    """Whether a person has filled in the verdict field on an ordinary step that is not the submit step."""
    held = [entry for entry in entries if _holds_verdict(entry)]
    return any(map(_is_persons_answer, held)) and not any(map(_is_submission, held))


def _holds_verdict(entry: LogEntry) -> bool:
    return any(one.key == VERDICT_FIELD and one.type == "RADIO" for one in entry.form_data)


def _is_persons_answer(entry: LogEntry) -> bool:
    return entry.from_state_type == "NORMAL" and entry.operator != "" and entry.source != "SYS"


def _is_submission(entry: LogEntry) -> bool:
    """Whether an entry is the submit step's, which alone has the title."""
    return any(one.key == "title" for one in entry.form_data)


def _chosen_field(service: ServiceDetail, steps: tuple[Step, ...] | None, policy: VerdictPolicy) -> VerdictSource:
    field = str(policy.verdict_field)
    problem = None
    if any(one.key == field for one in service.fields):
        problem = f"the verdict field {field!r} is in the submit form: whoever asks would answer"
    elif steps is not None and all(step.fields for step in steps) and field not in _keys(steps):
        known = ", ".join(sorted(_keys(steps))) or "none"
        problem = f"no step of its flow has the verdict field {field!r}; their fields: {known}"
    reason = f"task or connection name the field {field!r} with the value {policy.verdict_value!r}"
    return VerdictSource(settings=None, reason=reason, problem=problem)


def _chosen_without_evidence(service: ServiceDetail, steps: tuple[Step, ...] | None) -> VerdictSource:
    by_field = _by_form(service) if steps is None else _by_flow(service, steps)
    problem = None
    if by_field.settings:
        problem = (
            f"require_evidence is off, and ITSM's approve_result is true for every finished ticket of it,"
            f" a refused one as well: {by_field.reason}. Leave require_evidence on"
        )
    return VerdictSource(settings=None, reason="task or connection ask for no evidence", problem=problem)


def _by_form(service: ServiceDetail) -> VerdictSource:
    if is_built_in_form(service):
        reason = f"its form is the log platform's built-in one, which answers in the field {VERDICT_FIELD!r}"
        return VerdictSource(settings=_field_settings(), reason=reason)
    reason = "its flow cannot be read: ITSM's approve_result with a visible approval step behind it counts"
    return VerdictSource(settings=None, reason=reason)


def _by_flow(service: ServiceDetail, steps: tuple[Step, ...]) -> VerdictSource:
    approvals = [step.name for step in steps if step.kind == "APPROVAL"]
    if approvals:
        return VerdictSource(settings={}, reason=f"its flow has the approval step {', '.join(approvals)}")
    asked = [step.name for step in steps if step.kind == "NORMAL" and _has_verdict(step)]
    in_form = any(one.key == VERDICT_FIELD for one in service.fields)
    if asked and not in_form:
        reason = f"its flow has no approval step; the step {asked[0]} answers in the field {VERDICT_FIELD!r}"
        return VerdictSource(settings=_field_settings(), reason=reason)
    if any(step.kind == "NORMAL" and not step.fields for step in steps):
        return _by_form(service)
    return VerdictSource(settings=None, reason="nobody decides in its flow", problem=_undecided(steps))


def _undecided(steps: tuple[Step, ...]) -> str:
    listed = ", ".join(f"{step.name} ({step.kind})" for step in steps) or "none"
    signs = " A SIGN step never ends in ITSM." if any(step.kind == "SIGN" for step in steps) else ""
    return (
        f"nobody approves in its flow: it has no APPROVAL step, and no step with a RADIO {VERDICT_FIELD!r} whose"
        f" choices hold {_YES!r}. Its steps: {listed}.{signs}"
    )


def _field_settings() -> dict[str, Any]:
    return {"verdict_field": VERDICT_FIELD, "verdict_value": _YES}


def _has_verdict(step: Step) -> bool:
    return any(one.get("key") == VERDICT_FIELD and _can_be_yes(one) for one in step.fields)


def _can_be_yes(field: Mapping[str, Any]) -> bool:
    choices = field.get("choice") or ()
    return field.get("type") == "RADIO" and any(str(one.get("key")) == _YES for one in choices)


def _keys(steps: Iterable[Step]) -> set[str]:
    return {str(one.get("key")) for step in steps for one in step.fields}


def _is_taken_by_people(state: Mapping[str, Any]) -> bool:
    submits = state.get("is_first_state") or (state.get("is_builtin") and state.get("type") == "NORMAL")
    return not submits and str(state.get("type")) not in _NO_STEP_OF_PEOPLE


def _step(state: Mapping[str, Any], fields: Mapping[str, Mapping[str, Any]]) -> Step:
    people = str(state.get("processors") or "").strip(",")
    varies = state.get("processors_type") == "VARIABLE"
    own = [fields[str(one)] for one in state.get("fields") or () if str(one) in fields]
    own += [one for one in fields.values() if one not in own and _belongs(one, state)]
    return Step(
        name=str(state.get("name") or ""),
        kind=str(state.get("type") or ""),
        people_from=people if varies else None,
        people="" if varies else people or str(state.get("processors_type") or ""),
        fields=tuple(own),
    )


def _belongs(field: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    return field.get("state_id") not in (None, "") and str(field.get("state_id")) == str(state.get("id"))
