# SPDX-License-Identifier: Apache-2.0
"""Which calls ITSM has, under which names and methods at which door.

See docs/itsm-behaviour.md#names-at-the-fronts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_bkitsm.sandbox import itsm_calls, itsm_reads, node_calls, service_calls, service_reads
from airflow_provider_bkitsm.sandbox.asked import Asked

Handler = Callable[[Asked], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A call.

    :param name: its path at the gateway, without slashes at the ends.
    :param esb: its name at the ESB; None: not offered there.
    :param saas: its path below ``/openapi/``.
    :param wrapped: unexpected failures have an int code; else a text
        (docs/itsm-behaviour.md#two-kinds-of-failures).
    :param verified: the gateway demands a verified user.
    :param jwt: the SaaS demands a gateway's signature.
    :param broken: the gateway's definition leads nowhere.
    """

    method: Literal["GET", "POST"]
    name: str
    handler: Handler
    esb: str | None
    saas: str
    wrapped: bool = True
    verified: bool = False
    jwt: bool = True
    broken: bool = False


def _get(name: str, handler: Handler, *, family: str = "ticket", esb: bool = True, **more: Any) -> Endpoint:
    return Endpoint(
        method="GET", name=name, handler=handler, saas=f"{family}/{name}", esb=name if esb else None, **more
    )


def _post(name: str, handler: Handler, **more: Any) -> Endpoint:
    known = {"esb": name, "saas": f"ticket/{name}"}
    return Endpoint(method="POST", name=name, handler=handler, **known | more)


ENDPOINTS: tuple[Endpoint, ...] = (
    _post("create_ticket", itsm_calls.create_ticket),
    _post("operate_ticket", itsm_calls.operate_ticket),
    _post("operate_node", node_calls.operate_node),
    _post("approve", node_calls.approve, esb=None, verified=True),
    _post("proceed_approval", node_calls.proceed_approval, esb=None, jwt=False),
    _post("comment", itsm_calls.comment, esb="comment_ticket", verified=True),
    _post("add_follower", itsm_calls.add_follower, esb=None, verified=True),
    _post("edit_field", itsm_calls.edit_field, esb=None, verified=True, wrapped=False),
    _get("get_ticket_status", itsm_reads.get_ticket_status, wrapped=False),
    _get("get_ticket_info", itsm_reads.get_ticket_info, wrapped=False),
    _get("get_ticket_logs", itsm_reads.get_ticket_logs, wrapped=False),
    _post("get_tickets", itsm_reads.get_tickets, wrapped=False),
    _get("get_tickets_by_user", itsm_reads.get_tickets_by_user, esb=False),
    _post("ticket_approval_result", itsm_reads.ticket_approval_result, wrapped=False, verified=True),
    _post("token/verify", itsm_reads.token_verify),
    _get("callback_failed_ticket", itsm_reads.callback_failed_ticket, verified=True),
    _get("get_approver", itsm_reads.get_approver, esb=False),
    _get("get_approve_node_result", itsm_reads.get_approve_node_result, esb=False),
    _get("get_services", service_reads.get_services, family="service"),
    _get("get_service_detail", service_reads.get_service_detail, family="service"),
    _get("get_service_catalogs", service_reads.get_service_catalogs, family="service"),
    _get("get_service_roles", service_reads.get_service_roles, family="service", verified=True),
    _get(
        "get_workflow_detail",
        service_reads.get_workflow_detail,
        family="workflow",
        verified=True,
        wrapped=False,
        broken=True,
    ),
    _post("import_service", service_calls.import_service, saas="service/import_service"),
    _post("update_service", service_calls.update_service, saas="service/update_service"),
    _post("create_service_catalog", service_calls.create_service_catalog, saas="service_catalog"),
)
AT_GATEWAY = {one.name: one for one in ENDPOINTS}
AT_ESB = {one.esb: one for one in ENDPOINTS if one.esb}
AT_SAAS = {one.saas: one for one in ENDPOINTS}
