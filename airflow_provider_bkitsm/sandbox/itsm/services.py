# SPDX-License-Identifier: Apache-2.0
"""The shape of a service: its submit form, the steps of its flow, and its live workflow.

The services a sandbox has are in ``service_catalog``.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal


@dataclass(kw_only=True)
class LiveWorkflow:
    """What is left of a workflow.

    :param deleted: the nodes deleted, by ``state_id``: whether the signal was sent.
    """

    deleted: dict[int, bool] = field(default_factory=dict)

    def delete_node(self, state_id: int, *, signal: bool) -> None:
        """Delete a node, with or without the signal that deletes its variables."""
        self.deleted[state_id] = signal or self.deleted.get(state_id, False)

    def counts(self, state_id: object) -> bool:
        """Whether a node's result still counts for the ticket's."""
        return not self.deleted.get(int(str(state_id)), False)

    def conjunction(self, results: Mapping[str, bool]) -> bool:
        """Return ITSM's verdict over the results of the approval nodes visited; true if none counts."""
        return all(result for state_id, result in results.items() if self.counts(state_id))


TITLE_KEY = "title"
SN_PREFIXES = {"request": "REQ", "event": "INC", "change": "CRQ", "question": "PBI"}
_FIELDS_PER_SERVICE = 1000
_COMPARISONS = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}

NodeKind = Literal["APPROVAL", "NORMAL", "SIGN", "TASK", "WEBHOOK", "ROUTER-P", "COVERAGE"]
PEOPLE_KINDS = frozenset({"APPROVAL", "NORMAL", "SIGN"})
AUTOMATIC_KINDS = frozenset({"TASK", "WEBHOOK"})


@dataclass(frozen=True, kw_only=True)
class Field:
    """A form field.

    :param on_refusal: must be filled in by whoever refuses; present but possibly blank for whoever approves.
    :param required_cells: of a table: key and name of the columns that may not be empty.
    :param code: ``meta.code``, by which clients find the opinion among randomly named fields.
    :param from_cmdb: its choices are the businesses of the configuration platform.
    :param more: keys of the field's description that are not the usual ones.
    """

    key: str
    name: str
    type: str = "STRING"
    required: bool = True
    on_refusal: bool = False
    choice: tuple[tuple[str, str], ...] = ()
    required_cells: tuple[tuple[str, str], ...] = ()
    default: Any = None
    code: str = ""
    desc: str = ""
    from_cmdb: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    def shown(self, value: object) -> object:
        """Return a value of a step's form as the pages show it."""
        return "" if value is None else dict(self.choice).get(str(value), value)


@dataclass(frozen=True, kw_only=True)
class FinishCondition:
    """When a countersign is over before everybody has answered: any of these comparisons is true.

    :param comparisons: what is counted, e.g. ``PASS_RATE`` (percent of all who are asked); how; with what.
    """

    comparisons: tuple[tuple[str, str, float], ...] = ()

    def holds(self, *, people: int, yes: int, no: int) -> bool:
        """Whether so many answers are enough."""
        everybody = max(people, 1)
        counts = {
            "PROCESS_COUNT": yes + no,
            "PASS_COUNT": yes,
            "REJECT_COUNT": no,
            "PASS_RATE": yes * 100 / everybody,
            "REJECT_RATE": no * 100 / everybody,
        }
        return any(
            code in counts and _COMPARISONS[sign](counts[code], value) for code, sign, value in self.comparisons
        )


