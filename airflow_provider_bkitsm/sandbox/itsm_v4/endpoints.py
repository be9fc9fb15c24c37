# SPDX-License-Identifier: Apache-2.0
"""What the calls of ITSM v4 do; each returns the answer's ``data``."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from airflow_provider_bkitsm.sandbox.itsm_v4 import flow, lifecycle
from airflow_provider_bkitsm.sandbox.itsm_v4.request import RequestV4
from airflow_provider_bkitsm.sandbox.itsm_v4.tickets import Ticket
from airflow_provider_bkitsm.sandbox.itsm_v4.views import log_object, row_of, task_object, ticket_object
from airflow_provider_bkitsm.sandbox.itsm_v4.workflows import Refusal, Workflow, of_template
from airflow_provider_bkitsm.sandbox.times import shanghai

Handler = Callable[[RequestV4], Awaitable[Any]]
_LARGEST_PAGE, _USUAL_PAGE = 50, 10
_LAST_OF_THREE_BYTES = "\uffff"


async def create_system(request: RequestV4) -> Any:
    """Register a system, once."""
    request.itsm.add_system(request.text("code"), str(request.args.get("token") or ""))
    return {"message": request.text("name")}


async def migrate(request: RequestV4) -> Any:
    """Register what a template file holds, a moment later."""
    if request.file is None:
        raise Refusal("file: 没有提交文件。")
    try:
        template = json.loads(request.file)
    except ValueError as problem:
        raise Refusal("file: 文件不是合法的JSON。") from problem
    system, found = of_template(template, request.tenant)
    request.itsm.add_workflows(system, found)
    return {"message": "success"}


async def list_workflows(request: RequestV4) -> Any:
    """List a system's workflows."""
    request.text("system_id")
    request.check_system()
    found = [one for one in request.itsm.workflows.values() if one.system_id == request.args["system_id"]]
    rows = [one.listed() for one in found if one.tenant == request.tenant]
    page, size = request.number("page", 1), request.number("page_size", 100)
    return {"count": len(rows), "page": page, "page_size": size, "results": rows[(page - 1) * size : page * size]}


async def workflow_details(request: RequestV4) -> Any:
    """Describe workflows; those that a tenant has not are left out."""
    found = (request.itsm.workflows.get(key) for key in request.listed("workflow_keys"))
    return {"items": [one.detail() for one in found if one is not None and one.tenant == request.tenant]}


async def create_ticket(request: RequestV4) -> Any:
    """Open a ticket, which is a draft at first."""
    request.check_system()
    workflow = request.itsm.workflow(request.text("workflow_key"), request.tenant)
    form = _checked_form(request, workflow)
    ticket = request.itsm.add(
        workflow,
        system_id=request.args.get("system_id"),
        creator=str(request.args.get("operator") or request.user or request.world.settings.app_code),
        form=form,
        options=request.args.get("options") or {},
        callback_url=str(request.args.get("callback_url") or ""),
        callback_token=str(request.args.get("callback_token") or ""),
    )
    shown = _shown(request, ticket)
    lifecycle.start_later(request.world, ticket)
    return shown if request.itsm.switches.create_answer == "with_id" else {**shown, "id": None}


async def ticket_detail(request: RequestV4) -> Any:
    """Show a ticket by its id; the number that people see finds none."""
    try:
        return _shown(request, request.itsm.ticket(request.text("id"), request.tenant))
    except Refusal:
        if request.itsm.switches.unknown_id == "empty":
            return {}
        raise


async def list_tickets(request: RequestV4) -> Any:
    """Search tickets, newest first."""
    seen = request.itsm.switches.visibility == "all"
    tickets = [one for one in request.itsm.tickets.values() if seen and one.tenant == request.tenant]
    return _page(request, tickets, lambda one: _shown(request, one))


async def list_system_tickets(request: RequestV4) -> Any:
    """Search the tickets of one system."""
    system = request.text("system_id")
    request.check_system()
    seen = request.itsm.switches.system_visibility == "all"
    where = (request.tenant, system)
    tickets = [one for one in request.itsm.tickets.values() if seen and (one.tenant, one.system_id) == where]
    url = request.world.settings.public_url
    return _page(request, tickets, lambda one: row_of(request.itsm, one, url))


async def approval_tasks(request: RequestV4) -> Any:
    """List a ticket's approval tasks."""
    ticket, activity = (
        request.itsm.ticket(request.text("ticket_id"), request.tenant),
        request.args.get("activity_key"),
    )
    shown = [task_object(request.itsm, ticket, one) for one in ticket.tasks]
    return {"items": [one for one in shown if activity in (None, "", one["activity_key"])]}


async def ticket_logs(request: RequestV4) -> Any:
    """Show a ticket's log, oldest line first."""
    ticket = request.itsm.ticket(request.text("ticket_id"), request.tenant)
    return {"items": [log_object(ticket, one) for one in ticket.logs]}


async def handle_approval_node(request: RequestV4) -> Any:
    """Answer a step as the person whom its task asks."""
    request.check_system()
    ticket = request.itsm.ticket(request.text("ticket_id"), request.tenant)
    given = flow.Answer(
        operator=request.text("operator"),
        action=request.text("action"),
        remark=_remark(request.args),
        task_id=request.text("task_id"),
    )
    await _changed(request, ticket, lambda: flow.answer(request.itsm, ticket, given))
    return {"success": True, "detail": "success", "error": ""}


