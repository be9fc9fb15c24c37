# SPDX-License-Identifier: Apache-2.0
"""The shape of a service: its submit form and the steps people take. The shipped ones are in ``shipped``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

TITLE_KEY = "title"
SN_PREFIXES = {"request": "REQ", "event": "INC", "change": "CRQ", "question": "PBI"}
_FIELDS_PER_SERVICE = 1000


@dataclass(frozen=True, kw_only=True)
class Field:
    """A form field.

    :param on_refusal: must be filled in by whoever refuses; present but possibly blank for whoever approves.
    :param code: ``meta.code``, by which clients find the opinion among randomly named fields.
    """

    key: str
    name: str
    type: str = "STRING"
    required: bool = True
    on_refusal: bool = False
    choice: tuple[tuple[str, str], ...] = ()
    default: str | None = None
    code: str = ""
    desc: str = ""

    def shown(self, value: object) -> object:
        """Return a value as the pages show it."""
        return "" if value is None else dict(self.choice).get(str(value), value)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A step people take.

    :param kind: ``APPROVAL`` counts for ITSM's verdict, ``NORMAL`` does not.
    :param people_from: the submit field that names them; else ``people``.
    :param starter: it asks the ticket's creator.
    :param everybody: all of them must answer (countersign).
    :param deliverable: whoever is asked may hand it over.
    :param terminable: it offers TERMINATE, which fails all the same (reference 4.8).
    :param targets: where a verdict leads, as ``state_id`` (None: the end); without it, the next node in line.
    """

    state_id: int
    name: str
    fields: tuple[Field, ...]
    kind: Literal["APPROVAL", "NORMAL"] = "APPROVAL"
    people_from: str | None = None
    people: tuple[str, ...] = ("admin",)
    starter: bool = False
    everybody: bool = False
    deliverable: bool = False
    terminable: bool = False
    targets: Mapping[bool, int | None] | None = None

    @property
    def opinion_key(self) -> str | None:
        """Key of the field that holds the decision, if there is one."""
        return next((one.key for one in self.fields if one.type == "RADIO"), None)

    def says_yes(self, values: Mapping[str, Any]) -> bool:
        """Whether an answer lets the ticket pass; a step without an opinion does."""
        return self.opinion_key is None or values.get(self.opinion_key) == "true"


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service.

    :param revocable: the creator may withdraw until somebody has decided.
    :param catalog_id: None: bound to no catalogue, so nothing can be submitted.
    :param listed: shown by ``get_services``.
    """

    id: int
    name: str
    form: tuple[Field, ...]
    nodes: tuple[Node, ...]
    revocable: bool = True
    display_role: str = ""
    display_type: str = "OPEN"
    catalog_id: int | None = 12
    listed: bool = True
    desc: str = ""
    kind: str = "request"
    submit_state: int | None = None

    @property
    def submit_state_id(self) -> int:
        """Number of the submit step."""
        return self.submit_state or self.id * 100

    @property
    def sn_prefix(self) -> str:
        """What its tickets' numbers begin with (reference 4.1)."""
        return SN_PREFIXES.get(self.kind, "REQ")

    def position(self, state_id: int | None) -> int:
        """Return the place of a node in line, counted from 1; behind the last one for None."""
        numbers = [one.state_id for one in self.nodes]
        return numbers.index(state_id) + 1 if state_id in numbers else len(numbers) + 1

    def field_id(self, field: Field) -> int:
        """Return a field's number."""
        known = [*self.form, *(one for node in self.nodes for one in node.fields)]
        return self.id * _FIELDS_PER_SERVICE + known.index(field)


YES_NO = (("true", "通过"), ("false", "拒绝"))
TITLE = Field(key=TITLE_KEY, name="标题", desc="请输入标题")


def random_word(*parts: object) -> str:
    """Return a field key like ITSM's: random per installation, here the same each time."""
    return "k" + hashlib.md5("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()[:31]


def approval(state_id: int, name: str, **more: Any) -> Node:
    """Return an approval node: an opinion, a remark, and a remark for refusals (reference 4.2)."""
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
    defaults = {one.key: one.default for one in node.fields if one.default is not None}
    opinion = {node.opinion_key: "true" if approve else "false"} if node.opinion_key else {}
    return defaults | texts | opinion
