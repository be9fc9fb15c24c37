"""A ticket's life: pure functions over one ticket, the clock passed in. Rules of reference 4.7, 4.8 and 5."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from airflow_provider_bkitsm.sandbox.services import SERVICES, Field, Node, Service, opinion_key

SYSTEM_ACCOUNT = "admin"
ENDED = frozenset({"FINISHED", "TERMINATED", "REVOKED"})
_SHANGHAI = timezone(timedelta(hours=8))

OPERATION_FAILED = 3900004
INVALID = 3900005
TICKET_NOT_FOUND = 3900022
CREATE_FAILED = 3900003


class Refusal(Exception):
    """ITSM says no, with a code (int or text) and a message nobody should match on."""

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(kw_only=True)
class Ticket:
    """One ticket. ``node`` is the current step: -1 not started, 0 submit, 1.. the service's nodes."""

    id: int
    sn: str
    service_id: int
    title: str
    creator: str
    fields: dict[str, Any]
    create_at: float
    update_at: float
    tag: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    status: str = "RUNNING"
    node: int = -1
    end_at: float | None = None
    updated_by: list[str] = field(default_factory=list)
    last_approver: str = ""
    answered: dict[str, str] = field(default_factory=dict)
    results: dict[str, bool] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    logs: list[dict[str, Any]] = field(default_factory=list)
    suspended_from: str = ""

    @property
    def service(self) -> Service:
        """The service it was opened in."""
        return SERVICES[self.service_id]

    @property
    def current_node(self) -> Node | None:
        """The step that waits for people, if any."""
        nodes = self.service.nodes
        waits = self.status not in ENDED and 1 <= self.node <= len(nodes)
        return nodes[self.node - 1] if waits else None

    @property
    def approve_result(self) -> bool:
        """ITSM's verdict: all visited approval nodes say yes; true if there is none (reference 5.3)."""
        return self.status == "FINISHED" and all(self.results.values())

    def processors(self, node: Node) -> list[str]:
        """The people a node waits for; ``meta.state_processors`` replaces the flow's own."""
        given = self.meta.get("state_processors") or {}
        names = given.get(str(node.state_id))
        if names is None and node.people_from:
            names = str(self.fields.get(node.people_from) or "")
        return split_names(names) if names else list(node.people)


def shanghai(moment: float | None, *, microseconds: bool = False) -> str | None:
    """Return a time as ITSM writes it: naive Asia/Shanghai."""
    if moment is None:
        return None
    there = datetime.fromtimestamp(moment, tz=UTC).astimezone(_SHANGHAI).replace(tzinfo=None)
    return str(there if microseconds else there.replace(microsecond=0))


def from_shanghai(text: str) -> float:
    """Read a time as ITSM's filters take it."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=_SHANGHAI).timestamp()


def split_names(names: str) -> list[str]:
    """Split ``"a,b"``."""
    return [name.strip() for name in names.split(",") if name.strip()]


def check_form(service: Service, fields: dict[str, Any]) -> None:
    """Refuse what ITSM's field validators refuse (reference 4.1.1)."""
    if "title" not in fields:
        raise Refusal(OPERATION_FAILED, "接口异常，请检查请求参数: 'title'")
    known = {one.key: one for one in service.form}
    missing = [key for key, one in known.items() if one.required and fields.get(key) in (None, "", [], {})]
    unknown = sorted(set(fields) - set(known))
    if missing or unknown:
        raise Refusal(CREATE_FAILED, f"提单失败: missing {missing}, unknown {unknown}")
    title = fields["title"]
    if not isinstance(title, str) or len(title) > 128:  # noqa: PLR2004
        raise Refusal(CREATE_FAILED, "提单失败: 标题长度不能超过120")


def start(ticket: Ticket, now: float) -> None:
    """Take a new ticket past its submit step."""
    if ticket.node >= 0 or ticket.status in ENDED:
        return
    _log(ticket, now, ticket.creator, "流程开始.", "WEB")
    submitted = [one for one in ticket.service.form if one.key in ticket.fields]
    said = f"{ticket.creator} 处理【提单】"
    _log(ticket, now, ticket.creator, said, "WEB", kind="NORMAL", fields=submitted, values=ticket.fields)
    ticket.node = 0
    _advance(ticket, now)


def decide(ticket: Ticket, state_id: object, operator: str, values: dict[str, Any], now: float) -> None:
    """Take a person's answer on the current node (reference 4.8)."""
    node = node_for(ticket, state_id, operator)
    if any(not isinstance(value, str | int | float) or isinstance(value, bool) for value in values.values()):
        raise Refusal(OPERATION_FAILED, "接口异常，请检查请求参数: value")
    if any(one.required and one.key not in values for one in node.fields):
        raise Refusal(INVALID, "参数验证失败: 缺少必填字段")
    texts = {key: str(value) for key, value in values.items()}
    refused = node.kind == "APPROVAL" and texts[opinion_key(node)] != "true"
    if refused and not any(texts.get(one.key, "").strip() for one in node.fields if one.type == "TEXT"):
        raise Refusal(INVALID, "参数验证失败: 拒绝时备注必填")
    record(ticket, node, operator, texts, now)


