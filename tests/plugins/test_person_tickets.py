# SPDX-License-Identifier: Apache-2.0
"""Whose tickets ITSM says they are, with the sandbox as ITSM."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.protocol import Front
from airflow_provider_bkitsm.plugins.itsm_reader import ItsmReader
from airflow_provider_bkitsm.plugins.person_tickets import PersonTickets
from tests.callback.conftest import FORM, gateway_of

CONN = "bkitsm_default"


@pytest.fixture
def gateways(sandbox, connections):
    return {CONN: gateway_of(sandbox)}


@pytest.fixture
def itsm(gateways) -> ItsmReader:
    async def gateway(conn_id: str):
        return gateways.get(conn_id)

    return ItsmReader(gateway=gateway)


@pytest.fixture
def tickets(itsm) -> PersonTickets:
    return PersonTickets(itsm)


@pytest.fixture
def opened(gateways, sandbox):
    """Return a maker of tickets that wait for an approver."""

    def make(creator: str = "robot", approver: str = "bob"):
        form = FORM | {"APPROVER": approver}
        sn = ItsmHook().create_ticket(creator=creator, fields=form, fast_approval=True).sn
        sandbox.wait_for_step(sn)
        return CONN, sn

    return make


def waiting(*tickets):
    return [(one, True) for one in tickets]


async def test_what_waits_for_me_and_what_i_asked_for_is_mine(tickets, opened):
    approves, asked, other = opened(approver="alice"), opened(creator="alice"), opened()
    found = await tickets.find("alice", waiting(approves, asked, other))
    assert found == (frozenset({approves, asked}), True)


async def test_two_searches_in_our_own_tickets_only(tickets, opened, sandbox):
    mine, foreign = opened(approver="alice"), opened(approver="alice")
    found, _ = await tickets.find("alice", waiting(mine))
    assert found == {mine}
    bodies = [one["body"] for one in sandbox.requests("get_tickets")]
    assert [body["sns"] for body in bodies] == [[mine[1]]] * 2
    assert foreign[1] not in str(bodies)


async def test_what_is_decided_is_mine_by_who_asked_for_it(tickets, opened, sandbox):
    one = opened(creator="alice", approver="alice")
    sandbox.approve(one[1])
    assert await tickets.find("alice", [(one, False)]) == ({one}, True)
    assert await tickets.find("bob", [(one, False)]) == (frozenset(), True)


async def test_each_person_has_their_own(tickets, opened):
    hers, his = opened(approver="alice"), opened(approver="bob")
    for _ in range(2):
        assert await tickets.find("alice", waiting(hers, his)) == ({hers}, True)
        assert await tickets.find("bob", waiting(hers, his)) == ({his}, True)


async def test_a_person_who_looks_again_asks_nothing_anew(tickets, opened, sandbox):
    one = opened(approver="alice")
    for _ in range(3):
        await tickets.find("alice", waiting(one))
    assert len(sandbox.requests("get_tickets")) == 2


async def test_the_esb_is_not_asked_whom_a_ticket_waits_for(tickets, opened, gateways, sandbox):
    asked, approves = opened(creator="alice"), opened(approver="alice")
    gateways[CONN] = replace(gateways[CONN], front=Front.ESB, root=sandbox.esb_url)
    assert await tickets.find("alice", waiting(asked, approves)) == ({asked}, True)


async def test_when_itsm_is_down_what_was_known_is_told(itsm, opened, gateways):
    one, tickets = opened(approver="alice"), PersonTickets(itsm, fresh_seconds=0.0)
    await tickets.find("alice", waiting(one))
    gateways.clear()
    assert await tickets.find("alice", waiting(one)) == ({one}, False)
    assert await tickets.find("bob", waiting(one)) == (frozenset(), False)


@pytest.mark.parametrize("ticket", [("", "REQ1"), (CONN, "")])
async def test_without_connection_or_number_nobody_is_asked(tickets, ticket, sandbox):
    assert await tickets.find("alice", waiting(ticket)) == (frozenset(), True)
    assert sandbox.requests("get_tickets") == []
