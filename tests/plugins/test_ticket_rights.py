# SPDX-License-Identifier: Apache-2.0
"""Who may do what with a ticket; what the list says of it is tested in test_views_tickets.py."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_bkitsm.plugins.ticket_rights import TicketRights
from tests.callback.conftest import gateway_of
from tests.plugins.people import Person

CREATOR = "robot"


def withdrawal(gateway, name: str, creator: str = CREATOR) -> tuple[bool, tuple[str, ...]]:
    async def read(_conn_id: str):
        return gateway

    return asyncio.run(TicketRights(read).withdrawal(Person(name=name), "bkitsm_default", creator))


@pytest.mark.parametrize(
    ("name", "allowed", "by"), [("robot", True, ()), ("admin", True, ()), ("alice", False, ("robot",))]
)
def test_who_opened_a_ticket_may_withdraw_it(sandbox, name, allowed, by):
    assert withdrawal(gateway_of(sandbox), name) == (allowed, by)


def test_of_v4_airflows_rights_alone_decide(sandbox):
    v4 = gateway_of(sandbox, dialect="v4", workflow_key="w", system_id="s")
    assert withdrawal(v4, "alice") == (True, ())


def test_without_a_creator_nobody_is_named(sandbox):
    assert withdrawal(gateway_of(sandbox), "alice", creator="") == (False, ())


def test_a_connection_that_is_gone_lets_nobody(sandbox):
    assert withdrawal(None, "robot") == (False, ())
