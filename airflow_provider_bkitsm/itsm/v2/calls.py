# SPDX-License-Identifier: Apache-2.0
"""The catalogue of ITSM's v2 calls: one builder per call, named as ITSM names it, each returns a ``Call``.

Parameters left at None are not sent. Facts: methods, paths and rules of the measured v2 server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, Unpack

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.form import form_types, read_form
from airflow_provider_bkitsm.itsm.models import TicketAction
from airflow_provider_bkitsm.itsm.people import join_people, read_person
from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.itsm.v2 import models, parsing
from airflow_provider_bkitsm.itsm.v2.form_check import with_people
from airflow_provider_bkitsm.itsm.v2.validation import (
    MESSAGE_LIMIT,
    TAG_LIMIT,
    TicketFilters,
    check_dynamic_fields,
    check_meta,
    check_sns,
    check_text,
    check_title,
    without_none,
    write_filters,
)

_PAGE_SIZE = 100
_LARGEST_PAGE = 10_000
_COMMENTER_LIMIT = 16


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
    fields: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    service_id: int | str | None = None,
    fast_approval: bool = False,
    tag: str | None = None,
    meta: Mapping[str, Any] | None = None,
    operator: str | None = None,
    dynamic_fields: Sequence[Mapping[str, Any]] | None = None,
) -> Call[models.CreatedTicket]:
    """Open a ticket.

    :param creator: who asks; only this person (or the system account) can withdraw it.
    :param fields: the submit form by key, or ITSM's list of ``{"key": ..., "value": ...}``; must hold ``title``
        (at most 128 characters). Give choices as their key. A list of texts, such as several people or choices,
        is sent as ITSM spells it, ``"a,b"``. People in ``APPROVER``, and in whole field objects of type MEMBER
        or MEMBERS, may have any other spelling too; the operators know them by the service.
    :param service_id: the service, unless ``fast_approval``.
    :param fast_approval: use ITSM's built-in approval service (fields ``title``, ``APPROVER`` and
        ``APPROVAL_CONTENT``).
    :param tag: at most 32 characters; what ``get_tickets`` finds the ticket by if the answer is lost.
    :param meta: e.g. ``{"callback_url": ..., "headers": {...}, "state_processors": {"<state_id>": "a,b"}}``;
        these three are checked, since ITSM takes nonsense there and then sends no callback.
    :param operator: documented by ITSM and ignored by the measured server, which goes by ``creator``.
    :param dynamic_fields: shown beside the form: ``{"name": ..., "type": "STRING", "INT" or "LINK", "value":
        ...}``, name at most 32 characters, value a text of at most 255. ITSM checks them only after it has
        stored the ticket, and leaves it open for ever if they are bad.
    :raises ItsmInvalidRequestError: before anything is sent, for what ITSM is known to refuse.
    """
    form = form_as_sent(fields)
    check_title(form.get("title"))
    creator = _person("creator", creator)
    if service_id is None and not fast_approval:
        raise ItsmInvalidRequestError("create_ticket needs a service_id or fast_approval; nothing was sent")
    if tag is not None:
        check_text("tag", tag, TAG_LIMIT)
    meta = _with_processors({} if meta is None else meta)
    check_meta(meta)
    check_dynamic_fields(dynamic_fields or ())
    body: dict[str, Any] = {
        "service_id": None if fast_approval else service_id,
        "fast_approval": fast_approval or None,
        "creator": creator,
        "fields": [{"key": key, "value": value} for key, value in form.items()],
        "tag": tag,
        "meta": without_none(meta) or None,
        "operator": read_person("operator", operator) or None,
        "dynamic_fields": [dict(one) for one in dynamic_fields or ()] or None,
    }
    return Call(
        method="POST",
        path="create_ticket/",
        body=without_none(body),
        parse=parsing.one(models.CreatedTicket),
        is_write=True,
        secrets=_secrets(meta),
    )


def _secrets(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what of a ticket's ``meta`` may be a secret: where it is called back, and with which headers."""
    return tuple(str(one) for one in (meta.get("callback_url"), *(meta.get("headers") or {}).values()) if one)


def form_as_sent(fields: object) -> dict[str, Any]:
    """Return a form with people and lists of texts in ITSM's spelling: it would store Python's text of a list.

    :param fields: a form that :func:`~airflow_provider_bkitsm.itsm.form.read_form` takes.
    """
    form = with_people(form_types(fields), read_form(fields))
    return {key: ",".join(value) if _is_list_of_texts(value) else value for key, value in form.items()}


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, str) for one in value)


