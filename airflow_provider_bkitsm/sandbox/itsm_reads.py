"""ITSM's calls that ask: tickets, verdicts, tokens, services (reference 4.2 to 4.6, 4.11, 4.13, 4.14, 4.19)."""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.sandbox import itsm_views, refusals, tokens
from airflow_provider_bkitsm.sandbox.itsm_calls import Asked
from airflow_provider_bkitsm.sandbox.itsm_search import matches, paged
from airflow_provider_bkitsm.sandbox.services import Service
from airflow_provider_bkitsm.sandbox.shipped import APPROVE_CATALOG, COMMON_CATALOG, SERVICES
from airflow_provider_bkitsm.sandbox.tickets import Ticket


async def get_ticket_status(asked: Asked) -> Any:
    """Status and steps."""
    return itsm_views.status(asked.world.settings, asked.ticket)


async def get_ticket_info(asked: Asked) -> Any:
    """Form, creator, times."""
    return itsm_views.info(asked.world.settings, asked.ticket)


async def get_ticket_logs(asked: Asked) -> Any:
    """The log."""
    return itsm_views.logs(asked.ticket, complex_form=asked.args.get("show_type") == "complex")


async def get_tickets(asked: Asked) -> Any:
    """Search, newest first, in pages."""
    found = [one for one in asked.world.newest_first() if matches(one, asked.args)]
    # The query string wins over the body.
    return paged(found, {**asked.args, **asked.query}, asked.world.settings)


async def ticket_approval_result(asked: Asked) -> Any:
    """Verdicts, newest first; asking clears the numbers from the lost-callback list."""
    sns = list(asked.args["sn"])
    if not sns:
        raise ValueError("wrong number of arguments for 'hdel' command")
    found: dict[int, Ticket] = {}
    for sn in sns:
        found |= {one.id: one for one in asked.world.by_sn(sn)}
        asked.world.forget_callback(str(sn))
    settings = asked.world.settings
    return [itsm_views.approval_result(settings, found[key]) for key in sorted(found, reverse=True)]


async def token_verify(asked: Asked) -> Any:
    """Whether a token is this installation's."""
    return {"is_passed": tokens.passes(asked.world.installation, asked.args.get("token", ""))}


async def callback_failed_ticket(asked: Asked) -> Any:
    """Everybody's lost callbacks."""
    return list(asked.world.lost_callbacks)


async def get_approver(asked: Asked) -> Any:
    """Who decides on a node; after the end, who did."""
    ticket = asked.ticket
    node = ticket.current_node
    return {"approver": ",".join(ticket.processors(node)) if node else ticket.last_approver}


async def get_approve_node_result(asked: Asked) -> Any:
    """A finished node's verdict."""
    state_id = str(asked.args.get("state_id"))
    tickets = asked.world.by_sn(asked.args.get("sn"))
    nodes = [one for ticket in tickets for one in ticket.service.nodes if str(one.state_id) == state_id]
    if not nodes or state_id not in tickets[0].results:
        raise refusals.invalid("节点不存在或未结束")
    return itsm_views.node_result(tickets[0], nodes[0])


async def get_services(asked: Asked) -> Any:
    """Services by display role, display type, catalogue and kind."""
    return [itsm_views.service_row(one) for one in SERVICES.values() if one.listed and _wanted(one, asked)]


async def get_service_detail(asked: Asked) -> Any:
    """A service's form."""
    return itsm_views.service_detail(_service(asked, refusals.OBJECT_NOT_FOUND, "查找对象不存在"))


async def get_service_roles(asked: Asked) -> Any:
    """Who acts where in a service."""
    return itsm_views.roles(_service(asked, refusals.SERVICE_NOT_FOUND, "服务不存在"))


async def get_service_catalogs(_asked: Asked) -> Any:
    """The catalogue tree."""
    leaves = [
        {"id": COMMON_CATALOG, "key": "SANDBOX", "name": "沙箱服务"},
        {"id": APPROVE_CATALOG, "key": "approve_service_catalog", "name": "内置审批目录"},
    ]
    children = [leaf | {"level": 1, "desc": "", "children": []} for leaf in leaves]
    return [{"id": 1, "key": "root", "name": "根目录", "level": 0, "desc": "", "children": children}]


def _wanted(service: Service, asked: Asked) -> bool:
    has = {
        "display_role": service.display_role,
        "display_type": service.display_type,
        "catalog_id": service.catalog_id,
        "service_type": "request",
    }
    return all(str(value) == asked.args[key] for key, value in has.items() if asked.args.get(key))


def _service(asked: Asked, code: int, message: str) -> Service:
    wanted = str(asked.args.get("service_id"))
    service = SERVICES.get(int(wanted)) if wanted.isdecimal() else None
    if service is None:
        raise refusals.Refusal(code, message)
    return service
