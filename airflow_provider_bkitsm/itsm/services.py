# SPDX-License-Identifier: Apache-2.0
"""Finding a service and checking a form against it, before any ticket exists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from airflow_provider_bkitsm.itsm import service_calls
from airflow_provider_bkitsm.itsm.errors import (
    CollectItsmNotExists,
    ItsmInvalidRequestError,
    ItsmNotFoundError,
)
from airflow_provider_bkitsm.itsm.models import Service, ServiceDetail, ServiceField
from airflow_provider_bkitsm.itsm.protocol import Flow

# ITSM's built-in approval service; get_service_detail does not offer it by a fixed number (reference 4.1.3).
FAST_APPROVAL_FIELDS = tuple(
    ServiceField(key=key, type=kind)
    for key, kind in (("title", "STRING"), ("APPROVER", "MEMBERS"), ("APPROVAL_CONTENT", "TEXT"))
)
_NEAR_NAMES = 5
_LOG_SEARCH = {"display_role": "LOG_SEARCH", "display_type": "API"}


def find_service(service_id: int | str) -> Flow[ServiceDetail]:
    """Read a service's form.

    :param service_id: number of the service, or its name; digits are always a number.
    :raises CollectItsmNotExists: there is no such service.
    :raises ItsmInvalidRequestError: several services have this name.
    """
    if not is_number(service_id):
        service_id = yield from _named(str(service_id).strip())
    try:
        detail: ServiceDetail = yield service_calls.get_service_detail(service_id)
    except ItsmNotFoundError as error:
        raise CollectItsmNotExists(
            f"ITSM has no service {service_id}; no ticket was opened", code=error.code
        ) from error
    return detail


def find_log_services() -> Flow[tuple[ServiceDetail, ...]]:
    """Find the services for collectors, when none was named: the log platform's own has this display role.

    :raises CollectItsmNotExists: there is none.
    """
    services = yield service_calls.get_services(**_LOG_SEARCH)
    if not services:
        raise CollectItsmNotExists(
            "no service_id was given and ITSM has no service with display_role LOG_SEARCH and display_type"
            " API; no ticket was opened. `airflow bkitsm import-service` makes one to name as service_id"
        )
    details = []
    for service in services:
        details.append((yield from find_service(service.id)))
    return tuple(details)


def is_number(service_id: int | str) -> bool:
    """Whether a service is named by its number; other texts are names."""
    return str(service_id).strip().isdecimal()


def _named(name: str) -> Flow[int]:
    """Return the number of the only service with this name."""
    services = yield service_calls.get_services()
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
    form: Mapping[str, Any], *, service_id: int | str | None, fast_approval: bool
) -> Flow[int | str | None]:
    """Check a form against the service it is for, and return that service; None is the built-in approval.

    :raises ItsmInvalidRequestError: no service is named, or it does not take this form.
    :raises CollectItsmNotExists: there is no such service.
    """
    if fast_approval:
        check_form(FAST_APPROVAL_FIELDS, form)
        return None
    if service_id is None:
        raise ItsmInvalidRequestError(
            "no service_id was given, neither to the task nor in the connection's extra, and fast_approval is"
            " off; no ticket was opened"
        )
    detail = yield from find_service(service_id)
    check_form(detail.fields, form)
    return service_id if is_number(service_id) else detail.service_id


def check_form(known: Iterable[ServiceField], fields: Mapping[str, Any]) -> None:
    """Refuse a form ITSM would refuse, naming every problem at once (reference 4.1.1).

    :raises ItsmInvalidRequestError: a key is unknown, or a required one is missing or empty.
    """
    by_key = {field.key: field for field in known}
    required = {key for key, field in by_key.items() if field.validate_type == "REQUIRE"}
    problems = {
        "unknown to this service": sorted(set(fields) - set(by_key)),
        "required but missing or empty": sorted(key for key in required if _empty(fields.get(key))),
    }
    said = "; ".join(f"{what}: {', '.join(keys)}" for what, keys in problems.items() if keys)
    if said:
        raise ItsmInvalidRequestError(f"the ticket's form cannot be sent ({said}); no ticket was opened")


def _empty(value: object) -> bool:
    return value in (None, [], {}) or (isinstance(value, str) and not value.strip())
