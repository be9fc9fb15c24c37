# SPDX-License-Identifier: Apache-2.0
"""A workflow, which is what v4 has in place of a service: reading it, its form, and whether it can approve."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from airflow_provider_bkitsm.itsm.errors import CollectItsmNotExists, ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.form import read_form
from airflow_provider_bkitsm.itsm.models import FlowStep, ListedService, Service, ServiceField
from airflow_provider_bkitsm.itsm.people import read_people
from airflow_provider_bkitsm.itsm.protocol import Flow
from airflow_provider_bkitsm.itsm.v4 import calls
from airflow_provider_bkitsm.itsm.v4.reading import FormKey, Workflow
from airflow_provider_bkitsm.itsm.v4.settings import V4Settings
from airflow_provider_bkitsm.translation import Text

TITLE = "title"
# As v2's built-in approval names its fields: a DAG's form may stay as it is.
APPROVER, CONTENT = "APPROVER", "APPROVAL_CONTENT"
_EMPTY: tuple[Any, ...] = (None, "", [], (), {})


def find_workflow(key: str) -> Flow[Workflow]:
    """Read a workflow that is enabled.

    :raises CollectItsmNotExists: there is no such workflow.
    """
    found: tuple[Workflow, ...] = yield calls.workflows([key])
    for one in found:
        if one.key == key:
            return one
    raise CollectItsmNotExists(f"ITSM v4 has no enabled workflow {key!r}; no ticket was opened")


def workflow_key_for(service_id: int | str | None, settings: V4Settings) -> str:
    """Return the key of the workflow that a task or its connection names.

    :raises ItsmInvalidRequestError: neither names one.
    """
    key = str(service_id or "").strip() or settings.workflow_key
    if not key:
        raise ItsmInvalidRequestError(
            "no workflow is named: ITSM v4 has no built-in approval service, so give the task a service_id or the"
            " connection the extra workflow_key, the key of a workflow. No ticket was opened"
        )
    return key


def canonical_form(fields: object, settings: V4Settings, people: Collection[str] = ()) -> dict[str, Any]:
    """Return a form under v4's own keys (the title's excepted), with people as lists.

    :param people: keys of the form that take people, besides the approvers'.
    """
    names = {APPROVER: settings.approvers_key, CONTENT: settings.content_key, settings.title_key: TITLE}
    form: dict[str, Any] = {}
    for given, value in read_form(fields).items():
        key = names.get(given, given)
        if key in form:
            raise ItsmInvalidRequestError(f"the form gives {key!r} twice, once as {given!r}; no ticket was opened")
        form[key] = list(read_people(key, value)) if key in {settings.approvers_key, *people} else value
    return form


def form_for(workflow: Workflow, fields: object, settings: V4Settings) -> dict[str, Any]:
    """Return a form as it is sent to a workflow.

    :raises ItsmInvalidRequestError: a key is unknown, or a mandatory one is empty; all of them are named.
    """
    people = {one.key for one in workflow.form if one.names_people}
    form = canonical_form(fields, settings, people)
    problems = [*_problems(workflow, form, settings)] if workflow.form else []
    if settings.approvers_key in form and not form[settings.approvers_key]:
        problems.append(f"{settings.approvers_key} names nobody")
    if problems:
        raise ItsmInvalidRequestError(
            f"workflow {workflow.key!r} does not take this form: {'; '.join(problems)}. No ticket was opened"
        )
    return form


def _problems(workflow: Workflow, form: Mapping[str, Any], settings: V4Settings) -> list[str]:
    """Return what the form's description speaks against (fact ``no-key-no-field``)."""
    known = {one.key: one for one in workflow.form}
    sent = {settings.title_key if key == TITLE else key: value for key, value in form.items()}
    unknown = sorted(sent.keys() - known.keys() - {settings.title_key})
    problems = [f"it has no field {key!r}, but {', '.join(sorted(known))}" for key in unknown]
    wanted = (one for one in workflow.form if one.is_required and one.key != settings.client_ref_key)
    return problems + [f"{one.key} ({one.name}) is mandatory" for one in wanted if sent.get(one.key) in _EMPTY]


def sent_form(
    form: Mapping[str, Any], settings: V4Settings, *, tag: str, declared: Collection[str]
) -> dict[str, Any]:
    """Return a form under the keys that the request has, with the tag where the workflow has a place for it."""
    sent = {settings.title_key if key == TITLE else key: value for key, value in form.items()}
    return sent | ({settings.client_ref_key: tag} if settings.client_ref_key in declared else {})


def list_workflows(settings: V4Settings) -> Flow[tuple[ListedService, ...]]:
    """Return the workflows of a system, page by page until nothing new comes; v4 has no catalogues.

    :raises ItsmConfigurationError: the connection names neither a system nor a workflow.
    """
    if settings.system_id is None:
        found = yield from find_workflow(workflow_key_for(None, settings))
        return (ListedService(service_id=found.key, name=found.name or found.key),)
    seen: dict[str, str] = {}
    for number in range(1, _PAGES + 1):
        page: tuple[Workflow, ...] = yield calls.workflow_names(settings.system_id, page=number)
        new = {one.key: one.name for one in page if one.key not in seen}
        if not new:
            break
        seen |= new
    return tuple(ListedService(service_id=key, name=name or key) for key, name in seen.items())


# More workflows than a system has: a list that never ends is left there.
_PAGES = 40


def read_service(workflow: Workflow, settings: V4Settings) -> Service:
    """Return a workflow as the core knows a service."""
    return Service(
        service_id=workflow.key,
        name=workflow.name or workflow.key,
        fields=tuple(_read_field(one, settings) for one in workflow.form),
        details=workflow,
    )


def _read_field(one: FormKey, settings: V4Settings) -> ServiceField:
    return ServiceField(
        key=TITLE if one.key == settings.title_key else one.key,
        type=one.type.upper(),
        name=one.name,
        names_people=one.names_people or one.key == settings.approvers_key,
        is_required=one.is_required,
        default=one.default,
    )


def steps_of(workflow: Workflow) -> tuple[FlowStep, ...]:
    """Return the approval steps of a workflow."""
    return tuple(
        FlowStep(
            name=step.name or step.key,
            kind="APPROVE_TASK",
            approves=True,
            people_from=next(iter(step.people_from), None),
            asks_others=step.asks_others or len(step.people_from) > 1,
            note=_note(step.approves_by_itself),
        )
        for step in workflow.steps
    )


def _note(switches: Collection[str]) -> str:
    if not switches:
        return ""
    return Text(
        "it may approve by itself ({switches}), which no task accepts by default", switches=", ".join(switches)
    )


def problem_of(workflow: Workflow, settings: V4Settings) -> str | None:
    """Return why a workflow cannot approve for a connection; None if it can."""
    if not workflow.steps:
        return f"workflow {workflow.key!r} has no approval step: its tickets are never approved"
    sources = [key for step in workflow.steps for key in step.people_from]
    if settings.approvers_key not in sources:
        fed = f"by {', '.join(sources)}" if sources else "by no key of the form"
        return (
            f"no approval step of workflow {workflow.key!r} asks whom the form's key {settings.approvers_key!r}"
            f" names; its steps are fed {fed}: set the extra form_approvers"
        )
    return None