@dataclass(frozen=True, kw_only=True)
class Node:
    """A step of a flow.

    :param kind: ``APPROVAL`` counts for ITSM's verdict, others do not; ``ROUTER-P`` opens all its branches, and
        ``COVERAGE`` waits for them.
    :param people_from: the submit field that names them; else ``people``.
    :param starter: it asks the ticket's creator.
    :param everybody: all of them must answer (countersign).
    :param in_turn: of a countersign: one after the other.
    :param finish: of a countersign: when it is over earlier.
    :param deliverable: whoever is asked may hand it over.
    :param terminable: it offers TERMINATE, which fails all the same (docs/itsm-behaviour.md#terminating-a-step).
    :param skippable: without people, it approves itself.
    :param ends_when_refused: a refusal terminates the ticket.
    :param output: of an automatic step: what its log entry holds.
    :param targets: where a verdict leads, as ``state_id`` (None: the end); without it, the next node in line.
    :param branches: of a ``ROUTER-P``: where its branches begin.
    """

    state_id: int
    name: str
    fields: tuple[Field, ...]
    kind: NodeKind = "APPROVAL"
    people_from: str | None = None
    people: tuple[str, ...] = ("admin",)
    starter: bool = False
    everybody: bool = False
    in_turn: bool = False
    finish: FinishCondition = FinishCondition()
    deliverable: bool = False
    terminable: bool = False
    skippable: bool = False
    ends_when_refused: bool = False
    output: tuple[Mapping[str, Any], ...] = ()
    targets: Mapping[bool, int | None] | None = None
    branches: tuple[int, ...] = ()

    @property
    def opinion(self) -> Field | None:
        """The field that holds the decision, if there is one."""
        marked = [one for one in self.fields if one.code == "APPROVE_RESULT"]
        kind = "SELECT" if self.kind == "SIGN" else "RADIO"
        return next(iter([*marked, *(one for one in self.fields if one.type == kind)]), None)

    @property
    def opinion_key(self) -> str | None:
        """Key of the field that holds the decision, if there is one."""
        return self.opinion.key if self.opinion else None

    def says_yes(self, values: Mapping[str, Any]) -> bool:
        """Whether an answer lets the ticket pass; a step without an opinion does."""
        return self.opinion_key is None or values.get(self.opinion_key) == "true"


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service.

    :param revocable: the creator may withdraw.
    :param revoke_until: how long: until the ``first`` step behind the submit step is handled, at ``any`` time, or
        until the step of this number is.
    :param auto_approve: steps that ask the ticket's creator approve themselves.
    :param catalog_id: None: bound to no catalogue, so nothing can be submitted.
    :param listed: shown by ``get_services``.
    :param ranked: its tickets have an impact, an urgency and a priority.
    """

    id: int
    name: str
    form: tuple[Field, ...]
    nodes: tuple[Node, ...]
    revocable: bool = True
    revoke_until: Literal["first", "any"] | int = "first"
    auto_approve: bool = False
    display_role: str = ""
    display_type: str = "OPEN"
    catalog_id: int | None = 12
    listed: bool = True
    desc: str = ""
    kind: str = "request"
    submit_state: int | None = None
    ranked: bool = True
    live: LiveWorkflow = field(default_factory=LiveWorkflow, compare=False)

    @property
    def submit_state_id(self) -> int:
        """Number of the submit step."""
        return self.submit_state or self.id * 100

    @property
    def submit_node(self) -> Node:
        """The submit step, as a step of the creator."""
        return Node(state_id=self.submit_state_id, name="提单", fields=self.form, kind="NORMAL", starter=True)

    @property
    def sn_prefix(self) -> str:
        """What its tickets' numbers begin with (docs/itsm-behaviour.md#ticket-numbers)."""
        return SN_PREFIXES.get(self.kind, "REQ")

    def node(self, state_id: int) -> Node | None:
        """Return a step by its number, the submit step included."""
        if state_id == self.submit_state_id:
            return self.submit_node
        return next((one for one in self.nodes if one.state_id == state_id), None)

    def next_state(self, node: Node, *, yes: bool) -> int | None:
        """Return the number of the step behind another; None for the end."""
        if node.targets is not None:
            return node.targets[yes]
        numbers = [one.state_id for one in self.nodes]
        place = numbers.index(node.state_id) + 1 if node.state_id in numbers else 0
        return numbers[place] if place < len(numbers) else None

    def followers(self, node: Node) -> tuple[int | None, int | None]:
        """Return where a yes and a no lead."""
        return self.next_state(node, yes=True), self.next_state(node, yes=False)

    def states_after(self, state_id: int) -> set[int]:
        """Return every step that can be reached from another, itself not included."""
        seen, ahead = {state_id}, [state_id]
        while ahead:
            node = self.node(ahead.pop())
            if node is None:
                continue
            follow = {*self.followers(node), *node.branches}
            ahead += [one for one in follow if one is not None and one not in seen]
            seen |= {one for one in follow if one is not None}
        return seen - {state_id}

    def field_id(self, key: str) -> int:
        """Return the number of a field."""
        keys = [one.key for one in self.form] + [one.key for node in self.nodes for one in node.fields]
        return self.id * _FIELDS_PER_SERVICE + keys.index(key)


YES_NO = (("true", "通过"), ("false", "拒绝"))
TITLE = Field(key=TITLE_KEY, name="标题", desc="请输入标题")


def random_word(*parts: object) -> str:
    """Return a field key like ITSM's: random per installation, here the same each time."""
    return "k" + hashlib.md5("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()[:31]


def approval(state_id: int, name: str, **more: Any) -> Node:
    """Return an approval node: an opinion, a remark, and a remark for refusals.

    See docs/itsm-behaviour.md#approval-steps-fields.
    """
    opinion = Field(
        key=random_word(state_id, "opinion"),
        name="审批意见",
        type="RADIO",
        choice=YES_NO,
        default="true",
        code="APPROVE_RESULT",
    )
    remark = Field(key=random_word(state_id, "remark"), name="备注", type="TEXT", required=False)
    refusal = replace(remark, key=random_word(state_id, "refusal"), required=True, on_refusal=True)
    return Node(state_id=state_id, name=name, fields=(opinion, remark, refusal), **more)


def filled_in(node: Node, *, approve: bool, remark: str) -> dict[str, str]:
    """Fill a node's form the way ITSM's own page does: every remark field gets the remark."""
    texts = {one.key: remark for one in node.fields if one.type == "TEXT"}
    defaults = {one.key: str(one.default) for one in node.fields if one.default is not None}
    opinion = {node.opinion_key: "true" if approve else "false"} if node.opinion_key else {}
    return defaults | texts | opinion


def filled_in_briefly(node: Node, *, approve: bool, remark: str) -> dict[str, str]:
    """Fill a node's form as ``approve`` and ITSM itself do: the opinion, and the remark that belongs to it."""
    remarks = [one for one in node.fields if one.type == "TEXT"]
    fitting = next((one for one in remarks if one.on_refusal != approve), None)
    opinion = {node.opinion_key: "true" if approve else "false"} if node.opinion_key else {}
    return opinion | ({fitting.key: remark} if fitting else {})
