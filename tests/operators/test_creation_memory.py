# SPDX-License-Identifier: Apache-2.0
"""What a retry knows of the tries before it (promises P2 and P7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_bkitsm.itsm.models import CreatedTicket
from airflow_provider_bkitsm.operators.creation_memory import CreationMemory

TICKET = CreatedTicket(sn="REQ1", id=7, ticket_url="https://itsm.example.com/7")


class States(dict[str, Any]):
    """A task state store."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


def memory(states: States | None, *, asking: str = "t", retried: bool = True) -> CreationMemory:
    return CreationMemory(states, asking=asking, retried=retried)


@pytest.mark.parametrize(("retried", "seconds"), [(False, 0), (True, 120)])
def test_p2_without_a_store_every_retry_expects_a_lost_ticket(retried, seconds):
    assert memory(None, retried=retried).may_appear_for(120) == seconds


def test_a_retry_that_knows_nothing_was_asked_for_waits_for_nothing():
    assert memory(States()).may_appear_for(120) == 0


@pytest.mark.parametrize(("passed", "left"), [(0, 120), (50, 70), (120, 0), (500, 0)])
def test_p2_a_lost_ticket_is_expected_as_long_as_it_may_appear(passed, left):
    states = States()
    memory(states).begins("Go live")
    now = datetime.now(UTC) + timedelta(seconds=passed)
    assert memory(states).may_appear_for(120, now=now) == pytest.approx(left, abs=1)


def test_p2_a_number_that_was_stored_is_known_to_the_next_try():
    states = States()
    first = memory(states)
    assert first.ticket is None
    first.begins("Go live")
    first.knows(TICKET)
    assert memory(states).ticket == TICKET


def test_another_rounds_ticket_is_not_known():
    states = States()
    one = memory(states)
    one.begins("Go live")
    one.knows(TICKET)
    other = memory(states, asking="other")
    assert (other.ticket, other.may_appear_for(120)) == (None, 0)


def test_p5_a_lost_ticket_of_an_earlier_round_is_expected_as_well():
    states = States()
    memory(states).begins("Go live")
    other = memory(states, asking="other")
    assert other.ticket is None
    assert other.may_appear_for(120) == pytest.approx(120, abs=1)


def test_p2_a_ticket_asked_for_after_one_was_known_is_expected():
    states = States()
    one = memory(states)
    one.knows(TICKET)
    one.begins("Go live")
    again = memory(states)
    assert again.ticket is None
    assert again.may_appear_for(120) == pytest.approx(120, abs=1)


def test_p8_what_is_stored_holds_no_secret():
    states = States()
    one = memory(states)
    one.begins("Go live")
    one.knows(TICKET)
    assert set(states["bkitsm_ticket"]) == {"asking", "since", "began", "title", "sn", "id", "ticket_url"}


def test_what_is_known_already_is_not_written_again():
    states = States()
    memory(states).knows(TICKET)
    states.set = None
    memory(states).knows(TICKET)


def test_a_rounds_beginning_and_its_title_are_known_to_the_next_try():
    states = States()
    first = memory(states)
    first.begins("Go live")
    again, other = memory(states), memory(states, asking="other")
    assert (again.since, again.title) == (first.since, "Go live")
    assert other.since >= first.since
    assert other.title == ""
