# SPDX-License-Identifier: Apache-2.0
"""Every way a ticket can go, as recorded, happens the same way here; and what is stored of what was sent.

Compared are status, content type, the envelope without its message, and the data in full, except numbers, times
and addresses, of which the type is compared.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.record import EVIDENCE
from tests.sandbox.itsm.replay import TICKETS, WITHOUT_TICKET, Player, assert_same, comparable, reads_at
from tests.sandbox.receiver import Receiver

# Lists of the other services of the recorded installation: their rows are compared.
LISTS = {"get_services__all_of_two_catalogs"}


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    settings = Settings(start_delay=0, decision_delay=0, auto_approve_delay=0, log_services="built-in")
    with SandboxServer(settings) as server, Receiver() as receiver:
        yield Player(server=server, receiver=receiver)


@pytest.mark.parametrize(
    "ticket", TICKETS.values(), ids=[f"{one.situation}-{one.sn[-3:]}" for one in TICKETS.values()]
)
def test_a_recorded_ticket_goes_the_same_way(player, ticket):
    player.receiver.received.clear()
    player.receiver.arrived.clear()
    sn, opened = player.open(ticket)
    if opened is not None:
        assert_same(opened, ticket.named("create_ticket"))
    seen = {"opened"}
    for moment in player.play(ticket, sn):
        for there in reads_at(ticket, moment).values() if moment not in seen else ():
            assert_same(player.send(there, sn), there)
        seen.add(moment)
    for name in ("operate_ticket__withdraw_after_first_yes_default", "operate_node__terminate__"):
        if there := ticket.named(name):
            assert_same(player.send(there, sn), there)
    if there := ticket.named("callback"):
        here, recorded = comparable(player.receiver.wait().body), comparable(there["body"])
        # Of a terminated ticket, whoever ended it is among those who changed it only after the callback.
        assert set(recorded.pop("updated_by")) <= set(here.pop("updated_by"))
        assert here == recorded


@pytest.mark.parametrize("name", sorted(WITHOUT_TICKET))
def test_a_recorded_request_without_a_ticket_is_answered_as_it_was(player, name):
    there = WITHOUT_TICKET[name]
    if name in LISTS:
        here = player.send(there).json()
        assert {frozenset(one) for one in here["data"]} == {frozenset(one) for one in there["body"]["data"]}
    elif name.startswith("update_service"):
        again = {"id": player.services[56], "name": there["request"]["name"]}
        here = player.client.post("update_service", there["request"] | again)
        assert comparable(here["data"]) == comparable(there["body"]["data"])
    else:
        assert_same(player.send(there), there)


def test_every_recording_is_replayed():
    of_tickets = [name for one in TICKETS.values() for name in one.exchanges]
    assert sorted([*of_tickets, *WITHOUT_TICKET]) == sorted(EVIDENCE)
    assert len(EVIDENCE) == 692