def _with_processors(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``meta`` with the names in its ``state_processors`` in ITSM's spelling."""
    processors = meta.get("state_processors") if isinstance(meta, Mapping) else None
    if not isinstance(processors, Mapping):
        return meta
    joined = {state: join_people(f"meta.state_processors[{state}]", names) for state, names in processors.items()}
    return {**meta, "state_processors": joined}


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
    *, page: int = 1, page_size: int = _PAGE_SIZE, **filters: Unpack[TicketFilters]
) -> Call[models.TicketPage]:
    """Search tickets: one page, newest first; ``iter_tickets`` of the hooks reads them all.

    An older server ignores a filter it does not know (``tag``): check what was found. A page beyond the end is
    a ``SERVER_500_ERROR``.

    :param filters: see :class:`~airflow_provider_bkitsm.itsm.v2.validation.TicketFilters`; at least one is
        demanded, since without any ITSM lists everybody's tickets.
    """
    body = write_filters(filters) | {"page": max(page, 1), "page_size": min(max(page_size, 1), _LARGEST_PAGE)}
    return Call(method="POST", path="get_tickets/", body=body, parse=parsing.one(models.TicketPage))


def ticket_approval_result(sn: Iterable[str]) -> Call[tuple[models.ApprovalResult, ...]]:
    """Ask for the authoritative state of tickets; unknown ones are left out of the answer.

    Asking also removes these sns from ITSM's lost-callback list, whoever owns them: ask for your own only.
    Key the rows by ``sn``. A hook asks for many in several calls (connection extra ``batch_size``, 50) and joins
    the rows; when one of these calls fails its error is raised, and none of the rows is returned.
    """
    return Call(
        method="POST",
        path="ticket_approval_result/",
        body={"sn": check_sns(sn)},
        parse=parsing.many(models.ApprovalResult),
        needs_verified_user=True,
        batch="sn",
    )


def token_verify(token: str) -> Call[models.TokenVerification]:
    """Ask whether a callback's token comes from this ITSM. It proves neither ticket nor decision nor time.

    See docs/itsm-behaviour.md#callbacks-token.
    """
    return Call(
        method="POST",
        path="token/verify/",
        body={"token": token},
        parse=parsing.one(models.TokenVerification),
    )


def operate_ticket(*, sn: str, action_type: TicketAction | str, operator: str, action_message: str) -> Call[None]:
    """Suspend, resume, withdraw or terminate a ticket.

    WITHDRAW and TERMINATE make ITSM post the ticket's callback inside this very call. ``action_message``
    (1-255 characters) is mandatory, whatever ITSM's documentation says.
    """
    operator = _person("operator", operator)
    check_text("action_message", action_message)
    body = {
        "sn": sn,
        "action_type": str(TicketAction(action_type)),
        "operator": operator,
        "action_message": action_message[:MESSAGE_LIMIT],
    }
    return Call(method="POST", path="operate_ticket/", body=body, parse=parsing.nothing, is_write=True)


def get_tickets_by_user(
    *,
    user: str,
    view_type: UserView | str,
    service_id: int | None = None,
    page: int = 1,
    page_size: int = _PAGE_SIZE,
) -> Call[models.PageOfUser]:
    """Search one person's tickets: one page; ``iter_tickets_by_user`` of the hooks reads them all.

    The rows also hold ``meta``, the only place own keys come back. Not offered by the ESB.
    """
    user = _person("user", user)
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
        parse=parsing.one(models.PageOfUser),
    )


def callback_failed_ticket() -> Call[tuple[str, ...]]:
    """Ask whose callbacks were lost: numbers of all applications, which never leave the list by themselves."""
    return Call(method="GET", path="callback_failed_ticket/", parse=parsing.texts, needs_verified_user=True)


def operate_node(
    *, sn: str, state_id: int | str, operator: str, action_type: str = "TRANSITION", **more: Any
) -> Call[None]:
    """Act on a step: answer its form (``fields``), or hand it over (``processors``, ``processors_type``).

    :param more: ``processors`` are names, a list or a text. For TRANSITION ``fields``, a mapping of field keys to
        texts or numbers, all mandatory ones included: an approval must carry the refusal's remark too, which may
        be blank. JSON booleans are refused by ITSM.
    """
    operator = _person("operator", operator)
    fields = more.pop("fields", None)
    if more.get("processors_type", "PERSON") == "PERSON" and "processors" in more:
        more["processors"] = join_people("processors", more["processors"])
    body = {"sn": sn, "state_id": state_id, "operator": operator, "action_type": action_type, **more}
    if fields is not None:
        form = with_people(form_types(fields), read_form(fields))
        body["fields"] = [{"key": key, "value": value} for key, value in form.items()]
    return Call(method="POST", path="operate_node/", body=body, parse=parsing.nothing, is_write=True)


def approve(*, sn: str, state_id: int | str, approver: str, approved: bool, remark: str = "") -> Call[None]:
    """Decide an approval step. ITSM takes any text but ``"true"`` for a refusal, even a JSON true.

    See docs/itsm-behaviour.md#approve.
    """
    approver = _person("approver", approver)
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
        parse=parsing.nothing,
        is_write=True,
        needs_verified_user=True,
    )


