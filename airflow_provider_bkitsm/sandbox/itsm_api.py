"""BK-ITSM's calls: one function a call, in a table that knows their methods and how they fail."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_bkitsm.sandbox import gateway, itsm_views, tickets
from airflow_provider_bkitsm.sandbox.services import FAST_APPROVAL, SERVICES, Service, answer
from airflow_provider_bkitsm.sandbox.settings import ITSM_ROOT
from airflow_provider_bkitsm.sandbox.tickets import INVALID, OPERATION_FAILED, Refusal, Ticket
from airflow_provider_bkitsm.sandbox.world import World

SERVICE_NOT_FOUND, OBJECT_NOT_FOUND = 3900042, 3900404
_TAG_LIMIT = 32
_LARGEST_PAGE = 10_000


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A call's arguments, wherever they came from."""

    world: World
    args: dict[str, Any]
    user: str

    @property
    def ticket(self) -> Ticket:
        """The ticket the call is about."""
        return self.world.one(self.args.get("sn"))

    def text(self, name: str) -> str:
        """Return a mandatory, non-blank text."""
        value = self.args.get(name)
        if not isinstance(value, str) or not value.strip():
            raise Refusal(OPERATION_FAILED, f"接口异常，请检查请求参数: '{name}'")
        return value


Handler = Callable[[Asked], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """How a call is reached, and whether the server wraps its unexpected failures in integer codes."""

    method: str
    handler: Handler
    wrapped: bool = True
    verified: bool = False


async def create_ticket(asked: Asked) -> Any:
    """Open a ticket; its flow starts a moment after the answer."""
    args, world = asked.args, asked.world
    service = _service_to_open(args)
    creator = args.get("creator", asked.user)
    if not creator:
        raise Refusal(OPERATION_FAILED, "接口异常，请检查请求参数: creator 不能为空")
    fields = _submitted(args.get("fields"))
    tickets.check_form(service, fields)
    meta, tag = _meta(args), _tag(args)
    number, sn = world.new_number()
    now = world.clock()
    ticket = Ticket(
        id=number,
        sn=sn,
        service_id=service.id,
        title=fields["title"],
        creator=creator,
        fields=fields,
        create_at=now,
        update_at=now,
        tag=tag,
        meta=meta,
        updated_by=[creator],
    )
    world.open(ticket)
    return {"sn": sn, "id": number, "ticket_url": itsm_views.ticket_url(world.settings, ticket)}


async def get_ticket_status(asked: Asked) -> Any:
    """Status and steps."""
    return itsm_views.status(asked.world.settings, asked.ticket)


async def get_ticket_info(asked: Asked) -> Any:
    """Form, creator, times."""
    return itsm_views.info(asked.world.settings, asked.ticket)


async def get_ticket_logs(asked: Asked) -> Any:
    """The log."""
    return itsm_views.logs(asked.ticket, str(asked.args.get("show_type", "simple")))


async def get_tickets(asked: Asked) -> Any:
    """Search, newest first, in pages."""
    found = [one for one in asked.world.tickets.values() if _matches(one, asked.args)]
    found.sort(key=lambda one: one.id, reverse=True)
    rows = [itsm_views.summary(asked.world.settings, one) for one in found]
    size = int(asked.args.get("page_size", 10))
    if size <= 0:
        return rows
    return _page(rows, number=int(asked.args.get("page", 1)), size=min(size, _LARGEST_PAGE))


async def ticket_approval_result(asked: Asked) -> Any:
    """Verdicts, newest first; asking clears the numbers from the lost-callback list."""
    sns = asked.args["sn"]
    if not sns:
        raise ValueError("sn is empty")
    found: dict[int, Ticket] = {}
    for sn in sns:
        found |= {one.id: one for one in asked.world.by_sn(sn)}
        asked.world.forget_callback(str(sn))
    return [itsm_views.approval_result(asked.world.settings, found[key]) for key in sorted(found, reverse=True)]


async def token_verify(asked: Asked) -> Any:
    """Whether a token is this installation's."""
    token = asked.args.get("token", "")
    if not isinstance(token, str):
        raise TypeError("encoding without a string argument")
    return {"is_passed": asked.world.token_passes(token)}


async def callback_failed_ticket(asked: Asked) -> Any:
    """Everybody's lost callbacks."""
    return [sn for sn, lost in asked.world.lost_callbacks.items() if lost]


async def operate_ticket(asked: Asked) -> Any:
    """Withdraw, terminate, suspend, resume; an end posts the callback before this answers."""
    ticket, operator, action = asked.ticket, asked.text("operator"), asked.text("action_type")
    message, now = asked.text("action_message"), asked.world.clock()
    who = str(asked.args.get("username") or operator)
    await asked.world.change(ticket, lambda: tickets.operate(ticket, action, who, message, now), wait=True)
    return []


async def operate_node(asked: Asked) -> Any:
    """Answer on a node with its own form."""
    ticket, operator = asked.ticket, asked.text("operator")
    if asked.text("action_type") != "TRANSITION":
        raise Refusal(OPERATION_FAILED, "接口异常，请检查请求参数: action_type")
    values = _submitted(asked.args["fields"])
    state_id, now = asked.args.get("state_id"), asked.world.clock()
    await asked.world.change(ticket, lambda: tickets.decide(ticket, state_id, operator, values, now))
    return []


async def approve(asked: Asked) -> Any:
    """Answer on an approval node; anything but the text "true" is a refusal."""
    ticket, approver = asked.ticket, asked.text("approver")
    node = tickets.node_for(ticket, asked.args.get("state_id"), approver)
    values = answer(node, approve=asked.args.get("action") == "true", remark=str(asked.args.get("remark") or ""))
    now = asked.world.clock()
    await asked.world.change(ticket, lambda: tickets.record(ticket, node, approver, values, now))
    return []


async def get_services(asked: Asked) -> Any:
    """Services by display role and type."""
    return [
        itsm_views.service_row(one)
        for one in SERVICES.values()
        if one.listed
        and asked.args.get("display_role", one.display_role) == one.display_role
        and asked.args.get("display_type", one.display_type) == one.display_type
    ]


async def get_service_detail(asked: Asked) -> Any:
    """A service's form."""
    return itsm_views.service_detail(_service(asked.args.get("service_id"), OBJECT_NOT_FOUND))


async def get_service_roles(asked: Asked) -> Any:
    """Who acts where in a service."""
    return itsm_views.roles(_service(asked.args.get("service_id"), SERVICE_NOT_FOUND))


async def get_service_catalogs(_asked: Asked) -> Any:
    """The catalogue tree."""
    leaf = {"id": 11, "key": "sandbox", "name": "沙箱", "level": 1, "desc": "", "children": []}
    return [{"id": 1, "key": "root", "name": "根目录", "level": 0, "desc": "", "children": [leaf]}]


ENDPOINTS: dict[str, Endpoint] = {
    "create_ticket": Endpoint(method="POST", handler=create_ticket),
    "get_ticket_status": Endpoint(method="GET", handler=get_ticket_status, wrapped=False),
    "get_ticket_info": Endpoint(method="GET", handler=get_ticket_info, wrapped=False),
    "get_ticket_logs": Endpoint(method="GET", handler=get_ticket_logs, wrapped=False),
    "get_tickets": Endpoint(method="POST", handler=get_tickets, wrapped=False),
    "ticket_approval_result": Endpoint(
        method="POST", handler=ticket_approval_result, wrapped=False, verified=True
    ),
    "token/verify": Endpoint(method="POST", handler=token_verify),
    "callback_failed_ticket": Endpoint(method="GET", handler=callback_failed_ticket, verified=True),
    "operate_ticket": Endpoint(method="POST", handler=operate_ticket),
    "operate_node": Endpoint(method="POST", handler=operate_node),
    "approve": Endpoint(method="POST", handler=approve, verified=True),
    "get_services": Endpoint(method="GET", handler=get_services),
    "get_service_detail": Endpoint(method="GET", handler=get_service_detail),
    "get_service_roles": Endpoint(method="GET", handler=get_service_roles, verified=True),
    "get_service_catalogs": Endpoint(method="GET", handler=get_service_catalogs),
}


def router(world: World) -> APIRouter:
    """Return the routes below ITSM's gateway root."""
    routes = APIRouter(prefix=ITSM_ROOT)

    @routes.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE"])
    async def dispatch(request: Request, path: str) -> Response:
        endpoint = ENDPOINTS.get(path.rstrip("/"))
        if endpoint is None or request.method != endpoint.method:
            return gateway.not_found()
        away = gateway.turn_away(request, world.settings, verified=endpoint.verified)
        if away is not None:
            return away
        return await _answer(world, request, endpoint) if path.endswith("/") else gateway.with_slash(request)

    return routes


async def _answer(world: World, request: Request, endpoint: Endpoint) -> Response:
    try:
        args = await _arguments(request)
        asked = Asked(world=world, args=args, user=gateway.user_of(request))
        return gateway.ok(await endpoint.handler(asked))
    except Refusal as refusal:
        return gateway.refused(refusal.code, refusal.message)
    except (LookupError, TypeError, ValueError, AttributeError) as crash:
        code = OPERATION_FAILED if endpoint.wrapped else "SERVER_500_ERROR"
        return gateway.refused(code, f"接口异常，请检查请求参数: {crash}")


async def _arguments(request: Request) -> dict[str, Any]:
    if request.method == "GET":
        return dict(request.query_params)
    args = json.loads(await request.body() or b"{}")
    if not isinstance(args, dict):
        raise TypeError("the body is not an object")
    return args


def _service_to_open(args: dict[str, Any]) -> Service:
    if args.get("fast_approval"):
        return SERVICES[FAST_APPROVAL]
    return _service(args.get("service_id"), OPERATION_FAILED)


def _service(service_id: Any, code: int) -> Service:
    text = str(service_id)
    service = SERVICES.get(int(text)) if text.isascii() and text.isdigit() else None
    if service is None:
        raise Refusal(code, "服务不存在")
    return service


def _submitted(fields: Any) -> dict[str, Any]:
    if fields is None:
        raise Refusal(OPERATION_FAILED, "接口异常，请检查请求参数: 'title'")
    return {one["key"]: one["value"] for one in fields}


def _meta(args: dict[str, Any]) -> dict[str, Any]:
    meta = args.get("meta", {})
    if not isinstance(meta, dict):
        raise Refusal(OPERATION_FAILED, "接口异常，请检查请求参数: meta")
    return meta


def _tag(args: dict[str, Any]) -> str | None:
    if "tag" not in args:
        return None
    tag = args["tag"]
    if not isinstance(tag, str) or not 0 < len(tag) <= _TAG_LIMIT:
        raise Refusal(OPERATION_FAILED, "接口异常，请检查请求参数: tag")
    return tag


def _matches(ticket: Ticket, args: dict[str, Any]) -> bool:
    at = tickets.from_shanghai
    checks: dict[str, Callable[[Any], bool]] = {
        "sns": lambda wanted: ticket.sn in wanted,
        "creator": lambda wanted: ticket.creator == wanted,
        "tag": lambda wanted: (ticket.tag or "").lower() == str(wanted).lower(),
        "service_id__in": lambda wanted: ticket.service_id in wanted,
        "current_status__in": lambda wanted: ticket.status in wanted,
        "create_at__gte": lambda wanted: ticket.create_at >= at(wanted),
        "create_at__lte": lambda wanted: ticket.create_at <= at(wanted),
        "end_at__gte": lambda wanted: ticket.end_at is not None and ticket.end_at >= at(wanted),
        "end_at__lte": lambda wanted: ticket.end_at is not None and ticket.end_at <= at(wanted),
    }
    return all(check(args[name]) for name, check in checks.items() if args.get(name))


def _page(rows: list[dict[str, Any]], *, number: int, size: int) -> dict[str, Any]:
    total = max(1, -(-len(rows) // size))
    if not 1 <= number <= total:
        raise ValueError("Invalid page.")
    begin = (number - 1) * size
    return {
        "page": number,
        "total_page": total,
        "count": len(rows),
        "next": None,
        "previous": None,
        "items": rows[begin : begin + size],
    }


__all__ = ["ENDPOINTS", "INVALID", "router"]