async def handle_ticket(request: RequestV4) -> Any:
    """Do anything to a ticket that its page offers."""
    ticket = request.itsm.ticket(request.text("ticket_id"), request.tenant)
    action = request.args.get("action") or {}
    method, params = action.get("method"), action.get("params") or {}
    operator, task_id, itsm = request.text("operator"), request.text("task_id"), request.itsm
    if task_id not in [one.id for one in ticket.open_tasks]:
        raise Refusal("任务不存在或已处理")
    if method in (flow.APPROVE, flow.REFUSE):
        remark = str(params.get("desc") or "")
        given = flow.Answer(operator=operator, action=method, remark=remark, task_id=task_id)
        await _changed(request, ticket, lambda: flow.answer(itsm, ticket, given))
    elif method == "terminate":
        reason = str(params.get("desc") or "")
        await _changed(request, ticket, lambda: flow.terminate(itsm, ticket, operator, reason), inside=True)
    elif method == "deliver":
        people = [str(one.get("id")) for one in params.get("to") or []]
        await _changed(request, ticket, lambda: flow.deliver(ticket, task_id, people))
    else:
        raise Refusal(f"不支持的操作: {method}")
    return {}


async def revoke_ticket(request: RequestV4) -> Any:
    """Withdraw a ticket in its creator's name."""
    request.check_system()
    ticket = request.itsm.ticket(request.text("ticket_id"), request.tenant)
    if request.itsm.switches.withdraw == "not_done":
        return {"result": False}
    operator = str(request.args.get("operator") or ticket.creator)
    await _changed(request, ticket, lambda: flow.withdraw(request.itsm, ticket, operator), inside=True)
    return {"result": True}


GET, POST = "GET", "POST"
ENDPOINTS: dict[tuple[str, str], Handler] = {
    (POST, "system/create"): create_system,
    (POST, "system/migrate"): migrate,
    (GET, "system_workflow/list"): list_workflows,
    (GET, "workflows"): workflow_details,
    (POST, "ticket/create"): create_ticket,
    (GET, "ticket/detail"): ticket_detail,
    (GET, "ticket/list"): list_tickets,
    (GET, "system_ticket/list"): list_system_tickets,
    (POST, "approval_tasks"): approval_tasks,
    (GET, "ticket/logs"): ticket_logs,
    (POST, "handle_approval_node"): handle_approval_node,
    (POST, "ticket/handle"): handle_ticket,
    (POST, "tickets/revoked"): revoke_ticket,
}


def _checked_form(request: RequestV4, workflow: Workflow) -> dict[str, Any]:
    """Return a form that the workflow takes.

    :raises Refusal: a key is unknown, a mandatory one is empty, or people are no list.
    """
    form, switches = request.args.get("form_data"), request.itsm.switches
    if not isinstance(form, dict):
        raise Refusal("form_data: 该字段是必填项。")
    known = {one.key: one for one in workflow.form}
    unknown = [key for key in form if key not in known]
    if unknown and switches.unknown_key == "refused":
        raise Refusal(f"form_data: Additional properties are not allowed ({', '.join(unknown)})")
    for key, one in known.items():
        if one.is_required and form.get(key) in (None, "", []):
            raise Refusal(f"{one.name}({key}): 该字段是必填项。")
        if one.kind == "people" and not isinstance(form.get(key, []), list):
            raise Refusal(f"{one.name}({key}): {form[key]!r} is not of type 'array'")
    text = json.dumps(form, ensure_ascii=False)
    if not switches.four_byte and any(letter > _LAST_OF_THREE_BYTES for letter in text):
        raise Refusal('(1366, "Incorrect string value")')
    return {key: value for key, value in form.items() if key in known}


async def _changed(request: RequestV4, ticket: Ticket, event: Callable[[], None], *, inside: bool = False) -> None:
    await lifecycle.change(request.world, ticket, event, inside=inside)


def _shown(request: RequestV4, ticket: Ticket) -> dict[str, Any]:
    return ticket_object(request.itsm, ticket, request.world.settings.public_url)


def _remark(args: dict[str, Any]) -> str:
    """Return the remark, whose name the clients do not agree on."""
    return str(args.get("desc") or args.get("remark") or "")


def _page(request: RequestV4, tickets: Iterable[Ticket], show: Callable[[Ticket], dict[str, Any]]) -> Any:
    size = request.number("page_size", _USUAL_PAGE)
    if size > _LARGEST_PAGE and request.itsm.switches.large_page == "refused":
        raise Refusal("page_size: 请确保该值小于或者等于 50。")
    page, size = request.number("page", 1), min(size, _LARGEST_PAGE)
    found = [one for one in tickets if request.itsm.switches.filters == "ignored" or _matches(request, one)]
    newest = sorted(found, key=lambda one: one.id, reverse=True)
    rows = [show(one) for one in newest[(page - 1) * size : page * size]]
    return {"page": page, "page_size": size, "count": len(newest), "results": rows}


def _matches(request: RequestV4, ticket: Ticket) -> bool:
    wanted: dict[str, Iterable[str]] = {
        "id__in": [ticket.id],
        "workflow_key__in": [ticket.workflow_key],
        "creator__in": [ticket.creator],
        "system_id__in": [ticket.system_id or ""],
        "current_processors__in": ticket.waits_for,
    }
    listed = ((request.listed(name), values) for name, values in wanted.items() if request.args.get(name))
    if any(not set(given) & set(values) for given, values in listed):
        return False
    contained = {"title__contains": ticket.title, "sn__contains": ticket.sn}
    if any(str(request.args[name]) not in text for name, text in contained.items() if request.args.get(name)):
        return False
    start, _, end = str(request.args.get("created_at__range") or "").partition(",")
    return not start or start <= shanghai(ticket.created_at) <= end
