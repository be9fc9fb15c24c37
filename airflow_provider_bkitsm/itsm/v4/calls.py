# SPDX-License-Identifier: Apache-2.0
"""The catalogue of ITSM v4's calls: one builder per call, each returns a ``Call``.

A hook sends them: ``hook.send(calls.workflow_names("airflow"))``. Parameters left at None are not sent. How sure
each of them is, :mod:`airflow_provider_bkitsm.itsm.v4.facts` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.itsm.v4 import reading
from airflow_provider_bkitsm.itsm.v4.reading import LogLine, Page, Task, V4Ticket, Workflow

T = TypeVar("T")
LARGEST_PAGE = 50
"""Tickets that one page of a list holds at most (fact ``batch``)."""

_ROOT = "api/v1/"


def create_ticket(
    *,
    workflow_key: str,
    form_data: Mapping[str, Any],
    operator: str,
    system_id: str | None = None,
    callback_url: str | None = None,
    callback_token: str | None = None,
) -> Call[V4Ticket]:
    """Open a ticket. It starts by itself: ``is_submit`` is not sent, as most clients do not (fact ``create``).

    :param operator: who asks. Without it the application's own account counts as the creator.
    :param callback_token: comes back in the callback; nobody else may know it.
    """
    body = {
        "workflow_key": workflow_key,
        "system_id": system_id,
        "operator": operator,
        "form_data": dict(form_data),
        "callback_url": callback_url,
        "callback_token": callback_token,
        "options": {},
    }
    secrets = tuple(str(one) for one in (callback_token, callback_url) if one)
    return replace(_post("ticket/create/", body, reading.read_created, is_write=True), secrets=secrets)


def ticket_detail(ticket_id: str) -> Call[V4Ticket]:
    """Read one ticket (fact ``detail``)."""
    return _get("ticket/detail/", {"id": ticket_id}, reading.read_detail)


def ticket_list(*, page: int = 1, page_size: int = LARGEST_PAGE, **filters: str | Sequence[str]) -> Call[Page]:
    """Search tickets (fact ``list-filters``).

    :param filters: ``id__in``, ``workflow_key__in``, ``current_processors__in``, ``creator__in``,
        ``system_id__in``, ``title__contains``, ``created_at__range``; a list is joined by commas.
    """
    return _get("ticket/list/", _paged(page, page_size, {"view_type": "all", **filters}), reading.read_page)


def system_ticket_list(
    system_id: str, *, page: int = 1, page_size: int = LARGEST_PAGE, **filters: str | Sequence[str]
) -> Call[Page]:
    """Read tickets of one system, 50 at a time (fact ``batch``)."""
    params = _paged(page, page_size, {"system_id": system_id, **filters})
    return _get("system_ticket/list/", params, reading.read_page)


def approval_tasks(ticket_id: str) -> Call[tuple[Task, ...]]:
    """Read who is asked and who answered what; a read, though it is a POST (fact ``tasks``)."""
    return _post("approval_tasks/", {"ticket_id": ticket_id}, reading.read_tasks)


def ticket_logs(ticket_id: str) -> Call[tuple[LogLine, ...]]:
    """Read a ticket's log (fact ``logs``)."""
    return _get("ticket/logs/", {"ticket_id": ticket_id}, reading.read_logs)


def revoke_ticket(ticket_id: str, *, system_id: str | None = None) -> Call[bool]:
    """Withdraw a ticket; False where ITSM did not do it, although its envelope says success (fact ``revoke``)."""
    body = {"system_id": system_id, "ticket_id": ticket_id}
    return _post("tickets/revoked/", body, reading.read_result, is_write=True)


def terminate_ticket(ticket_id: str, *, task_id: str, operator: str, desc: str) -> Call[None]:
    """Terminate a ticket at one of its open tasks (fact ``terminate``)."""
    body = {
        "ticket_id": ticket_id,
        "task_id": task_id,
        "operator": operator,
        "form_data": {},
        "action": {"method": "terminate", "params": {"desc": desc}},
    }
    return _post("ticket/handle/", body, reading.read_nothing, is_write=True)


def deliver_task(ticket_id: str, *, task_id: str, operator: str, people: Sequence[str], desc: str) -> Call[None]:
    """Hand an open task over to others (fact ``deliver``)."""
    body = {
        "ticket_id": ticket_id,
        "task_id": task_id,
        "operator": operator,
        "form_data": {},
        "action": {
            "method": "deliver",
            "params": {"to": [{"id": name, "type": "user"} for name in people], "desc": desc},
        },
    }
    return _post("ticket/handle/", body, reading.read_nothing, is_write=True)


def handle_approval_node(
    ticket_id: str,
    *,
    task_id: str,
    operator: str,
    action: Literal["approve", "refuse"],
    desc: str = "",
    system_id: str | None = None,
) -> Call[None]:
    """Answer an approval step as the person its task asks."""
    body = {
        "ticket_id": ticket_id,
        "task_id": task_id,
        "operator": operator,
        "operator_type": "user",
        "system_id": system_id,
        "action": action,
        "desc": desc,
    }
    return _post("handle_approval_node/", body, reading.read_nothing, is_write=True)


def workflow_names(system_id: str, *, page: int = 1) -> Call[tuple[Workflow, ...]]:
    """List the workflows of a system, key and name alone (fact ``workflow-list``)."""
    params = _paged(page, LARGEST_PAGE, {"system_id": system_id})
    return _get("system_workflow/list/", params, reading.read_workflow_names)


def workflows(keys: Sequence[str]) -> Call[tuple[Workflow, ...]]:
    """Read enabled workflows with their steps and forms (fact ``workflow-detail``)."""
    return _get("workflows/", {"workflow_keys": ",".join(keys)}, reading.read_workflows)


def create_system(*, name: str, code: str, token: str | None = None, desc: str | None = None) -> Call[None]:
    """Register a system, whose code is the later ``system_id``. A second time is refused.

    :param token: the later ``system_token``; it cannot be changed.
    """
    body = {"name": name, "code": code, "token": token, "desc": desc}
    call = _post("system/create/", body, reading.read_nothing, is_write=True)
    return replace(call, secrets=(token,) if token else ())


def migrate_system(template: bytes) -> Call[None]:
    """Register a system, form models and workflows from a template that ITSM's designer has exported.

    It is done later, and once: list the system's workflows until the template's keys are there. A workflow that
    exists is never changed.

    :param template: the file's content.
    """
    return Call(
        method="POST",
        path=f"{_ROOT}system/migrate/",
        on_esb=False,
        file=("file", "template.json", template),
        parse=reading.read_nothing,
        is_write=True,
    )


def _get(path: str, params: Mapping[str, str], parse: Callable[[Any], T]) -> Call[T]:
    return Call(method="GET", path=f"{_ROOT}{path}", on_esb=False, params=params, parse=parse)


def _post(path: str, body: Mapping[str, Any], parse: Callable[[Any], T], *, is_write: bool = False) -> Call[T]:
    given = {key: value for key, value in body.items() if value is not None}
    return Call(method="POST", path=f"{_ROOT}{path}", on_esb=False, body=given, parse=parse, is_write=is_write)


def _paged(page: int, page_size: int, filters: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    texts = {key: value if isinstance(value, str) else ",".join(value) for key, value in filters.items()}
    return texts | {"page": str(max(page, 1)), "page_size": str(min(max(page_size, 1), LARGEST_PAGE))}