def comment_ticket(*, sn: str, stars: int, operator: str, comments: str = "") -> Call[None]:
    """Rate a finished ticket with 1 to 6 stars, once."""
    operator = _person("operator", operator, _COMMENTER_LIMIT)
    if stars not in range(1, 7):
        raise ItsmInvalidRequestError(f"stars must be 1 to 6, not {stars}; nothing was sent to ITSM")
    body = {"sn": sn, "stars": stars, "operator": operator, "comments": comments[:MESSAGE_LIMIT]}
    return Call(
        method="POST",
        path="comment/",
        esb_path="comment_ticket/",
        body=body,
        parse=parsing.nothing,
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


def _by_sn(path: str, sn: str, model: type[parsing.M], **params: str) -> Call[parsing.M]:
    check_text("sn", sn)
    return Call(method="GET", path=path, params={"sn": sn, **params}, parse=parsing.one(model))


def _person(name: str, given: object, limit: int | None = None) -> str:
    """Return the one person who acts, in ITSM's spelling."""
    person = read_person(name, given)
    check_text(name, person, limit)
    return person


def get_services(
    *, display_type: str | None = None, display_role: str | None = None, catalog_id: int | None = None
) -> Call[tuple[models.Service, ...]]:
    """List services; the log platform's own has ``display_role`` LOG_SEARCH and ``display_type`` API."""
    catalog = None if catalog_id is None else str(catalog_id)
    params = without_none({"display_type": display_type, "display_role": display_role, "catalog_id": catalog})
    return Call(method="GET", path="get_services/", params=params, parse=parsing.many(models.Service))


def get_service_detail(service_id: int | str) -> Call[models.ServiceDetail]:
    """Ask for a service's submit form."""
    return Call(
        method="GET",
        path="get_service_detail/",
        params={"service_id": str(service_id)},
        parse=parsing.one(models.ServiceDetail),
    )


def get_service_catalogs(
    *, project_key: str | None = None, has_service: bool | None = None
) -> Call[tuple[models.ServiceCatalog, ...]]:
    """Ask for the tree of catalogues."""
    params = without_none({"project_key": project_key, "has_service": "true" if has_service else None})
    return Call(
        method="GET", path="get_service_catalogs/", params=params, parse=parsing.many(models.ServiceCatalog)
    )


def get_service_roles(
    service_id: int | str, *, ticket_creator: str | None = None, every_step: bool = False
) -> Call[tuple[models.ServiceRole, ...]]:
    """Ask who acts where; an ``id`` is the state_id that ``meta.state_processors`` takes.

    :param every_step: ITSM's ``all``: steps that people do not choose for, too.
    """
    wanted = {"service_id": str(service_id), "ticket_creator": ticket_creator, "all": "1" if every_step else None}
    return Call(
        method="GET",
        path="get_service_roles/",
        params=without_none(wanted),
        parse=parsing.many(models.ServiceRole),
        needs_verified_user=True,
    )


def get_workflow_detail(workflow_id: int | str) -> Call[models.Workflow]:
    """Ask for a flow's version, as named by ``get_service_detail``.

    ITSM's published gateway definition misspells the backend path of this call, so the gateway
    answers with ITSM's page for unknown paths. The ESB's definition is right.
    """
    return Call(
        method="GET",
        path="get_workflow_detail",
        params={"workflow_id": str(workflow_id)},
        parse=parsing.one(models.Workflow),
        needs_verified_user=True,
        esb_fallback=True,
    )


def import_service(service: Mapping[str, Any]) -> Call[models.Service]:
    """Create a service from an export: ``key``, ``name``, ``catalog_id``, ``workflow``, ... ."""
    return _write("import_service/", service, models.Service, needed=("key", "name", "catalog_id", "workflow"))


def update_service(service_id: int, service: Mapping[str, Any]) -> Call[models.Service]:
    """Replace a service's flow; open tickets keep the version they run on."""
    body = {**service, "id": service_id}
    return _write("update_service/", body, models.Service, needed=("key", "name", "catalog_id", "workflow"))


def create_service_catalog(
    *,
    name: str,
    project_key: str,
    parent__id: int | None = None,
    parent_key: str | None = None,
    desc: str | None = None,
) -> Call[models.ServiceCatalog]:
    """Create a catalogue below a parent, named by id or key."""
    body = without_none(
        {
            "name": name,
            "project_key": project_key,
            "parent__id": parent__id,
            "parent_key": parent_key,
            "desc": desc,
        }
    )
    return _write("create_service_catalog/", body, models.ServiceCatalog, needed=("name", "project_key"))


def _write(
    path: str, body: Mapping[str, Any], model: type[parsing.M], *, needed: tuple[str, ...]
) -> Call[parsing.M]:
    missing = [key for key in needed if body.get(key) in (None, "")]
    if missing:
        raise ItsmInvalidRequestError(f"{path.rstrip('/')} needs {', '.join(missing)}; nothing was sent to ITSM")
    return Call(method="POST", path=path, body=body, parse=parsing.one(model), is_write=True)
