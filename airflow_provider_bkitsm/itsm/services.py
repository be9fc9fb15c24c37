# SPDX-License-Identifier: Apache-2.0
"""Finding a service and checking a form against it, before any ticket exists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_provider_bkitsm.itsm import service_calls
from airflow_provider_bkitsm.itsm.errors import (
    CollectItsmNotExists,
    ItsmInvalidRequestError,
    ItsmNotFoundError,
)
from airflow_provider_bkitsm.itsm.form import read_form
from airflow_provider_bkitsm.itsm.models import ServiceDetail, ServiceField
from airflow_provider_bkitsm.itsm.people import join_people
from airflow_provider_bkitsm.itsm.protocol import Flow
from airflow_provider_bkitsm.itsm.v2.form_check import FAST_APPROVAL_FIELDS, checked_form

_LOG_SEARCH = {"display_role": "LOG_SEARCH", "display_type": "API"}


def find_service(service_id: int | str) -> Flow[ServiceDetail]:
    """Read a service's form.

    :raises CollectItsmNotExists: there is no such service.
    """
    try:
        detail: ServiceDetail = yield service_calls.get_service_detail(service_id)
    except ItsmNotFoundError as error:
        raise CollectItsmNotExists(
            f"ITSM has no service {service_id}; no ticket was opened", code=error.code
        ) from error
    return detail


def find_log_service() -> Flow[ServiceDetail]:
    """Find the log platform's own service, when none was named.

    :raises CollectItsmNotExists: there is none.
    :raises ItsmInvalidRequestError: there are several, and guessing could ask the wrong people.
    """
    services = yield service_calls.get_services(**_LOG_SEARCH)
    if not services:
        raise CollectItsmNotExists(
            "no service_id was given and ITSM has no service with display_role LOG_SEARCH and display_type"
            " API; no ticket was opened"
        )
    if len(services) > 1:
        listed = ", ".join(f"{service.id} ({service.name})" for service in services)
        raise ItsmInvalidRequestError(
            f"ITSM has several LOG_SEARCH services: {listed}; name one as service_id. No ticket was opened"
        )
    return (yield from find_service(services[0].id))


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
    return service_id, check_form(detail.fields, form)


def check_form(known: Iterable[ServiceField], form: object) -> dict[str, Any]:
    """Return a form as it is sent; refuse one ITSM would refuse or could not work with, naming every problem.

    :param known: the service's own description of its fields.
    :param form: as :func:`~airflow_provider_bkitsm.itsm.form.read_form` takes it.
    :raises ItsmInvalidRequestError: see :func:`~airflow_provider_bkitsm.itsm.v2.form_check.checked_form`.
    """
    return checked_form(known, read_form(form))


def question_form(fields: object, *, fast_approval: bool) -> dict[str, Any]:
    """Return a form that is the same for every spelling of the same question, as far as its types are known.

    Only those of the built-in approval are known without asking ITSM.
    """
    form = read_form(fields)
    people = {field.key for field in FAST_APPROVAL_FIELDS if field.type == "MEMBERS"} if fast_approval else set()
    return {key: join_people(key, value) if key in people else value for key, value in form.items()}
