"""One builder per ITSM call, named as ITSM names them; each returns a :class:`~.protocol.Call`.

Parameters left at None are not sent. Facts: methods, paths and rules of the measured v2 server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from airflow_provider_bkitsm.itsm import models
from airflow_provider_bkitsm.itsm.checks import MESSAGE_LIMIT, TAG_LIMIT, check_text, check_title, without_none
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.protocol import Call

_BATCH_PAGE = 100
_COMMENTER_LIMIT = 16


class TicketAction(StrEnum):
    """What ``operate_ticket`` can do to a ticket."""

    SUSPEND = "SUSPEND"
    UNSUSPEND = "UNSUSPEND"
    WITHDRAW = "WITHDRAW"
    TERMINATE = "TERMINATE"


class UserView(StrEnum):
    """Which of a person's tickets ``get_tickets_by_user`` shows."""

    MY_TODO = "my_todo"
    MY_CREATED = "my_created"
    MY_HISTORY = "my_history"
    MY_DEALT = "my_dealt"
    MY_ATTENTION = "my_attention"
    MY_APPROVAL = "my_approval"


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
    check_title(fields.get("title"))
    check_text("creator", creator)
    if service_id is None and not fast_approval:
        raise ItsmInvalidRequestError("create_ticket needs a service_id or fast_approval; nothing was sent")
    if tag is not None:
        check_text("tag", tag, TAG_LIMIT)
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
        body=without_none(body),
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
    body = without_none(filters)
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


def operate_ticket(*, sn: str, action_type: TicketAction | str, operator: str, action_message: str) -> Call[None]:
    """Suspend, resume, withdraw or terminate a ticket.

    WITHDRAW and TERMINATE make ITSM post the ticket's callback inside this very call. ``action_message``
    (1-255 characters) is mandatory, whatever ITSM's documentation says.
    """
    check_text("operator", operator)
    check_text("action_message", action_message)
    body = {
        "sn": sn,
        "action_type": str(TicketAction(action_type)),
        "operator": operator,
        "action_message": action_message[:MESSAGE_LIMIT],
    }
    return Call(method="POST", path="operate_ticket/", body=body, parse=models.nothing, is_write=True)


def get_tickets_by_user(
    *,
    user: str,
    view_type: UserView | str,
    service_id: int | None = None,
    page: int = 1,
    page_size: int = _BATCH_PAGE,
) -> Call[models.TicketPage]:
    """Search one person's tickets; the rows also hold ``meta``, the only place own keys come back.

    Not offered by the ESB.
    """
    check_text("user", user)
    params = {
        "user": user,
        "view_type": str(UserView(view_type)),
        "service_id": None if service_id is None else str(service_id),
        "page": str(max(page, 1)),
        "page_size": str(max(page_size, 1)),
    }
    return Call(
        method="GET",
        path="get_tickets_by_user/",
        on_esb=False,
        params=without_none(params),
        parse=models.one(models.TicketPage),
    )


def callback_failed_ticket() -> Call[tuple[str, ...]]:
    """Ask whose callbacks were lost: numbers of all applications, which never leave the list by themselves."""
    return Call(method="GET", path="callback_failed_ticket/", parse=models.texts, needs_verified_user=True)


def operate_node(
    *, sn: str, state_id: int | str, operator: str, action_type: str = "TRANSITION", **more: Any
) -> Call[None]:
    """Act on a step: answer its form (``fields``), or hand it over (``processors``, ``processors_type``).

    :param more: for TRANSITION ``fields``, a mapping of field keys to texts or numbers, all mandatory ones
        included: an approval must carry the refusal's remark too, which may be blank. JSON booleans are
        refused by ITSM.
    """
    check_text("operator", operator)
    fields = more.pop("fields", None)
    body = {"sn": sn, "state_id": state_id, "operator": operator, "action_type": action_type, **more}
    if fields is not None:
        body["fields"] = [{"key": key, "value": value} for key, value in fields.items()]
    return Call(method="POST", path="operate_node/", body=body, parse=models.nothing, is_write=True)


def approve(*, sn: str, state_id: int | str, approver: str, approved: bool, remark: str = "") -> Call[None]:
    """Decide an approval step. ITSM takes any text but ``"true"`` for a refusal, even a JSON true."""
    check_text("approver", approver)
    body = {
        "sn": sn,
        "state_id": state_id,
        "approver": approver,
        "action": "true" if approved else "false",
        "remark": remark,
    }
    return Call(
        method="POST",
        path="approve/",
        on_esb=False,
        body=body,
        parse=models.nothing,
        is_write=True,
        needs_verified_user=True,
    )


def comment_ticket(*, sn: str, stars: int, operator: str, comments: str = "") -> Call[None]:
    """Rate a finished ticket with 1 to 6 stars, once."""
    check_text("operator", operator, _COMMENTER_LIMIT)
    if stars not in range(1, 7):
        raise ItsmInvalidRequestError(f"stars must be 1 to 6, not {stars}; nothing was sent to ITSM")
    body = {"sn": sn, "stars": stars, "operator": operator, "comments": comments[:MESSAGE_LIMIT]}
    return Call(
        method="POST",
        path="comment/",
        esb_path="comment_ticket/",
        body=body,
        parse=models.nothing,
        is_write=True,
        needs_verified_user=True,
    )


def get_approver(sn: str, state_id: int | str) -> Call[models.Approver]:
    """Ask who is asked on a step."""
    return replace(_by_sn("get_approver/", sn, models.Approver, state_id=str(state_id)), on_esb=False)


def get_approve_node_result(sn: str, state_id: int | str) -> Call[models.ApproveNodeResult]:
    """Ask what was answered on a finished approval step; an unfinished one is an invalid request."""
    call = _by_sn("get_approve_node_result/", sn, models.ApproveNodeResult, state_id=str(state_id))
    return replace(call, on_esb=False)


def _by_sn(path: str, sn: str, model: type[models.M], **params: str) -> Call[models.M]:
    check_text("sn", sn)
    return Call(method="GET", path=path, params={"sn": sn, **params}, parse=models.one(model))
