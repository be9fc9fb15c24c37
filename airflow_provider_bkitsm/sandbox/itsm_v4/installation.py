# SPDX-License-Identifier: Apache-2.0
"""The state of ITSM v4: systems, workflows, tickets, and how it behaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from airflow_provider_bkitsm.sandbox.database import Database
from airflow_provider_bkitsm.sandbox.itsm_v4.switches import Switches
from airflow_provider_bkitsm.sandbox.itsm_v4.tickets import Ticket
from airflow_provider_bkitsm.sandbox.itsm_v4.workflows import Refusal, Workflow, seeded
from airflow_provider_bkitsm.sandbox.times import shanghai

SYSTEM, TOKEN = "airflow", "sandbox-system-token"
"""The system that the sandbox begins with, and its token."""


class InstallationV4:
    """One installation.

    :param tenants: those it knows; several make the tenant's header mandatory.
    """

    def __init__(self, *, database: Database, clock: Callable[[], float], tenants: tuple[str, ...]) -> None:
        self.switches = Switches()
        self.tenants = tenants
        self.clock = clock
        self._database = database
        self.systems: dict[str, str] = {SYSTEM: TOKEN} | database.load("v4_system")
        self.workflows = {one.key: one for tenant in tenants for one in seeded(SYSTEM, tenant)}
        self.tickets = {key: Ticket.from_document(body) for key, body in database.load("v4_ticket").items()}
        self._numbers = len(self.tickets) * 10

    @property
    def is_multi_tenant(self) -> bool:
        """Whether a request has to name its tenant."""
        return len(self.tenants) > 1

    def number(self) -> str:
        """Return a new id: 10, the second, and a counter."""
        self._numbers += 1
        second = "".join(letter for letter in shanghai(self.clock()) if letter.isdigit())
        return f"10{second}{self._numbers:08d}"

    def add(self, workflow: Workflow, **values: Any) -> Ticket:
        """Store a new ticket, which is a draft. Numbers for people repeat between tenants."""
        now = self.clock()
        day = shanghai(now)[:10].replace("-", "")
        of_tenant = Counter(one.tenant for one in self.tickets.values())[workflow.tenant] + 1
        ticket = Ticket(
            id=self.number(),
            sn=f"{workflow.sn_prefix}{day}{of_tenant:08d}",
            tenant=workflow.tenant,
            workflow_key=workflow.key,
            created_at=now,
            updated_at=now,
            **values,
        )
        self.save(ticket)
        return ticket

    def save(self, ticket: Ticket) -> None:
        """Write a ticket through."""
        self.tickets[ticket.id] = ticket
        self._database.save("v4_ticket", ticket.id, ticket.document())

    def ticket(self, number: object, tenant: str) -> Ticket:
        """Return a tenant's ticket.

        :raises Refusal: it has none of this id.
        """
        found = self.tickets.get(number) if isinstance(number, str) else None
        if found is None or found.tenant != tenant:
            raise Refusal("单据不存在")
        return found

    def add_system(self, code: str, token: str) -> None:
        """Register a system.

        :raises Refusal: it exists.
        """
        if code in self.systems:
            raise Refusal(f"(1062, \"Duplicate entry '{code}' for key 'code'\")")
        self.systems[code] = token
        self._database.save("v4_system", code, token)

    def add_workflows(self, system: str, found: list[Workflow]) -> None:
        """Register workflows, and their system if it is new.

        :raises Refusal: a key exists.
        """
        taken = [one.key for one in found if one.key in self.workflows]
        if taken:
            raise Refusal(f"{', '.join(taken)} 已存在")
        self.systems.setdefault(system, "")
        self.workflows |= {one.key: one for one in found}

    def workflow(self, key: object, tenant: str) -> Workflow:
        """Return a tenant's workflow.

        :raises Refusal: it has none of this key.
        """
        found = self.workflows.get(key) if isinstance(key, str) else None
        if found is None or found.tenant != tenant:
            raise Refusal("流程不存在")
        return found
