# SPDX-License-Identifier: Apache-2.0
"""What others do who may call ITSM: applications that open, edit and approve tickets, and administrators.

They know every public name, and see every ticket once it is there, with its tag and its title's marker. They do
not have the connection's secret.
"""

from __future__ import annotations

from typing import Any, Literal

from airflow_provider_bkitsm.itsm.idempotency import creation_tag
from airflow_provider_bkitsm.sandbox.itsm import ticket_endpoints
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import FAST_APPROVAL, LOG_COLLECTOR, TWO_APPROVALS
from airflow_provider_bkitsm.sandbox.itsm.tickets import Ticket
from tests.chaos.runs import DAG_ID, FIRST_TASK, Run
from tests.chaos.scene import Scene
from tests.chaos.tasks import title_and_form

EVE, MALLORY = "eve", "mallory"
_CONN = "bkitsm_default"
Edit = Literal["content", "title", "mark", "approver", "back"]
_APPROVERS = ("APPROVER", "approver", "approvals")


class Adversary:
    """Everybody else, in one scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.tickets: list[Ticket] = []
        self._originals: dict[int, dict[str, Any]] = {}

    def prepare(self, run: Run, *, creator: str, tagged: bool, approver: str = MALLORY) -> Ticket:
        """Open what asks for the same as a run, by the tag that older versions would have given it."""
        key = (
            ("approval_key", run.key)
            if run.key
            else (run.name, FIRST_TASK[run.kind], -1, run.of_task("").max_tries)
        )
        tag = creation_tag(_CONN, DAG_ID, *key)
        asked = title_and_form(run)
        form = {key: approver if key in _APPROVERS else value for key, value in asked["fields"].items()}
        title = f"{asked['title']} #{tag[:8]}"
        return self._open(creator, tag if tagged else None, {**form, "title": title}, asked.get("service_id"))

    def copy(self, ticket: Ticket, *, approver: str | None) -> Ticket:
        """Open a ticket with the tag and the title of one of ours.

        Such a ticket may be ended as the second one of an approval, where only its age tells it apart:
        who copies all of ours, and whoever copies a collector's.

        :param approver: None for whom ours asks.
        """
        people = {key: approver for key in _APPROVERS if key in ticket.fields and approver}
        form = {**ticket.fields, **people, "title": str(ticket.fields.get("title", ticket.title))}
        service = None if ticket.service_id == FAST_APPROVAL else ticket.service_id
        may_end = approver is None or service == LOG_COLLECTOR
        return self._open(ticket.creator, ticket.tag, form, service, may_end=may_end)

    def approve(self, ticket: Ticket) -> None:
        """Whoever is asked in a ticket of theirs is an accomplice."""
        while not ticket.over:
            self.scene.answer(ticket, ticket.waits_for[0], yes=True)

    def edit(self, ticket: Ticket, what: Edit) -> None:
        """Change what one of our open tickets shows, or change it back."""
        shown = dict(ticket.fields)
        people = [key for key in _APPROVERS if key in shown]
        content = next(key for key in sorted(shown) if key not in (*people, "title", "bk_biz_id"))
        original = self._originals.setdefault(ticket.id, shown)
        changes: dict[Edit, dict[str, Any]] = {
            "content": {content: "something harmless"},
            "title": {"title": "something harmless " + str(ticket.title)[-9:]},
            "mark": {"title": "something harmless"},
            "approver": dict.fromkeys(people, MALLORY),
            # Who was asked first is asked no more, once somebody else has answered: nobody shows that.
            "back": {key: value for key, value in original.items() if key not in people},
        }
        ticket_endpoints.edit(ticket, changes[what])
        # Also if it is changed back: a task that looked for it meanwhile has asked in another one.
        self.scene.edited.add(ticket.id)

    def delete_second_step(self) -> None:
        """An administrator deletes a step of the live workflow, while tickets are at it."""
        self.scene.sandbox.world.services.delete_node(TWO_APPROVALS, 1302, signal=True)

    def _open(
        self, creator: str, tag: str | None, form: dict[str, Any], service: int | None, *, may_end: bool = False
    ) -> Ticket:
        body: dict[str, Any] = {
            "creator": creator,
            "fields": [{"key": key, "value": value} for key, value in form.items()],
            **({"fast_approval": True} if service is None else {"service_id": service}),
            **({"tag": tag} if tag else {}),
        }
        ticket = self.scene.sandbox.world.one(self.scene.ask("create_ticket", body)["sn"])
        self.tickets.append(ticket)
        if not may_end:
            self.scene.promises.note_foreign(ticket)
        return ticket
