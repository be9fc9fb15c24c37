# SPDX-License-Identifier: Apache-2.0
"""Claims to send a message, on each of the store's databases: who has one, when it runs out, what ends it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import Engine

from airflow_provider_bkitsm.itsm.errors import ItsmConflictError
from airflow_provider_bkitsm.tickets.reminder_store import (
    LEASE_SECONDS,
    MOST_ATTEMPTS,
    MOST_SHOWN,
    SETTLED,
    Claim,
    NotNow,
    ReminderKey,
    ReminderState,
    ReminderStore,
    StoredReminder,
)

NOON = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
KEY = ReminderKey(
    bkitsm_conn_id="bkitsm_default",
    sn="REQ1",
    kind="remind",
    after_seconds=3600.0,
    sender="0123456789abcdef",
    opened_at=NOON - timedelta(hours=1),
)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(engine: Engine, clock: Clock) -> ReminderStore:
    return ReminderStore(engine, now=clock)


def claimed(store: ReminderStore, key: ReminderKey = KEY) -> Claim:
    claim = store.claim(key)
    assert isinstance(claim, Claim)
    return claim


def test_a_message_is_claimed_once_and_settled_once_it_is_sent(store: ReminderStore) -> None:
    claim = claimed(store)
    assert store.claim(KEY) == NotNow(until=NOON + timedelta(seconds=LEASE_SECONDS))
    assert store.end(claim, ReminderState.SENT, recipients=["alice", "bob"])
    assert store.claim(KEY) == SETTLED
    assert store.states("bkitsm_default", "REQ1") == [("remind", 3600, "sent")]


@pytest.mark.parametrize(
    "other",
    [
        {"sn": "REQ2"},
        {"bkitsm_conn_id": "other"},
        {"kind": "escalate"},
        {"after_seconds": 7200.0},
        {"sender": "fedcba9876543210"},
    ],
    ids=str,
)
def test_another_message_is_not_settled_with_it(store: ReminderStore, other: dict[str, object]) -> None:
    store.end(claimed(store), ReminderState.SENT)
    assert isinstance(store.claim(replace(KEY, **other)), Claim)  # type: ignore[arg-type]


def test_of_many_who_claim_at_once_one_has_it(store: ReminderStore) -> None:
    start = Barrier(8)

    def claim(_: int) -> object:
        start.wait()
        return store.claim(KEY)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(claim, range(8)))
    assert sum(isinstance(one, Claim) for one in found) == 1
    assert all(isinstance(one, Claim | NotNow) for one in found)


def test_the_claim_of_a_killed_process_is_taken_over_when_it_runs_out(store: ReminderStore, clock: Clock) -> None:
    killed = claimed(store)
    clock.pass_by(LEASE_SECONDS - 1)
    assert isinstance(store.claim(KEY), NotNow)
    clock.pass_by(1)
    second = claimed(store)
    assert second.attempts == 2
    # Who was only slow has no say any more, and takes nothing from its successor.
    assert not store.end(killed, ReminderState.SENT)
    assert isinstance(store.claim(KEY), NotNow)
    assert store.end(second, ReminderState.SENT)


def test_of_many_who_take_over_at_once_one_does(store: ReminderStore, clock: Clock) -> None:
    claimed(store)
    clock.pass_by(LEASE_SECONDS)
    start = Barrier(6)

    def claim(_: int) -> object:
        start.wait()
        return store.claim(KEY)

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(claim, range(6)))
    assert sum(isinstance(one, Claim) for one in found) == 1


def test_a_failure_is_tried_again_after_pauses_and_a_few_times_only(store: ReminderStore, clock: Clock) -> None:
    pauses = []
    for attempt in range(1, MOST_ATTEMPTS + 1):
        claim = claimed(store)
        assert claim.attempts == attempt
        until = store.failed(claim)
        if until is not None:
            pauses.append((until - clock.now).total_seconds())
            assert store.claim(KEY) == NotNow(until=until)
            clock.now = until
    assert pauses == [60.0, 120.0]
    assert store.claim(KEY) == SETTLED
    assert store.states("bkitsm_default", "REQ1") == [("remind", 3600, "given_up")]


def test_a_process_that_is_killed_each_time_does_not_go_on_for_ever(store: ReminderStore, clock: Clock) -> None:
    for _ in range(MOST_ATTEMPTS):
        claimed(store)
        clock.pass_by(LEASE_SECONDS)
    assert store.claim(KEY) == SETTLED
    assert store.claim(KEY) == SETTLED


def test_what_was_put_off_is_no_attempt(store: ReminderStore, clock: Clock) -> None:
    for _ in range(2 * MOST_ATTEMPTS):
        claim, until = claimed(store), clock.now + timedelta(minutes=5)
        assert claim.attempts == 1
        store.put_off(claim, until)
        assert store.claim(KEY) == NotNow(until=until)
        clock.now = until
    assert isinstance(store.claim(KEY), Claim)


def test_a_message_that_counts_with_another_is_sent_no_more(store: ReminderStore) -> None:
    store.merge(KEY)
    store.merge(KEY)
    assert store.claim(KEY) == SETTLED


def test_one_that_is_being_sent_is_not_merged(store: ReminderStore) -> None:
    claim = claimed(store)
    store.merge(KEY)
    assert store.end(claim, ReminderState.SENT)


@pytest.mark.parametrize(("later", "same"), [(timedelta(minutes=5), True), (timedelta(days=30), False)])
def test_a_number_that_itsm_gave_twice_is_another_ticket(
    store: ReminderStore, later: timedelta, same: bool
) -> None:
    store.end(claimed(store), ReminderState.SENT)
    again: Callable[[], object] = lambda: store.claim(replace(KEY, opened_at=KEY.opened_at + later))  # noqa: E731
    assert (again() == SETTLED) is same
    assert (again() == SETTLED) is same


def test_that_a_message_was_sent_is_stored_at_once(store: ReminderStore) -> None:
    with store.sending(claimed(store), recipients=["alice"]) as note:
        note()
        assert store.claim(KEY) == SETTLED


def test_who_has_lost_the_claim_sends_nothing(store: ReminderStore, clock: Clock) -> None:
    slow = claimed(store)
    clock.pass_by(LEASE_SECONDS)
    claimed(store)
    with pytest.raises(ItsmConflictError, match="run out"), store.sending(slow, recipients=[]):
        pytest.fail("nothing may be sent")


def test_people_are_shown_what_was_sent_and_what_was_handed_over(store: ReminderStore, clock: Clock) -> None:
    escalated = replace(KEY, kind="escalate", after_seconds=7200.0, sender="")
    assert store.of_ticket("bkitsm_default", "REQ1", opened_at=KEY.opened_at) == []
    store.end(claimed(store), ReminderState.SENT, recipients=("alice", "bob"))
    clock.pass_by(60)
    claimed(store, escalated)
    found = store.of_ticket("bkitsm_default", "REQ1", opened_at=KEY.opened_at)
    known = {"kind": "remind", "after_seconds": 3600, "is_hand_over": False, "at": NOON}
    sent = StoredReminder(**known, state=ReminderState.SENT, recipients=("alice", "bob"))
    due = {"kind": "escalate", "after_seconds": 7200, "is_hand_over": True, "at": clock.now}
    assert found == [StoredReminder(**due, state=ReminderState.CLAIMED, recipients=()), sent]


def test_what_is_shown_is_of_this_ticket_only(store: ReminderStore) -> None:
    """Another connection's ticket has this number too, and a counter that began anew gave it an earlier one."""
    for other in ({"sn": "REQ2"}, {"bkitsm_conn_id": "other"}, {"opened_at": KEY.opened_at - timedelta(days=30)}):
        store.end(claimed(store, replace(KEY, **other)), ReminderState.SENT, recipients=("mallory",))
    assert store.of_ticket("bkitsm_default", "REQ1", opened_at=KEY.opened_at) == []


def test_the_rows_that_are_shown_are_limited_to_the_last_ones(store: ReminderStore, clock: Clock) -> None:
    for number in range(MOST_SHOWN + 3):
        clock.pass_by(1)
        store.merge(replace(KEY, after_seconds=float(number)))
    found = store.of_ticket("bkitsm_default", "REQ1", opened_at=KEY.opened_at)
    assert [one.after_seconds for one in found] == list(range(MOST_SHOWN + 2, 2, -1))
