# SPDX-License-Identifier: Apache-2.0
"""Finding a service, the steps of its flow, and checking a form against it, before any ticket exists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from airflow_provider_bkitsm.itsm.errors import (
    CollectItsmNotExists,
    ItsmConflictError,
    ItsmError,
    ItsmInvalidRequestError,
    ItsmNotFoundError,
)
from airflow_provider_bkitsm.itsm.form import form_types, read_form
from airflow_provider_bkitsm.itsm.models import FlowStep, ListedService
from airflow_provider_bkitsm.itsm.protocol import Flow
from airflow_provider_bkitsm.itsm.v2 import calls
from airflow_provider_bkitsm.itsm.v2.form_check import FAST_APPROVAL_FIELDS, checked_form, with_people
from airflow_provider_bkitsm.itsm.v2.models import Service, ServiceCatalog, ServiceDetail, ServiceField, Workflow
from airflow_provider_bkitsm.translation import Text

_NEAR_NAMES = 5
# The catalogue of the built-in approval, hidden from people.
_HIDDEN_CATALOG = "approve_service_catalog"
_APPROVAL, _FORM_STEP, _SIGN = "APPROVAL", "NORMAL", "SIGN"
_NO_STEP_OF_PEOPLE = frozenset({"START", "END", "ROUTER", "ROUTER-P", "COVERAGE", "TASK", "TASK-SOPS", "WEBHOOK"})
_NEVER_ENDS = Text("A SIGN step never ends in ITSM.")


def find_service(service_id: int | str) -> Flow[ServiceDetail]:
    """Read a service's form.

    :param service_id: number of the service, or its name; digits are always a number.
    :raises CollectItsmNotExists: there is no such service.
    :raises ItsmInvalidRequestError: several services have this name.
    """
    if not is_number(service_id):
        service_id = yield from _named(str(service_id).strip())
    try:
        detail: ServiceDetail = yield calls.get_service_detail(service_id)
    except ItsmNotFoundError as error:
        raise CollectItsmNotExists(
            f"ITSM has no service {service_id}; no ticket was opened", code=error.code
        ) from error
    return detail


def list_services() -> Flow[tuple[ListedService, ...]]:
    """List the services of every catalogue, then those that are in none; each once.

    Reading the tree of catalogues is a grant of its own: without it the names of catalogues are left out.
    """
    found: dict[int, ListedService] = {}
    try:
        tree = yield calls.get_service_catalogs(has_service=True)
    except ItsmError:
        tree = ()
    for catalog in _flat(tree):
        for one in (yield calls.get_services(catalog_id=catalog.id)):
            # A lower catalogue says more, should the one above list its services as well.
            found[one.id] = ListedService(service_id=one.id, name=one.name, catalog=catalog.name)
    for one in (yield calls.get_services()):
        found.setdefault(one.id, ListedService(service_id=one.id, name=one.name))
    return tuple(sorted(found.values(), key=lambda one: one.service_id))


def find_log_services() -> Flow[tuple[ServiceDetail, ...]]:
    """Find the services for collectors, when none was named: the log platform's own has this display role.

    :raises CollectItsmNotExists: there is none.
    """
    services = yield calls.get_services(display_role="LOG_SEARCH", display_type="API")
    if not services:
        raise CollectItsmNotExists(
            "no service_id was given and ITSM has no service with display_role LOG_SEARCH and display_type"
            " API; no ticket was opened. `airflow bkitsm import-service` makes one to name as service_id"
        )
    details = []
    for service in services:
        details.append((yield from find_service(service.id)))
    return tuple(details)


def import_service(export: Mapping[str, Any], *, catalog_id: int | None) -> Flow[ServiceDetail]:
    """Make a service from its export, once: one of its name is left as it is.

    :raises ItsmConflictError: there is one of that name, or there are several catalogues; or ITSM refused it.
    """
    name = str(export["name"])
    yield from _refuse_taken(name)
    catalog = catalog_id or (yield from _only_catalog())
    try:
        made: Service = yield calls.import_service({**export, "catalog_id": catalog})
    except ItsmInvalidRequestError as error:
        # Somebody may have made one at the same moment, or one may be hidden from this application.
        yield from _refuse_taken(name)
        raise ItsmConflictError(f"ITSM did not import {name!r}: {error}. Nothing was changed") from error
    return ServiceDetail(service_id=made.id, name=made.name)


def _refuse_taken(name: str) -> Flow[None]:
    for one in (yield calls.get_services()):
        if one.name.strip() == name:
            raise ItsmConflictError(f"ITSM has service {one.id} ({one.name}) already; nothing was changed")


def _only_catalog() -> Flow[int]:
    """Return the only catalogue that people see; ITSM's root holds no service."""
    tree: tuple[ServiceCatalog, ...] = yield calls.get_service_catalogs()
    catalogs = [one for one in _flat(tree) if one.level > 0 and one.key != _HIDDEN_CATALOG]
    if len(catalogs) != 1:
        listed = ", ".join(f"{one.id} ({one.name})" for one in catalogs) or "none"
        raise ItsmConflictError(f"name the catalogue with --catalog-id: ITSM has {listed}. Nothing was changed")
    return catalogs[0].id


