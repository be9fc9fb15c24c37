# SPDX-License-Identifier: Apache-2.0
"""What ``create_ticket`` takes: the server's rules, in its order (docs/itsm-behaviour.md#create_ticket). Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_bkitsm.sandbox import refusals
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import FAST_APPROVAL
from airflow_provider_bkitsm.sandbox.itsm.services import TITLE_KEY, Field, Service
from airflow_provider_bkitsm.sandbox.itsm.storage import (
    EMPTY,
    check_value,
    has_four_byte_characters,
    stops_the_flow,
    stored,
)

TITLE_LIMIT, TAG_LIMIT = 128, 32
_DYNAMIC_TYPES = frozenset({"STRING", "INT", "LINK"})
_DYNAMIC_NAME_LIMIT, _DYNAMIC_VALUE_LIMIT = 32, 255


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A ticket that has passed the checks of ``create_ticket``.

    :param title: as it was sent; the stored one is among the fields, and replaces it when the flow has started.
    :param doomed: it is opened, but its flow will never start.
    :param stuck: why its flow will hang, see :class:`~.tickets.Ticket`.
    :param late_problem: the server notices only after opening it, and then answers with this.
    """

    service: Service
    creator: str
    title: str
    fields: dict[str, Any]
    meta: dict[str, Any]
    tag: str | None
    attention: bool
    doomed: bool
    stuck: str
    late_problem: refusals.Refusal | None


def read_draft(
    args: Mapping[str, Any],
    *,
    services: Mapping[int, Service],
    user: str,
    utf8mb4: bool,
    businesses: Collection[int],
) -> Draft:
    """Read the body of ``create_ticket``.

    :param services: all there are, by number.
    :param user: the *verified* user, who is the creator if the body names none; else "".
    :param utf8mb4: the database stores characters of four bytes.
    :param businesses: those of the configuration platform.
    :raises Refusal: nothing is opened.
    """
    service = _service(args, services)
    meta = _meta(args, service)
    sent = submitted(args.get("fields"))
    creator = _creator(args, user)
    _check_form(service, sent, businesses)
    fields = {key: stored(_form_field(service, key), value) for key, value in sent.items()}
    if not utf8mb4 and has_four_byte_characters(sent[TITLE_KEY]):
        raise refusals.unexpected('(1366, "Incorrect string value for column `title` at row 1")')
    late = _dynamic_problem(args.get("dynamic_fields"))
    unstorable = not utf8mb4 and any(map(has_four_byte_characters, fields.values()))
    hangs = any(stops_the_flow(_form_field(service, key), value) for key, value in fields.items())
    return Draft(
        service=service,
        creator=creator,
        title=sent[TITLE_KEY],
        # What could not be stored leaves all fields empty.
        fields={} if unstorable else fields,
        stuck="fields" if unstorable else "submit" if hangs else "",
        meta=meta,
        tag=_tag(args),
        attention=bool(args.get("attention")),
        doomed=late is not None or unstorable,
        late_problem=late,
    )


def submitted(fields: Any) -> dict[str, Any]:
    """Return a list of key/value pairs as a mapping.

    :raises Refusal: it is no such list.
    """
    if not isinstance(fields, list) and fields is not None:
        raise refusals.unexpected("string indices must be integers")
    pairs: dict[str, Any] = {}
    for one in fields or []:
        if not isinstance(one, dict):
            raise refusals.unexpected("string indices must be integers")
        pairs[str(one["key"])] = one["value"]
    return pairs


def _service(args: Mapping[str, Any], services: Mapping[int, Service]) -> Service:
    if args.get("fast_approval"):
        return services[FAST_APPROVAL]
    wanted = args.get("service_id")
    if wanted is not None and not str(wanted).isdecimal():
        raise refusals.unexpected(f"Field 'id' expected a number but got {wanted!r}.")
    service = services.get(int(wanted)) if wanted is not None else None
    if service is None:
        raise _service_problem("服务不存在，请联系管理员")
    if service.catalog_id is None:
        raise _service_problem("服务对应的服务目录不存在")
    return service


def _service_problem(message: str) -> refusals.Refusal:
    return refusals.unexpected(f"{{'服务': ErrorDetail(string='{message}', code='invalid')}}")


def _meta(args: Mapping[str, Any], service: Service) -> dict[str, Any]:
    meta = args.get("meta", {})
    if not isinstance(meta, dict):
        raise refusals.unexpected(f"'{type(meta).__name__}' object has no attribute 'get'")
    names = {str(node.state_id): node.name for node in service.nodes}
    for state_id, people in (meta.get("state_processors") or {}).items():
        if state_id not in names:
            raise _processors_problem(service, state_id, "不存在")
        if not people:
            raise _processors_problem(service, names[state_id], "对应的审批人不允许为空")
    return meta


def _processors_problem(service: Service, node: str, what: str) -> refusals.Refusal:
    text = f"服务:{service.name}, 节点({node}){what}"
    return refusals.unexpected(f"{{'state_processors': ErrorDetail(string='{text}', code='invalid')}}")


def _creator(args: Mapping[str, Any], user: str) -> str:
    creator = args.get("creator", user)
    if creator is None or str(creator).strip() == "":
        raise refusals.blank("creator")
    return str(creator)


def _check_form(service: Service, fields: dict[str, Any], businesses: Collection[int]) -> None:
    if TITLE_KEY not in fields:
        raise refusals.unexpected(f"'{TITLE_KEY}'")
    missing = sorted(one.key for one in service.form if one.required and one.key not in fields)
    if missing:
        raise refusals.cannot_create(f"单据创建失败，缺少参数：{missing}")
    for key, value in fields.items():
        field = _form_field(service, key)
        _check_value(field, value)
        if value not in EMPTY:
            check_value(field, value, businesses)


def _form_field(service: Service, key: str) -> Field:
    for one in service.form:
        if one.key == key:
            return one
    raise refusals.cannot_create(f"【{key}】字段不存在，请联系管理员")


def _check_value(field: Field, value: Any) -> None:
    if field.key == TITLE_KEY and not isinstance(value, str):
        raise refusals.cannot_create(f"object of type '{type(value).__name__}' has no len()")
    if field.required and value in EMPTY:
        raise refusals.cannot_create(f"【{field.name}】为必填项")
    if field.key == TITLE_KEY and len(value) > TITLE_LIMIT:
        raise refusals.cannot_create("标题不能超过120个字符")


def _tag(args: Mapping[str, Any]) -> str | None:
    tag = args.get("tag", "absent")
    if tag is None:
        raise refusals.bad_key("tag", "该字段不能为 null。", "null")
    if tag == "":
        raise refusals.blank("tag")
    if len(str(tag)) > TAG_LIMIT:
        raise refusals.unexpected("(1406, \"Data too long for column 'tag' at row 1\")")
    return str(tag) if "tag" in args else None


def _dynamic_problem(fields: Any) -> refusals.Refusal | None:
    for one in fields or []:
        kind = one.get("type") if isinstance(one, dict) else None
        if kind not in _DYNAMIC_TYPES:
            text = f"ErrorDetail(string='“{kind}” 不是合法选项。', code='invalid_choice')"
            return refusals.unexpected(f"[{{'type': [{text}]}}]")
        name, value = str(one.get("name") or ""), str(one.get("value") or "")
        if not 0 < len(name) <= _DYNAMIC_NAME_LIMIT or not 0 < len(value) <= _DYNAMIC_VALUE_LIMIT:
            return refusals.unexpected("[{'value': [ErrorDetail(string='该字段不合法。', code='invalid')]}]")
    return None
