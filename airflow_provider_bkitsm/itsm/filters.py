# SPDX-License-Identifier: Apache-2.0
"""What ``get_tickets`` can search by (docs/itsm-behaviour.md#get_tickets), and how it is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.parsing import to_shanghai


class TicketFilters(TypedDict, total=False):
    """All that is given must hold; None counts as not given. Times are aware.

    ``username`` finds running tickets that wait for this person; it never arrives through the ESB, which keeps
    a parameter of that name to itself.
    """

    sns: Sequence[str] | None
    creator: str | None
    tag: str | None
    username: str | None
    project_key: str | None
    service_id__in: Sequence[int | str] | None
    bk_biz_id__in: Sequence[int | str] | None
    current_status__in: Sequence[str] | None
    create_at__gte: datetime | None
    create_at__lte: datetime | None
    end_at__gte: datetime | None
    end_at__lte: datetime | None


def write_filters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filters as ITSM reads them. An unknown one is a mistake that ITSM would silently ignore.

    :raises ItsmInvalidRequestError: a filter is empty, and so would find everything, or there is none at all.
    """
    unknown = sorted(filters.keys() - TicketFilters.__annotations__.keys())
    if unknown:
        raise TypeError(f"get_tickets has no filter {', '.join(unknown)}")
    written = {name: _written(name, value) for name, value in filters.items() if value is not None}
    if not written:
        raise ItsmInvalidRequestError("get_tickets without any filter would read everybody's tickets")
    return written


def _written(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return to_shanghai(value)
    listed = _listed(value)
    if not listed or any(not str(one).strip() for one in listed):
        raise ItsmInvalidRequestError(f"get_tickets: an empty {name} filters nothing; nothing was sent to ITSM")
    return listed if name == "sns" or name.endswith("__in") else value


def _listed(value: str | int | Iterable[Any]) -> list[Any]:
    return [value] if isinstance(value, str | int) else list(dict.fromkeys(value))
