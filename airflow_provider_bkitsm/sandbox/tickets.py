# SPDX-License-Identifier: Apache-2.0
"""A ticket: what is known of it, and what follows from that. Its moves are in ``flow``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from airflow_provider_bkitsm.sandbox.services import Field, Node, Service

RUNNING, SUSPENDED = "RUNNING", "SUSPENDED"
FINISHED, TERMINATED, REVOKED = "FINISHED", "TERMINATED", "REVOKED"
ENDED = frozenset({FINISHED, TERMINATED, REVOKED})

NOT_STARTED, AT_SUBMIT = -1, 0


@dataclass(kw_only=True)
class Ticket:
    """One ticket.

    :param service: the version of the service it was opened in.
    :param node: where it is: -1 not started, 0 at the submit step, 1.. at the service's nodes.
    :param orphan: its flow never starts (reference 4.1.4).
    :param raced: withdrawn while its flow was starting; it goes on showing a step (reference 4.2).
    :param results: the verdict of each approval node visited, by ``state_id``.
    :param answered: who has answered on the current node, and what.
    :param queued: the current node has its answer and is being finished (``QUEUEING``).
    :param delivered: whom nodes were handed over to, by ``state_id``.
    :param values: what the nodes' fields hold.
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
    node: int = NOT_STARTED
    orphan: bool = False
    raced: bool = False
    end_at: float | None = None
    updated_by: list[str] = field(default_factory=list)
    last_approver: str = ""
    answered: dict[str, str] = field(default_factory=dict)
    queued: bool = False
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
        stored = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "service"}
        return stored | {"service_id": self.service_id}

    @property
    def service_id(self) -> int:
        """Number of its service."""
        return self.service.id

    @property
    def over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status in ENDED

    @property
    def started(self) -> bool:
        """Whether its flow has begun."""
        return self.node != NOT_STARTED

    @property
    def current_node(self) -> Node | None:
        """The step that waits for people, if any."""
        nodes = self.service.nodes
        return nodes[self.node - 1] if not self.over and 1 <= self.node <= len(nodes) else None

    @property
    def withdrawable(self) -> bool:
        """Whether it can be withdrawn: its flow allows it, has begun, and nobody has decided."""
        handled = bool(self.answered or self.results) or self.node > 1
        return self.service.revocable and self.started and not handled and not self.over

    @property
    def approve_result(self) -> bool:
        """ITSM's verdict: all visited approval nodes say yes; true if there is none (reference 5.3)."""
        return self.status == FINISHED and all(self.results.values())

    @property
    def waits_for(self) -> list[str]:
        """Whoever can answer now."""
        node = self.current_node
        return [name for name in self.processors(node) if name not in self.answered] if node else []

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
    """Split ``"a,b"``; a name given twice counts once."""
    return list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))


def form_data(service: Service, fields: Iterable[Field], values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return fields with their values, as logs and details show them."""
    return [
        {
            "id": service.field_id(one),
            "key": one.key,
            "type": one.type,
            "name": one.name,
            "desc": one.desc,
            "value": values.get(one.key, one.default),
            "display_value": one.shown(values.get(one.key, one.default)),
        }
        for one in fields
    ]
