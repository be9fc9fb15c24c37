# SPDX-License-Identifier: Apache-2.0
"""The shared poll's schedule: who is asked about when, and what failures do. No clock, no network."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.schedule import Schedule

DOWN = errors.ItsmUnavailableError("down")
CODED = errors.ItsmUnavailableError("down", code=1650200)
PAGE = errors.ItsmUnavailableError("expected ITSM's JSON envelope, got HTTP 200 with text/html")
CODELESS = errors.ItsmUnexpectedAnswerError("expected a list of ApprovalResult from ITSM")
TIMEOUT = errors.ItsmTimeoutError("no answer")
CRASH = errors.ItsmCrashError("crash", code="SERVER_500_ERROR")


def schedule(*tickets, chunk=50, interval=10.0, now=0.0) -> Schedule:
    made = Schedule(chunk=chunk, chance=lambda: 0.0)
    for sn in tickets:
        made.add(sn, interval=interval, now=now)
    return made


def names(count, start=0):
    return [f"REQ{number:06d}" for number in range(start, start + count)]


def taken(plan, now):
    """Take and answer everything that is due."""
    batches = []
    while batch := plan.next_batch(now):
        batches.append(batch)
        plan.answered(batch)
    return batches


def test_a_new_ticket_is_asked_about_at_once_and_then_once_a_round():
    plan = schedule("A")
    assert plan.wake_at(0) == 0
    assert taken(plan, 0) == [("A",)]
    assert plan.wake_at(0) == 10
    assert taken(plan, 9.9) == []
    assert taken(plan, 10) == [("A",)]
    assert plan.wake_at(10) == 20


def test_those_of_one_interval_share_their_rounds_however_late_they_came():
    plan = schedule(*names(3))
    taken(plan, 0)
    for moment, sn in enumerate(names(4, start=3), start=1):
        plan.add(sn, interval=10.0, now=moment)
        assert taken(plan, moment) == [(sn,)]
    assert [len(one) for one in taken(plan, 10)] == [7]


@pytest.mark.parametrize(("tickets", "requests"), [(1, 1), (50, 1), (51, 2), (1000, 20)])
def test_a_round_takes_as_few_batches_as_it_can(tickets, requests):
    plan = schedule(*names(tickets))
    taken(plan, 0)
    assert len(taken(plan, 10)) == requests


def test_the_connection_may_change_how_many_a_batch_holds():
    plan = schedule(*names(100))
    plan.limit_to(20)
    assert [len(one) for one in taken(plan, 0)] == [20] * 5
    plan.failed(plan.next_batch(10), DOWN, 10, timed_out=True)
    for now in range(20, 200, 10):
        taken(plan, now)
    assert plan.chunk == 20


def test_rounds_come_a_little_early_never_late():
    plan = Schedule(chance=lambda: 1.0)
    plan.add("A", interval=10.0, now=0)
    taken(plan, 0)
    taken(plan, 10)
    assert plan.wake_at(10) == 19.5


def test_the_shortest_interval_counts():
    plan = schedule("A")
    plan.add("A", interval=2.0, now=0)
    taken(plan, 0)
    assert plan.wake_at(0) == 2
    plan.discard("A")
    assert plan.wake_at(0) is None


def test_a_longer_interval_changes_nothing():
    plan = schedule("A", interval=2.0)
    plan.add("A", interval=10.0, now=0)
    taken(plan, 0)
    assert plan.wake_at(0) == 2


def test_to_wait_for_a_ticket_once_more_does_not_put_its_round_off():
    plan = schedule("A")
    taken(plan, 0)
    plan.add("A", interval=10.0, now=5)
    assert taken(plan, 5) == [("A",)]
    assert plan.wake_at(5) == 10


def test_one_look_is_enough_for_a_new_ticket():
    plan = schedule("A")
    plan.answered(plan.next_batch(0))
    assert plan.wake_at(0) == 10


def test_a_round_nobody_is_in_any_more_wakes_nobody():
    plan = schedule("A", "B")
    plan.add("A", interval=3.0, now=0)
    taken(plan, 0)
    plan.discard("B")
    wakes, now = [], 0.0
    for _ in range(5):
        now = plan.wake_at(now)
        wakes.append(now)
        taken(plan, now)
    assert wakes == [3, 6, 9, 12, 15]


def test_a_round_ends_with_the_last_who_is_in_it():
    plan = schedule("A", "B")
    taken(plan, 0)
    plan.discard("A")
    assert plan.wake_at(0) == 10
    plan.discard("B")
    plan.add("C", interval=25.0, now=0)
    taken(plan, 0)
    assert plan.wake_at(0) == 25


@pytest.mark.parametrize(("hurried", "again"), [(9.0, [("A",)]), (9.9, [])])
def test_whoever_was_just_asked_about_is_left_out_of_a_round(hurried, again):
    plan = schedule("A")
    taken(plan, 0)
    plan.hurry("A")
    taken(plan, hurried)
    assert taken(plan, 10) == again


def test_short_rounds_leave_nobody_out():
    plan = schedule("A", interval=0.2)
    taken(plan, 0)
    assert taken(plan, 0.2) == [("A",)]


def test_whoever_has_left_is_not_asked_about():
    plan = schedule("A", "B")
    taken(plan, 0)
    plan.discard("A")
    assert (taken(plan, 10), len(plan)) == ([("B",)], 1)
    plan.discard("B")
    assert plan.wake_at(10) is None


def test_nobody_is_asked_about_twice_at_the_same_time():
    plan = schedule("A")
    assert plan.next_batch(0) == ("A",)
    plan.hurry("A")
    assert plan.next_batch(100) == ()


def test_a_deadline_can_hurry_a_ticket():
    plan = schedule("A", "B")
    taken(plan, 0)
    plan.hurry("B")
    assert taken(plan, 3) == [("B",)]


def test_a_batch_that_fails_beside_one_that_is_answered_blocks_nobody():
    plan = schedule(*names(4), chunk=2)
    first = plan.next_batch(0)
    second = plan.next_batch(0)
    plan.failed(first, DOWN, 0)
    plan.answered(second)
    assert taken(plan, 9) == []
    assert sorted(taken(plan, 10)) == [first, second]


def test_an_answer_that_was_under_way_when_an_outage_began_does_not_end_it():
    plan = schedule(*names(6), chunk=2)
    before, first = plan.next_batch(0), plan.next_batch(0)
    plan.failed(first, CODED, 1)
    plan.answered(before)
    assert plan.is_down
    plan.answered(plan.next_batch(10))
    assert not plan.is_down


def room(plan, now) -> int:
    """Take as many batches as may be asked at the same time."""
    batches = []
    while plan.has_room and (batch := plan.next_batch(now)):
        batches.append(batch)
    for batch in batches:
        plan.answered(batch, seconds=1.5)
    return len(batches)


def test_batches_are_asked_side_by_side_only_where_one_after_the_other_is_late():
    plan = schedule(*names(400), interval=60.0)
    assert room(plan, 0) == 1
    assert room(plan, 0) == 2
    while plan.next_batch(0):
        pass
    plan = schedule(*names(400), interval=60.0)
    taken(plan, 0)
    assert room(plan, 60) == 1
    assert room(plan, 62) == 1
    assert room(plan, 66) == 2


def test_a_probe_that_hangs_does_not_keep_others_from_being_sent():
    plan = schedule(*names(400), interval=5.0)
    plan.failed(plan.next_batch(0), CODED, 0)
    assert [len(plan.next_batch(now)) for now in (5, 7, 10, 15)] == [50, 0, 50, 50]
    assert plan.has_room


def test_after_an_outage_everybody_is_asked_about_in_few_batches():
    plan = schedule(*names(4), chunk=2)
    batches = [plan.next_batch(5), plan.next_batch(5)]
    for batch in batches:
        plan.failed(batch, CODED, 5)
    assert taken(plan, 14) == []
    assert taken(plan, 15) == batches


def test_a_ticket_that_spoils_its_batches_is_soon_alone():
    plan, spoilt = schedule(*names(16), chunk=16), "REQ000005"
    now, seen = 0.0, set()
    for _ in range(200):
        batch = plan.next_batch(now)
        if not batch:
            now = plan.wake_at(now)
        elif spoilt in batch:
            plan.failed(batch, CRASH, now)
            if batch == (spoilt,):
                break
        else:
            plan.answered(batch)
            seen |= set(batch)
    assert batch == (spoilt,)
    assert seen == set(names(16)) - {spoilt}


def test_a_timeout_halves_the_chunk_and_good_answers_grow_it_slowly():
    plan = schedule(*names(400), chunk=40)
    batch = plan.next_batch(0)
    plan.failed(batch, DOWN, 0, timed_out=True)
    assert plan.chunk == 20
    taken(plan, 0)
    assert plan.chunk > 20
    for now in range(10, 200, 10):
        taken(plan, now)
    assert plan.chunk == 40


def test_it_never_gets_smaller_than_one():
    plan = schedule("A", chunk=1)
    plan.failed(plan.next_batch(0), DOWN, 0, timed_out=True)
    assert plan.chunk == 1


def test_it_grows_after_every_eighth_good_answer():
    plan = schedule(*names(400), chunk=40)
    plan.failed(plan.next_batch(0), DOWN, 0, timed_out=True)
    sizes = []
    for _ in range(17):
        plan.answered(plan.next_batch(0))
        sizes.append(plan.chunk)
    assert sizes == [20] * 7 + [25] * 8 + [30] * 2


def test_a_small_limit_is_come_back_to_one_by_one():
    plan = schedule(*names(40), chunk=4)
    plan.failed(plan.next_batch(0), DOWN, 0, timed_out=True)
    for _ in range(8):
        plan.answered(plan.next_batch(0))
    assert plan.chunk == 3


def test_an_answer_forgets_the_failures_before():
    plan = schedule("A")
    plan.failed(plan.next_batch(0), DOWN, 0)
    assert taken(plan, 20) == [("A",)]
    plan.failed(plan.next_batch(30), DOWN, 30)
    assert plan.next_batch(39) == ()
    assert plan.next_batch(40) == ("A",)


def test_a_failing_ticket_that_is_waited_for_anew_is_asked_about_at_once():
    plan = schedule("A")
    plan.failed(plan.next_batch(0), DOWN, 0)
    plan.discard("A")
    plan.add("A", interval=10.0, now=1)
    assert plan.next_batch(1) == ("A",)


def test_failures_with_answers_between_pause_nobody_once_they_are_expected():
    plan = schedule(*names(20), chunk=1)
    plan.failed(plan.next_batch(0), CODED, 0)
    plan.answered(plan.next_batch(10))
    for _ in range(8):
        plan.failed(plan.next_batch(10), CODED, 10)
        plan.answered(plan.next_batch(10))
    assert plan.next_batch(10)


def test_many_expected_failures_in_a_row_are_an_outage_all_the_same():
    plan = schedule(*names(20), chunk=1)
    plan.failed(plan.next_batch(0), CODED, 0)
    plan.answered(plan.next_batch(10))
    for _ in range(5):
        plan.failed(plan.next_batch(10), CODED, 10)
    assert plan.next_batch(10) == ()
    assert plan.wake_at(10) <= 10 + 16


@pytest.mark.parametrize(
    "kind", [errors.ItsmAuthenticationError, errors.ItsmPermissionError, errors.ItsmRateLimitedError]
)
def test_who_is_not_let_in_pauses_for_all_whatever_the_code(kind):
    plan = schedule(*names(10), chunk=1)
    for _ in range(3):
        plan.failed(plan.next_batch(0), kind("no", code=1640301), 0)
    assert plan.next_batch(0) == ()


@pytest.mark.parametrize("code", [None, 1650200, 1650401, 1306201, "1308201", "500"])
def test_an_outage_with_a_code_is_about_no_ticket(code):
    plan = schedule(*names(8), chunk=4)
    for _ in range(3):
        plan.failed(plan.next_batch(0), errors.ItsmUnavailableError("down", code=code), 0)
    assert plan.next_batch(0) == ()
    assert all(len(batch) == 4 for batch in taken(plan, 60))


def test_a_crash_of_itsm_may_be_about_one_ticket_of_the_batch():
    plan = schedule(*names(8), chunk=8)
    plan.failed(plan.next_batch(0), CRASH, 0)
    assert [len(batch) for batch in taken(plan, 60)] == [4, 4]


@pytest.mark.parametrize("error", [CRASH, PAGE], ids=["crash", "page"])
def test_p1_tickets_that_are_known_to_fail_are_no_outage_however_many(error):
    plan, spoilt, now, seen = schedule(*names(1000), interval=60.0), set(names(10, start=500)), 0.0, {}
    while now < 3600:
        batch = plan.next_batch(now)
        if not batch:
            now = plan.wake_at(now)
        elif spoilt & set(batch):
            plan.failed(batch, error, now)
        else:
            plan.answered(batch, seconds=0.3)
            for sn in batch:
                seen.setdefault(sn, []).append(now)
    late = [later - earlier for moments in seen.values() for earlier, later in pairwise(moments) if earlier > 900]
    assert set(seen) == set(names(1000)) - spoilt
    assert max(late) <= 60


def test_a_ticket_that_is_known_to_hang_makes_no_batch_smaller():
    plan, now, hung, chunks = schedule(*names(400), interval=60.0), 0.0, "REQ000007", set()
    while now < 3600:
        batch = plan.next_batch(now)
        if not batch:
            now = plan.wake_at(now)
        elif hung in batch:
            now += 10
            plan.failed(batch, TIMEOUT, now, timed_out=True)
        else:
            plan.answered(batch, seconds=0.3)
        chunks |= {plan.chunk} if now > 1800 else set()
    assert chunks == {50}


@pytest.mark.parametrize("error", [DOWN, CODED, PAGE], ids=["refused", "coded", "page"])
def test_p1_half_of_itsms_servers_down_costs_everybody_some_intervals_and_nobody_hours(error):
    plan, chance = schedule(*names(400), interval=60.0), random.Random(3)
    now, seen, sent = 0.0, {sn: [0.0] for sn in names(400)}, 0
    while now < 4 * 3600:
        batch = plan.next_batch(now)
        if not batch:
            now = max(now + 0.1, plan.wake_at(now))
            continue
        now, sent = now + 0.5, sent + 1
        if chance.random() < 0.5:
            plan.failed(batch, error, now)
            continue
        plan.answered(batch, seconds=0.5)
        for sn in batch:
            seen[sn].append(now)
    longest = max(later - earlier for moments in seen.values() for earlier, later in pairwise([*moments, now]))
    assert longest <= 25 * 60
    assert sent <= 60 * 4 * 60


def test_failures_of_those_who_left_pause_whoever_comes_for_a_second():
    plan = schedule(*names(3), chunk=1)
    batches = [plan.next_batch(0) for _ in range(3)]
    for batch in batches:
        plan.discard(batch[0])
    for batch in batches:
        plan.failed(batch, DOWN, 0)
    plan.add("A", interval=10.0, now=0)
    assert (plan.next_batch(0.9), plan.next_batch(1)) == ((), ("A",))


@pytest.mark.parametrize("error", [DOWN, CODED, PAGE, errors.ItsmRateLimitedError("slow down")])
def test_p1_an_outage_costs_a_request_an_interval_and_no_more(error):
    plan, requests = schedule(*names(2000), interval=60.0), []
    now = 0.0
    while now < 600:
        batch = plan.next_batch(now)
        if batch:
            requests.append(now)
            plan.failed(batch, error, now)
        else:
            now = plan.wake_at(now)
    assert requests == list(range(0, 600, 60))
    assert sum(map(len, taken(plan, 600))) == 2000


def test_batches_that_were_asked_side_by_side_fail_once():
    plan = schedule(*names(40), interval=2.0, chunk=10)
    batches = [plan.next_batch(0) for _ in range(4)]
    for batch in batches:
        plan.failed(batch, CODED, 0)
    assert plan.wake_at(0) == 2


def test_a_short_interval_asks_less_often_in_an_outage_but_not_much():
    plan, asked, now = schedule("A", interval=0.5), [], 0.0
    while now < 60:
        if batch := plan.next_batch(now):
            asked.append(now)
            plan.failed(batch, DOWN, now)
        now = max(plan.wake_at(now), now)
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses[:3] == [0.5, 1, 2]
    assert set(pauses[3:]) == {4}


def test_a_long_interval_is_probed_every_five_minutes_in_an_outage():
    plan = schedule("A", interval=3600.0)
    plan.failed(plan.next_batch(0), DOWN, 0)
    assert plan.wake_at(0) == 300


def test_p1_a_new_wait_is_asked_about_at_once_in_an_outage():
    plan = schedule("A", interval=60.0)
    plan.failed(plan.next_batch(0), DOWN, 0)
    plan.add("B", interval=60.0, now=7)
    assert plan.wake_at(7) == 7
    assert plan.next_batch(7) == ("B",)
    plan.answered(("B",))
    assert taken(plan, 7) == [("A",)]


def test_a_crowd_of_new_waits_in_an_outage_is_one_request():
    plan = schedule("A", interval=60.0)
    plan.failed(plan.next_batch(0), DOWN, 0)
    for sn in names(500):
        plan.add(sn, interval=60.0, now=7)
    plan.failed(plan.next_batch(7), DOWN, 7)
    assert plan.next_batch(10) == ()
    assert plan.wake_at(10) == 67


def test_a_deadline_that_passes_in_an_outage_asks_nothing_of_its_own():
    plan = schedule(*names(50), interval=60.0)
    for number, sn in enumerate(names(50)):
        plan.ask_at(sn, 1.0 + number)
    plan.failed(plan.next_batch(0), DOWN, 0)
    assert [plan.next_batch(now) for now in range(1, 60)] == [()] * 59
    assert plan.next_batch(60)


def test_a_pause_that_was_asked_for_is_kept_by_all():
    plan = schedule(*names(4), chunk=2)
    plan.failed(plan.next_batch(0), errors.ItsmRateLimitedError("slow down", retry_after=45), 0)
    assert plan.next_batch(44) == ()
    assert plan.wake_at(0) == 45
    assert plan.next_batch(45)


@pytest.mark.parametrize("error", [errors.ItsmAuthenticationError("no"), errors.ItsmPermissionError("no")])
def test_who_is_refused_asks_more_and_more_seldom_up_to_five_minutes(error):
    plan, now, asked = schedule("A", interval=5.0), 0.0, []
    while len(asked) < 10:
        batch = plan.next_batch(now)
        if batch:
            asked.append(now)
            plan.failed(batch, error, now)
        now = max(now + 1, plan.wake_at(now))
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300, 300]


def test_a_refusal_is_for_all_who_wait_but_not_that_of_a_new_wait():
    plan, refused = schedule("A", interval=60.0), errors.ItsmPermissionError("no")
    assert plan.failed(plan.next_batch(0), refused, 0)
    plan.add("B", interval=60.0, now=5)
    assert not plan.failed(plan.next_batch(5), refused, 5)
    assert plan.failed(plan.next_batch(500), refused, 500)
    assert not plan.failed(plan.next_batch(900), DOWN, 900)


SPOILS = [CRASH, CODELESS, PAGE, errors.ItsmInvalidRequestError("no", code=3900003)]


@pytest.mark.parametrize("others", [30, 49, 500])
@pytest.mark.parametrize("spoils", [{"BAD"}, {"BAD", "REQ000007", "REQ000020"}])
@pytest.mark.parametrize("error", SPOILS, ids=["crash", "unexpected", "page", "invalid"])
def test_p1_a_ticket_that_cannot_be_asked_about_blocks_nobody_else(error, spoils, others):
    plan, now, seen, requests = schedule(*names(others), "BAD", interval=60.0), 0.0, {}, 0
    while now < 3600:
        batch = plan.next_batch(now)
        if not batch:
            now = plan.wake_at(now)
            continue
        requests += 1
        if spoils & set(batch):
            plan.failed(batch, error, now)
            continue
        plan.answered(batch)
        for sn in batch:
            seen.setdefault(sn, []).append(now)
    innocent = set(names(others)) - spoils
    assert set(seen) == innocent
    assert max(moments[0] for moments in seen.values()) <= 180
    late = [later - earlier for moments in seen.values() for earlier, later in pairwise(moments) if earlier > 400]
    assert max(late) <= 60
    assert requests < 60 * (others // 50 + 2 + len(spoils))


def test_p1_a_short_interval_starves_no_longer_one_when_itsm_is_slow():
    plan = Schedule(chunk=50, chance=lambda: 0.5)
    for sn in names(5000):
        plan.add(sn, interval=5.0, now=0.0)
    longer = names(100, start=9000)
    for sn in longer:
        plan.add(sn, interval=60.0, now=0.0)
    now, asked = 0.0, {sn: [] for sn in longer}
    while now < 3600:
        batch = plan.next_batch(now)
        assert batch
        now += 1.5
        plan.answered(batch, seconds=1.5)
        for sn in set(batch) & set(longer):
            asked[sn].append(now)
    assert min(map(len, asked.values())) >= 15


def test_who_was_not_answered_is_asked_about_before_those_of_the_next_round():
    plan = schedule(*names(4), chunk=2, interval=5.0)
    first = plan.next_batch(0)
    plan.answered(first)
    assert plan.next_batch(5) == tuple(names(2, start=2))


def test_rounds_of_many_intervals_are_few():
    plan = Schedule(chance=lambda: 0.0)
    for number, sn in enumerate(names(1000)):
        plan.add(sn, interval=60.0 + number / 100, now=0)
    taken(plan, 0)
    assert len(taken(plan, 75)) <= 25


def test_a_ticket_that_is_asked_about_for_long_is_given_back_to_its_round():
    plan = schedule("A", interval=10.0)
    batch = plan.next_batch(0)
    assert plan.next_batch(25) == ()
    plan.answered(batch)
    assert plan.next_batch(25) == ("A",)


@settings(deadline=None)
@given(tickets=st.integers(1, 300), chunk=st.integers(1, 60))
def test_p1_everybody_is_in_every_round_once(tickets, chunk):
    plan = schedule(*names(tickets), chunk=chunk)
    taken(plan, 0)
    asked = [sn for batch in taken(plan, 10) for sn in batch]
    assert sorted(asked) == names(tickets)


class Polling(RuleBasedStateMachine):
    """Whatever happens, everybody who waits is asked about again, and nobody twice at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.plan, self.now = Schedule(chunk=4), 0.0
        self.waiting: set[str] = set()
        self.asking: list[tuple[str, ...]] = []

    @rule(number=st.integers(0, 12), interval=st.sampled_from([1.0, 5.0, 60.0]))
    def add(self, number, interval):
        self.plan.add(f"T{number}", interval=interval, now=self.now)
        self.waiting.add(f"T{number}")

    @rule(number=st.integers(0, 12))
    def discard(self, number):
        self.plan.discard(f"T{number}")
        self.waiting.discard(f"T{number}")

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def ask(self):
        batch = self.plan.next_batch(self.now)
        assert len(batch) <= 4
        assert set(batch) <= self.waiting
        assert not set(batch) & {sn for one in self.asking for sn in one}
        if batch:
            self.asking.append(batch)

    @rule(error=st.sampled_from([None, DOWN, CRASH, errors.ItsmRateLimitedError("r", retry_after=9)]))
    def answer(self, error):
        if self.asking:
            batch = self.asking.pop(0)
            if error is None:
                self.plan.answered(batch)
            else:
                self.plan.failed(batch, error, self.now, timed_out=error is DOWN)

    @invariant()
    def somebody_is_due_within_the_longest_pause(self):
        assert (self.plan.wake_at(self.now) is None) == (not self.waiting)

    def teardown(self):
        for batch in self.asking:
            self.plan.answered(batch)
        seen: set[str] = set()
        for _ in range(3000):
            batch = self.plan.next_batch(self.now)
            self.plan.answered(batch)
            seen |= set(batch)
            if not batch:
                self.now = max(self.now, self.plan.wake_at(self.now) or self.now) + 0.001
        assert self.waiting <= seen


TestPolling = Polling.TestCase
TestPolling.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_an_appointment_is_kept_before_its_round():
    plan = schedule("A", "B", interval=3600)
    taken(plan, 0)
    plan.ask_at("A", 7.0)
    assert plan.wake_at(0) == 7
    assert taken(plan, 6.9) == []
    assert taken(plan, 7) == [("A",)]
    assert plan.wake_at(7) == 3600


def test_an_appointment_of_a_ticket_nobody_waits_for_any_more_asks_nothing():
    plan = schedule("A", "B", interval=3600)
    taken(plan, 0)
    plan.ask_at("A", 7.0)
    plan.discard("A")
    assert taken(plan, 7) == []


def test_appointments_of_the_past_do_not_pile_up():
    plan = schedule("A", interval=3600)
    for sn in names(500):
        plan.add(sn, interval=3600, now=0)
        plan.ask_at(sn, 7.0)
        plan.discard(sn)
    assert len(plan._appointments) < 150
