# SPDX-License-Identifier: Apache-2.0
"""A ticket of ITSM v4: its form, its tasks, its log."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

DRAFT, RUNNING, SUSPENDED = "draft", "running", "suspended"
FINISHED, TERMINATED, REVOKED = "finished", "termination", "revoked"
OVER = frozenset({FINISHED, TERMINATED, REVOKED})


@dataclass(kw_only=True)
class Task:
    """What a step asks of its people.

    :param people: whom it asks; the first who answers, answers for all.
    :param status: ``running``, ``approve`` or ``refuse``.
    """

    id: str
    step: int
    people: list[str]
    status: str = RUNNING
    operator: str = ""
    at: float | None = None
    desc: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it waits for an answer."""
        return self.status == RUNNING


@dataclass(kw_only=True)
class Ticket:
    """A ticket.

    :param step: number of the step that waits; -1 before the first.
    """

    id: str
    sn: str
    tenant: str
    workflow_key: str
    system_id: str | None
    creator: str
    form: dict[str, Any]
    created_at: float
    updated_at: float
    options: dict[str, Any] = field(default_factory=dict)
    callback_url: str = ""
    callback_token: str = ""
    status: str = DRAFT
    step: int = -1
    refused: bool = False
    end_at: float | None = None
    tasks: list[Task] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    callback_result: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The title, which is a key of the form."""
        return str(self.form.get("ticket__title") or "")

    @property
    def over(self) -> bool:
        """Whether the ticket has ended."""
        return self.status in OVER

    @property
    def open_tasks(self) -> list[Task]:
        """The tasks that wait for an answer; none of a ticket that does not run."""
        return [one for one in self.tasks if one.is_open and one.step == self.step and not self.over]

    @property
    def waits_for(self) -> list[str]:
        """Whom it asks now, each once."""
        running = self.open_tasks if self.status == RUNNING else []
        return list(dict.fromkeys(name for task in running for name in task.people))

    @property
    def last_answer_by(self) -> str:
        """Who answered last."""
        return next((one.operator for one in reversed(self.tasks) if one.operator), "")

    def document(self) -> dict[str, Any]:
        """Return the ticket as it is stored."""
        return asdict(self)

    @classmethod
    def from_document(cls, body: dict[str, Any]) -> Ticket:
        """Read a stored ticket."""
        return cls(**body | {"tasks": [Task(**one) for one in body["tasks"]]})
