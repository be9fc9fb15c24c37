"""Filters and pages of ``get_tickets`` (reference 4.11). Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from airflow_provider_bkitsm.sandbox import itsm_views
from airflow_provider_bkitsm.sandbox.moments import from_shanghai
from airflow_provider_bkitsm.sandbox.settings import Settings
from airflow_provider_bkitsm.sandbox.tickets import RUNNING, Ticket

_PATH = "/openapi/ticket/get_tickets/"
_LARGEST_PAGE, _DEFAULT_PAGE = 10_000, 10

Filter = Callable[[Ticket, Any], bool]

FILTERS: dict[str, Filter] = {
    "sns": lambda ticket, wanted: _folded(ticket.sn) in {_folded(one) for one in wanted},
    "creator": lambda ticket, wanted: ticket.creator == wanted,
    "tag": lambda ticket, wanted: ticket.tag is not None and _folded(ticket.tag) == _folded(wanted),
    "username": lambda ticket, wanted: ticket.status == RUNNING and wanted in ticket.waits_for,
    "service_id__in": lambda ticket, wanted: str(ticket.service_id) in map(str, wanted),
    "bk_biz_id__in": lambda _ticket, wanted: "-1" in map(str, wanted),
    "current_status__in": lambda ticket, wanted: ticket.status in wanted,
    "create_at__gte": lambda ticket, wanted: int(ticket.create_at) >= from_shanghai(wanted),
    "create_at__lte": lambda ticket, wanted: int(ticket.create_at) <= from_shanghai(wanted),
    "end_at__gte": lambda ticket, wanted: int(ticket.end_at or 0) >= from_shanghai(wanted),
    "end_at__lte": lambda ticket, wanted: (
        ticket.end_at is not None and int(ticket.end_at) <= from_shanghai(wanted)
    ),
}
"""All that is known; anything else in the body is silently ignored, as in ITSM."""


def matches(ticket: Ticket, wanted: Mapping[str, Any]) -> bool:
    """Whether a ticket satisfies every filter given."""
    return all(test(ticket, wanted[name]) for name, test in FILTERS.items() if wanted.get(name))


def paged(found: list[Ticket], args: Mapping[str, Any], settings: Settings) -> Any:
    """Return one page; a size that is none switches paging off.

    :raises ValueError: there is no such page.
    """
    size = _whole(args.get("page_size", _DEFAULT_PAGE))
    rows = [itsm_views.summary(settings, one) for one in found]
    if size is None or size <= 0:
        return rows
    size = min(size, _LARGEST_PAGE)
    total = max(1, -(-len(rows) // size))
    page = total if args.get("page") == "last" else _whole(args.get("page", 1))
    if page is None or not 1 <= page <= total:
        raise ValueError("无效页面。")
    return {
        "page": page,
        "total_page": total,
        "count": len(rows),
        "next": _url(settings, page + 1, args) if page < total else None,
        "previous": _url(settings, page - 1, args) if page > 1 else None,
        "items": rows[(page - 1) * size : page * size],
    }


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _folded(text: Any) -> str:
    return str(text).rstrip(" ").lower()


def _url(settings: Settings, page: int, args: Mapping[str, Any]) -> str:
    query = {"page": page} if page > 1 else {}
    if "page_size" in args:
        query["page_size"] = args["page_size"]
    return f"{settings.public_url}{_PATH}?{urlencode(query)}"
