# SPDX-License-Identifier: Apache-2.0
"""A ticket, its steps, and what follows from their state. How a ticket moves is in ``flow``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from airflow_provider_bkitsm.sandbox.itsm.services import PEOPLE_KINDS, Field, Node, Service

RUNNING, SUSPENDED = "RUNNING", "SUSPENDED"
FINISHED, TERMINATED, REVOKED = "FINISHED", "TERMINATED", "REVOKED"
ENDED = frozenset({FINISHED, TERMINATED, REVOKED})
FAILED = "FAILED"


@dataclass(kw_only=True)
class Step:
    """A visit of a ticket to a node of its flow.

    :param status: RUNNING, then FINISHED, TERMINATED or FAILED. Between answers, ITSM shows QUEUEING.
    :param answers: who has answered, and ``"true"`` or ``"false"``.
    :param pending: whose answers have not had their effect yet.
    :param decided: it has the answers it needs; further ones are taken without effect.
    :param values: the form of the last answer.
    """

    state_id: int
    status: str = RUNNING
    answers: list[list[str]] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    decided: bool = False
    values: dict[str, str] = field(default_factory=dict)

    @property
    def people(self) -> list[str]:
        """Who has answered, each once."""
        return list(dict.fromkeys(who for who, _ in self.answers))

    @property
    def yes(self) -> bool:
        """Whether nobody has refused."""
        return all(answer == "true" for _, answer in self.answers)


@dataclass(kw_only=True)
class Ticket:
    """One ticket.

    :param service: the version of the service it was opened in.
    :param started: its flow has begun.
    :param submitted: its flow has left the submit step once.
    :param open: the nodes it is at, by ``state_id``: several if its flow is parallel.
    :param steps: its visits by ``state_id``. A node that is entered again drops those of the nodes behind it.
    :param orphan: its flow never starts (docs/itsm-behaviour.md#flow-that-never-starts).
    :param stuck: its flow hangs: at ``submit``, at its ``title``, which is too long once escaped, or in the
        database, which cannot store its ``fields``.
    :param raced: withdrawn while its flow was starting; it goes on listing a step
        (docs/itsm-behaviour.md#steps-after-a-raced-withdrawal).
    :param results: the verdict of each approval node visited, by ``state_id``.
    :param delivered: whom nodes were handed over to, by ``state_id``.
    :param values: what the nodes' fields hold.
    :param logs: see ``itsm.log_entries``.
    :param comment: number of its comment record; 0 while it is open.
    :param stars: what its comment gave; 0 for none.
    """

    service: Service
    id: int
    sn: str
    title: str
    creator: str
    fields: dict[str, Any]
    create_at: float
    update_at: float
    tag: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    status: str = RUNNING
    started: bool = False
    submitted: bool = False
    open: list[int] = field(default_factory=list)
    steps: dict[str, Step] = field(default_factory=dict)
    orphan: bool = False
    stuck: str = ""
    raced: bool = False
    end_at: float | None = None
    updated_by: list[str] = field(default_factory=list)
    last_answer_by: str = ""
    delivered: dict[str, str] = field(default_factory=dict)
    results: dict[str, bool] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    logs: list[dict[str, Any]] = field(default_factory=list)
    suspended_from: str = ""
    followers: list[str] = field(default_factory=list)
    comment: int = 0
    stars: int = 0

    def document(self) -> dict[str, Any]:
        """Return what is stored of it: everything but the service itself, of which the number suffices."""
        stored = {
            one.name: getattr(self, one.name) for one in fields(self) if one.name not in {"service", "steps"}
        }
        steps = {key: asdict(one) for key, one in self.steps.items()}
        return stored | {"service_id": self.service_id, "steps": steps}

    @classmethod
    def from_document(cls, service: Service, body: dict[str, Any]) -> Ticket:
        """Return the ticket of what was stored; keys of other versions are left out."""
        known = {one.name for one in fields(cls)}
        steps = {key: Step(**one) for key, one in (body.get("steps") or {}).items()}
        return cls(service=service, **{key: body[key] for key in known & set(body)} | {"steps": steps})

    @property
    def service_id(self) -> int:
        """Number of its service."""
        return self.service.id

    @property
    def over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status in ENDED

    @property
    def at_submit(self) -> bool:
        """Whether its flow is at the submit step, for the first time or again."""
        return not self.over and self.service.submit_state_id in self.open

    @property
    def queued(self) -> bool:
        """Whether an answer has not had its effect yet."""
        return any(self.steps[str(one)].pending for one in self.open if str(one) in self.steps)

    @property
    def open_nodes(self) -> list[Node]:
        """The steps that wait for people."""
        if self.over or not self.submitted:
            return []
        nodes = [self.service.node(one) for one in self.open]
        return [one for one in nodes if one is not None and one.kind in PEOPLE_KINDS]

    @property
    def current_node(self) -> Node | None:
        """The first step that waits for people, if any."""
        return next(iter(self.open_nodes), None)

    @property
    def withdrawable(self) -> bool:
        """Whether it can be withdrawn: its flow allows it, has begun, and nobody has handled a step too far."""
        if not self.service.revocable or not self.started or self.over or self.stuck or self.orphan:
            return False
        limit = self.service.revoke_until
        submit = str(self.service.submit_state_id)
        handled = {key for key, step in self.steps.items() if step.status == FINISHED and key != submit}
        return limit == "any" or not (handled if limit == "first" else handled & {str(limit)})

    @property
    def approve_result(self) -> bool:
        """ITSM's verdict: all visited approval nodes that count say yes; true if there is none.

        See docs/itsm-behaviour.md#approve_result.
        """
        return self.status == FINISHED and self.service.live.conjunction(self.results)

    @property
    def last_approver(self) -> str:
        """Who has answered on the approval node visited last, the latest first."""
        visits = [step for key, step in self.steps.items() if self._kind(key) == "APPROVAL"]
        return ",".join(reversed(visits[-1].people)) if visits else ""

    @property
    def waits_for(self) -> list[str]:
        """The people who can answer now."""
        names = [name for node in self.open_nodes for name in self.asked(node)]
        return list(dict.fromkeys(names))

    def node_of(self, person: str) -> Node | None:
        """Return the step that waits for a person, if any."""
        return next((node for node in self.open_nodes if person in self.asked(node)), None)

    def asked(self, node: Node) -> list[str]:
        """Return who has yet to answer on a node: of a countersign in turn, the next one."""
        answered = self.steps[str(node.state_id)].people
        names = [name for name in self.processors(node) if name not in answered]
        return names[:1] if node.in_turn else names

    def may_answer(self, node: Node, person: str) -> bool:
        """Whether ITSM takes an answer: also a second one of somebody whose first had no effect yet."""
        return person in self.asked(node) or person in self.steps[str(node.state_id)].pending

    def _kind(self, state_id: str) -> str:
        node = self.service.node(int(state_id))
        return node.kind if node else ""

    def processors(self, node: Node) -> list[str]:
        """Return the people of a node; ``meta.state_processors`` and handing over replace the flow's own."""
        given = {**(self.meta.get("state_processors") or {}), **self.delivered}
        names = given.get(str(node.state_id))
        if names is None and node.people_from:
            names = self.fields.get(node.people_from) or ""
        if names is None and node.starter:
            names = self.creator
        return split_names(str(names)) if names is not None else list(node.people)


def split_names(names: str) -> list[str]:
    """Split ``"a,b"`` as ITSM does: blanks belong to the names. A name given twice counts once."""
    return list(dict.fromkeys(name for name in names.split(",") if name))


def submitted_form(service: Service, form: Sequence[Field], values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return fields of the submit form with their values; choices are shown by their keys."""
    rows = [(one, values.get(one.key, one.default)) for one in form]
    # A form that was sent as null is shown as null; one that was not sent as an empty text.
    nulls = {one.key for one in form if one.type == "CUSTOM-FORM" and one.key in values}
    return [
        _row(service, one, value, "" if value is None and one.key not in nulls else value) for one, value in rows
    ]


def answered_form(service: Service, form: Iterable[Field], values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return fields of a step with their values, as logs and details show them."""
    rows = [(one, values.get(one.key, one.default)) for one in form]
    return [_row(service, one, value, one.shown(value)) for one, value in rows]


def _row(service: Service, one: Field, value: Any, shown: Any) -> dict[str, Any]:
    head = {"id": service.field_id(one.key), "key": one.key, "type": one.type, "name": one.name, "desc": one.desc}
    return head | {"value": value, "display_value": shown}
