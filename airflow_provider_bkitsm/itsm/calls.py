"""One builder per ITSM call, named as ITSM names them; each returns a :class:`~.protocol.Call`.

Parameters left at None are not sent. Facts: methods, paths and rules of the measured v2 server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from airflow_provider_bkitsm.itsm import models
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.protocol import Call

TITLE_LIMIT = 128
TAG_LIMIT = 32
_MESSAGE_LIMIT = 255
_BATCH_PAGE = 100


class TicketAction(StrEnum):
    """What ``operate_ticket`` can do to a ticket."""

    SUSPEND = "SUSPEND"
    UNSUSPEND = "UNSUSPEND"
    WITHDRAW = "WITHDRAW"
    TERMINATE = "TERMINATE"


def create_ticket(
    *,
    creator: str,
    fields: Mapping[str, Any],
    service_id: int | str | None = None,
    fast_approval: bool = False,
    tag: str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Call[models.CreatedTicket]:
    """Open a ticket.

    :param creator: who asks; only this person (or the system account) can withdraw it.
    :param fields: the submit form by key; must hold ``title`` (at most 128 characters). Give choices as their
        key and several people as ``"a,b"``.
    :param service_id: the service, unless ``fast_approval``.
    :param fast_approval: use ITSM's built-in approval service (fields ``title``, ``APPROVER`` and
        ``APPROVAL_CONTENT``).
    :param tag: at most 32 characters; what ``get_tickets`` finds the ticket by if the answer is lost.
    :param meta: e.g. ``{"callback_url": ..., "headers": {...}, "state_processors": {"<state_id>": "a,b"}}``.
    :raises ItsmInvalidRequestError: before anything is sent, for what ITSM is known to refuse.
    """
    _check_title(fields.get("title"))
    _check_text("creator", creator, None)
    if service_id is None and not fast_approval:
        raise ItsmInvalidRequestError("create_ticket needs a service_id or fast_approval; nothing was sent")
    if tag is not None:
        _check_text("tag", tag, TAG_LIMIT)
    body: dict[str, Any] = {
        "service_id": None if fast_approval else service_id,
        "fast_approval": fast_approval or None,
        "creator": creator,
        "fields": [{"key": key, "value": value} for key, value in fields.items()],
        "tag": tag,
        "meta": dict(meta) if meta else None,
    }
    return Call(
        method="POST",
        path="create_ticket/",
        body=_without_none(body),
        parse=models.one(models.CreatedTicket),
        is_write=True,
    )


def get_ticket_status(sn: str) -> Call[models.TicketStatus]:
    """Ask for a ticket's status and current steps."""
    return _by_sn("get_ticket_status/", sn, models.TicketStatus)


def get_ticket_info(sn: str) -> Call[models.TicketInfo]:
    """Ask for a ticket's form as the approver sees it, its creator and times."""
    return _by_sn("get_ticket_info/", sn, models.TicketInfo)


def get_ticket_logs(sn: str) -> Call[models.TicketLogs]:
    """Ask for a ticket's log in its complex form, which carries the approvers' answers."""
    return _by_sn("get_ticket_logs/", sn, models.TicketLogs, show_type="complex")


def get_tickets(
    *,
    sns: Sequence[str] | None = None,
    creator: str | None = None,
    tag: str | None = None,
    create_at__gte: datetime | None = None,
    page: int = 1,
    page_size: int = _BATCH_PAGE,
) -> Call[models.TicketPage]:
    """Search tickets, newest first. At least one filter is demanded: without any, ITSM lists everybody's.

    An older server ignores a filter it does not know (``tag``): check what was found.
    """
    filters = {
        "sns": list(sns) if sns else None,
        "creator": creator or None,
        "tag": tag or None,
        "create_at__gte": models.to_shanghai(create_at__gte) if create_at__gte else None,
    }
    body = _without_none(filters)
    if not body:
        raise ItsmInvalidRequestError("get_tickets without any filter would read everybody's tickets")
    body |= {"page": max(page, 1), "page_size": min(max(page_size, 1), 10_000)}
    return Call(method="POST", path="get_tickets/", body=body, parse=models.one(models.TicketPage))


def ticket_approval_result(sn: Iterable[str]) -> Call[tuple[models.ApprovalResult, ...]]:
    """Ask for the authoritative state of tickets; unknown ones are left out of the answer.

    Asking also removes these sns from ITSM's lost-callback list, whoever owns them: ask for your own only.
    """
    sns = [sn] if isinstance(sn, str) else list(sn)
    if not sns or not all(isinstance(one, str) and one.strip() for one in sns):
        raise ItsmInvalidRequestError("ticket_approval_result needs at least one ticket number, none empty")
    return Call(
        method="POST",
        path="ticket_approval_result/",
        body={"sn": sns},
        parse=models.many(models.ApprovalResult),
        needs_verified_user=True,
    )


def token_verify(token: str) -> Call[models.TokenVerification]:
    """Ask whether a callback's token comes from this ITSM. It proves neither ticket nor decision nor time."""
    return Call(
        method="POST",
        path="token/verify/",
        body={"token": token},
        parse=models.one(models.TokenVerification),
    )


def get_services(
    *, display_type: str | None = None, display_role: str | None = None
) -> Call[tuple[models.Service, ...]]:
    """List services; the log platform's own has ``display_role`` LOG_SEARCH and ``display_type`` API."""
    params = _without_none({"display_type": display_type, "display_role": display_role})
    return Call(method="GET", path="get_services/", params=params, parse=models.many(models.Service))


def get_service_detail(service_id: int | str) -> Call[models.ServiceDetail]:
    """Ask for a service's submit form."""
    return Call(
        method="GET",
        path="get_service_detail/",
        params={"service_id": str(service_id)},
        parse=models.one(models.ServiceDetail),
    )


def operate_ticket(*, sn: str, action_type: TicketAction | str, operator: str, action_message: str) -> Call[None]:
    """Suspend, resume, withdraw or terminate a ticket.

    WITHDRAW and TERMINATE make ITSM post the ticket's callback inside this very call. ``action_message``
    (1-255 characters) is mandatory, whatever ITSM's documentation says.
    """
    _check_text("operator", operator, None)
    _check_text("action_message", action_message, None)
    body = {
        "sn": sn,
        "action_type": str(TicketAction(action_type)),
        "operator": operator,
        "action_message": action_message[:_MESSAGE_LIMIT],
    }
    return Call(method="POST", path="operate_ticket/", body=body, parse=models.nothing, is_write=True)


def _by_sn(path: str, sn: str, model: type[models.M], **params: str) -> Call[models.M]:
    _check_text("sn", sn, None)
    return Call(method="GET", path=path, params={"sn": sn, **params}, parse=models.one(model))


def _check_title(title: object) -> None:
    if not isinstance(title, str):
        raise ItsmInvalidRequestError("a ticket needs a title, as text; no ticket was opened")
    _check_text("title", title, TITLE_LIMIT)


def _check_text(name: str, value: object, limit: int | None) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ItsmInvalidRequestError(f"{name} must not be empty; nothing was sent to ITSM")
    if limit is not None and len(value) > limit:
        raise ItsmInvalidRequestError(
            f"{name} has {len(value)} characters, ITSM takes at most {limit}; nothing was sent"
        )


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