def record(
    ticket: Ticket, node: Node, operator: str, values: dict[str, str], now: float, *, source: str = "API"
) -> None:
    """Write an answer down and move on when the node has all it needs. Nothing is validated here."""
    yes = values.get(opinion_key(node)) == "true"
    ticket.values |= values
    ticket.last_approver = operator
    said = f"{operator} 已处理【{node.name}】({'通过' if yes else '拒绝'})"
    _log(ticket, now, operator, said, source, kind=node.kind, fields=node.fields, values=values)
    _touch(ticket, now, operator)
    ticket.answered[operator] = "true" if yes else "false"
    if node.everybody and set(ticket.answered) < set(ticket.processors(node)):
        return
    if node.kind == "APPROVAL":
        ticket.results[str(node.state_id)] = all(one == "true" for one in ticket.answered.values())
    _advance(ticket, now)


def operate(ticket: Ticket, action: str, operator: str, message: str, now: float) -> None:
    """Withdraw, terminate, suspend or resume (reference 4.7)."""
    if ticket.status in ENDED:
        raise Refusal(OPERATION_FAILED, "单据操作失败: 单据已经结束")
    if action == "WITHDRAW":
        _withdraw(ticket, operator, now)
    elif action == "TERMINATE":
        _must_process(ticket, operator)
        _end(ticket, "TERMINATED", now)
    elif action == "SUSPEND":
        _must_process(ticket, operator)
        ticket.suspended_from, ticket.status = ticket.status, "SUSPENDED"
    elif action == "UNSUSPEND":
        if ticket.status != "SUSPENDED":
            raise Refusal(OPERATION_FAILED, "单据操作失败: 单据未挂起")
        ticket.status = ticket.suspended_from
    else:
        raise Refusal(OPERATION_FAILED, "接口异常，请检查请求参数: action_type")
    _touch(ticket, now, operator)
    _log(ticket, now, operator, f"{operator} {action}: {message}", "API")


def finish_without_evidence(ticket: Ticket, now: float) -> None:
    """End a ticket as FINISHED as if no approval node had been visited (a trap for clients)."""
    ticket.results.clear()
    _end(ticket, "FINISHED", now)


def _withdraw(ticket: Ticket, operator: str, now: float) -> None:
    if operator not in {ticket.creator, SYSTEM_ACCOUNT}:
        raise Refusal(OPERATION_FAILED, "单据操作失败: 只有提单人可以撤单")
    if not ticket.service.revocable:
        raise Refusal(OPERATION_FAILED, "单据操作失败: 当前单据不允许撤单")
    if ticket.node < 1 or ticket.answered or ticket.results:
        raise Refusal(OPERATION_FAILED, "单据操作失败: 单据执行中")
    _end(ticket, "REVOKED", now)


def _must_process(ticket: Ticket, operator: str) -> None:
    node = ticket.current_node
    if node is None or operator not in ticket.processors(node):
        raise Refusal(OPERATION_FAILED, "单据操作失败: 没有操作权限")


def node_for(ticket: Ticket, state_id: object, operator: str) -> Node:
    """Return the node a person may answer on now.

    :raises Refusal: it is another node or another person, or it is over.
    """
    node = ticket.current_node
    if node is None or str(state_id) != str(node.state_id):
        raise Refusal(OPERATION_FAILED, "接口异常，请检查请求参数: 当前节点已经结束")
    if operator not in ticket.processors(node) or operator in ticket.answered:
        raise Refusal(OPERATION_FAILED, "接口异常，请检查请求参数: 没有操作权限")
    return node


def _advance(ticket: Ticket, now: float) -> None:
    ticket.answered = {}
    ticket.node += 1
    if ticket.node > len(ticket.service.nodes):
        _end(ticket, "FINISHED", now)
        _log(ticket, now, "", "流程结束.", "SYS")


def _end(ticket: Ticket, status: str, now: float) -> None:
    ticket.status, ticket.end_at, ticket.update_at = status, now, now


def _touch(ticket: Ticket, now: float, operator: str) -> None:
    ticket.update_at = now
    if operator not in ticket.updated_by:
        ticket.updated_by.append(operator)


def _log(
    ticket: Ticket,
    now: float,
    operator: str,
    message: str,
    source: str,
    *,
    kind: str = "",
    fields: Iterable[Field] = (),
    values: dict[str, Any] | None = None,
) -> None:
    form = [
        {
            "id": number,
            "key": one.key,
            "type": one.type,
            "name": one.name,
            "desc": "",
            "value": (values or {}).get(one.key),
            "display_value": (values or {}).get(one.key),
        }
        for number, one in enumerate(fields, start=1)
    ]
    ticket.logs.append(
        {
            "operator": operator,
            "operate_at": shanghai(now),
            "message": message,
            "source": source,
            "form_data": form or {},
            "from_state_type": kind,
        }
    )
