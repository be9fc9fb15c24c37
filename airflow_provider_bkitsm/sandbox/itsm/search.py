# SPDX-License-Identifier: Apache-2.0
"""Filters and pages of ``get_tickets`` and ``get_tickets_by_user`` (docs/itsm-behaviour.md#get_tickets). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from airflow_provider_bkitsm.sandbox import refusals
from airflow_provider_bkitsm.sandbox.itsm.ticket_views import business
from airflow_provider_bkitsm.sandbox.itsm.tickets import RUNNING, Ticket
from airflow_provider_bkitsm.sandbox.times import from_shanghai

_LARGEST_PAGE, _DEFAULT_PAGE = 10_000, 10

Filter = Callable[[Ticket, Any], bool]

FILTERS: dict[str, Filter] = {
    "sns": lambda ticket, wanted: _folded(ticket.sn) in {_folded(one) for one in wanted},
    "creator": lambda ticket, wanted: ticket.creator == wanted,
    "tag": lambda ticket, wanted: ticket.tag is not None and _folded(ticket.tag) == _folded(wanted),
    "username": lambda ticket, wanted: ticket.status == RUNNING and wanted in ticket.waits_for,
    "service_id__in": lambda ticket, wanted: str(ticket.service_id) in map(str, wanted),
    "project_key": lambda _ticket, wanted: str(wanted) == "0",
    "bk_biz_id__in": lambda ticket, wanted: str(business(ticket)) in map(str, wanted),
    "current_status__in": lambda ticket, wanted: ticket.status in wanted,
    "create_at__gte": lambda ticket, wanted: int(ticket.create_at) >= from_shanghai(wanted),
    "create_at__lte": lambda ticket, wanted: int(ticket.create_at) <= from_shanghai(wanted),
    "end_at__gte": lambda ticket, wanted: int(ticket.end_at or 0) >= from_shanghai(wanted),
    "end_at__lte": lambda ticket, wanted: (
        ticket.end_at is not None and int(ticket.end_at) <= from_shanghai(wanted)
    ),
}
"""All that is known; anything else in the body is silently ignored, as in ITSM.

See docs/itsm-behaviour.md#get_tickets.
"""


def matches(ticket: Ticket, wanted: Mapping[str, Any]) -> bool:
    """Whether a ticket satisfies every filter given."""
    return all(test(ticket, wanted[name]) for name, test in FILTERS.items() if wanted.get(name))


VIEWS: dict[str, Callable[[Ticket, str], bool]] = {
    "my_todo": lambda ticket, person: person in ticket.waits_for,
    "my_created": lambda ticket, person: ticket.creator == person,
    "my_history": lambda ticket, person: ticket.creator == person or person in ticket.updated_by,
    "my_dealt": lambda ticket, person: any(line["operator"] == person for line in ticket.logs),
    "my_attention": lambda ticket, person: person in ticket.followers,
    "my_approval": lambda ticket, person: any(
        node.kind == "APPROVAL" and person in ticket.asked(node) for node in ticket.open_nodes
    ),
}


def of_person(ticket: Ticket, person: str, wanted: Mapping[str, Any]) -> bool:
    """Whether a ticket belongs to a person's view.

    :raises Refusal: there is no such view.
    """
    view = VIEWS.get(str(wanted.get("view_type")))
    if view is None:
        raise refusals.invalid("view_type 为必填项")
    hidden = str(wanted.get("exclude_ticket_id__in") or "").split(",")
    selected = (
        wanted.get("service_id") in (None, "", str(ticket.service_id))
        and wanted.get("catalog_id") in (None, "", str(ticket.service.catalog_id))
        and str(ticket.id) not in hidden
    )
    # Times count as a pair only.
    pair = ("create_at__gte", "create_at__lte")
    timed = {name: wanted[name] for name in pair} if all(wanted.get(name) for name in pair) else {}
    return selected and view(ticket, person) and matches(ticket, timed)


def paged(
    found: list[Ticket], args: Mapping[str, Any], view: Callable[[Ticket], dict[str, Any]], address: str
) -> Any:
    """Return one page; a page size that is not a positive number switches paging off.

    :param address: what the links to the other pages begin with.
    :raises ValueError: there is no such page.
    """
    size = _whole(args.get("page_size", _DEFAULT_PAGE))
    if size is None or size <= 0:
        return [view(one) for one in found]
    size = min(size, _LARGEST_PAGE)
    total = max(1, -(-len(found) // size))
    page = total if args.get("page") == "last" else _whole(args.get("page", 1))
    if page is None or not 1 <= page <= total:
        raise ValueError("无效页面。")
    return {
        "page": page,
        "total_page": total,
        "count": len(found),
        "next": _url(address, page + 1, args) if page < total else None,
        "previous": _url(address, page - 1, args) if page > 1 else None,
        "items": [view(one) for one in found[(page - 1) * size : page * size]],
    }


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _folded(text: Any) -> str:
    return str(text).rstrip(" ").lower()


def _url(address: str, page: int, args: Mapping[str, Any]) -> str:
    query = {"page": page} if page > 1 else {}
    if "page_size" in args:
        query["page_size"] = args["page_size"]
    return f"{address}?{urlencode(query)}"