def _flat(tree: Iterable[ServiceCatalog]) -> Iterator[ServiceCatalog]:
    """Return every catalogue of a tree, the upper ones first."""
    for one in tree:
        yield one
        yield from _flat(one.children)


def is_number(service_id: int | str) -> bool:
    """Whether a service is named by its number; other texts are names."""
    return str(service_id).strip().isdecimal()


def _named(name: str) -> Flow[int]:
    """Return the number of the only service with this name."""
    services = yield calls.get_services()
    found = [one for one in services if one.name.strip() == name]
    if len(found) == 1:
        return int(found[0].id)
    if found:
        numbers = ", ".join(str(one.id) for one in found)
        raise ItsmInvalidRequestError(
            f"ITSM has several services named {name!r}: {numbers}; give the number. No ticket was opened"
        )
    raise CollectItsmNotExists(f"ITSM has no service named {name!r}{_near(name, services)}. No ticket was opened")


def _near(name: str, services: Iterable[Service]) -> str:
    """Return the services whose names look like this one, for an error message."""
    by_name = {one.name: one for one in services}
    close = get_close_matches(name, by_name, n=_NEAR_NAMES, cutoff=0.4)
    close += [one for one in by_name if one and one not in close and (name in one or one in name)]
    listed = ", ".join(f"{by_name[one].name} ({by_name[one].id})" for one in close[:_NEAR_NAMES])
    return f"; there are {listed}" if listed else f"; {len(by_name)} services are visible"


def service_for(
    form: object, *, service_id: int | str | None, fast_approval: bool
) -> Flow[tuple[int | str | None, dict[str, Any]]]:
    """Check a form against the service it is for; return that service and the form as it is sent.

    The built-in approval is service None.

    :raises ItsmInvalidRequestError: no service is named, or it does not take this form.
    :raises CollectItsmNotExists: there is no such service.
    """
    if fast_approval:
        return None, check_form(FAST_APPROVAL_FIELDS, form)
    if service_id is None:
        raise ItsmInvalidRequestError(
            "no service_id was given, neither to the task nor in the connection's extra, and fast_approval is"
            " off; no ticket was opened"
        )
    detail = yield from find_service(service_id)
    number = service_id if is_number(service_id) else detail.service_id
    return number, check_form(detail.fields, form)


def check_form(known: Iterable[ServiceField], form: object) -> dict[str, Any]:
    """Return a form as it is sent; refuse one ITSM would refuse or could not work with, naming every problem.

    :param known: the service's own description of its fields.
    :param form: as :func:`~airflow_provider_bkitsm.itsm.form.read_form` takes it.
    :raises ItsmInvalidRequestError: see :func:`~airflow_provider_bkitsm.itsm.v2.form_check.checked_form`.
    """
    return checked_form(known, read_form(form))


def question_form(fields: object) -> dict[str, Any]:
    """Return a form that is the same for every spelling of the same question, as far as its types are known.

    The types in a service are not known without asking ITSM.
    """
    return with_people(form_types(fields), read_form(fields))


def steps_of(workflow: Workflow) -> tuple[FlowStep, ...]:
    """Return the steps that people take in a service's flow, but for the one that submits."""
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
