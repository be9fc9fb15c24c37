# SPDX-License-Identifier: Apache-2.0
"""Whose a ticket is, and what its approval counts for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.tickets.ownership import (
    ANYONE,
    AwaitedTicket,
    TicketOwner,
    TicketRecords,
    likeliest,
    ownership_of,
)
from airflow_provider_bkitsm.tickets.ownership import (
    OwnershipKind as Kind,
)

TICKET = AwaitedTicket(sn="REQ1", bkitsm_conn_id="itsm", dag_id="dag", run_id="run", opened_by="ask")
PLAIN = replace(TICKET, opened_by=None)
ASK = TicketOwner(dag_id="dag", run_id="run", task_id="ask")
CHAIRS = TicketOwner(dag_id="chairs", run_id="run", task_id="ask")
SINCE = datetime(2026, 11, 29, tzinfo=UTC)
APPROVED = Verdict(sn="REQ1", outcome=Outcome.APPROVED, reason="approved", current_status="FINISHED")

CASES = {
    "its own": (TICKET, TicketRecords(rounds={-1: "REQ1"}, owner=ASK), Kind.OWN),
    "that of one of its mapped tasks": (TICKET, TicketRecords(rounds={0: "REQ0", 1: "REQ1"}), Kind.OWN),
    "that of the mapped task it is said to be": (
        replace(TICKET, opened_by="ask[1]"),
        TicketRecords(rounds={0: "REQ0", 1: "REQ1"}),
        Kind.OWN,
    ),
    "that of another one of its mapped tasks": (
        replace(TICKET, opened_by="ask[0]"),
        TicketRecords(rounds={0: "REQ0", 1: "REQ1"}),
        Kind.FOREIGN,
    ),
    "that of the mapped task at this place, where one opened none": (
        replace(TICKET, opened_by="ask[0]"),
        TicketRecords(rounds={0: None, 1: "REQ1", 2: "REQ2"}),
        Kind.OWN,
    ),
    "that of a task that is mapped no more": (
        replace(TICKET, opened_by="ask[3]"),
        TicketRecords(rounds={-1: "REQ1"}),
        Kind.OWN,
    ),
    "another one": (TICKET, TicketRecords(rounds={-1: "REQ2"}), Kind.FOREIGN),
    "an earlier round's": (TICKET, TicketRecords(rounds={-1: "REQ2"}, owner=ASK), Kind.FOREIGN),
    "one of a round that has none yet": (TICKET, TicketRecords(rounds={-1: None}), Kind.FOREIGN),
    "another DAG's, and nothing of its own": (TICKET, TicketRecords(owner=CHAIRS), Kind.FOREIGN),
    "without any record": (TICKET, TicketRecords(since=SINCE), Kind.UNRECORDED),
    "without a record where not all is recorded": (TICKET, TicketRecords(complete=False), Kind.UNCLAIMED),
    "another one where not all is recorded": (
        TICKET,
        TicketRecords(rounds={-1: "REQ2"}, complete=False),
        Kind.FOREIGN,
    ),
    "anyone's": (replace(TICKET, opened_by=ANYONE), TicketRecords(owner=CHAIRS), Kind.UNCLAIMED),
    "the author's own number": (PLAIN, TicketRecords(), Kind.UNCLAIMED),
    "the author's, of this run": (PLAIN, TicketRecords(owner=ASK), Kind.OWN),
    "the author's, shared in this DAG": (PLAIN, TicketRecords(owner=replace(ASK, run_id="")), Kind.OWN),
    "the author's, of this run's namesake": (
        PLAIN,
        TicketRecords(owner=replace(ASK, elsewhere=True)),
        Kind.UNRECORDED,
    ),
    "the author's, of another run": (
        PLAIN,
        TicketRecords(owner=replace(ASK, run_id="other")),
        Kind.FOREIGN,
    ),
    "the author's, of another DAG": (PLAIN, TicketRecords(owner=CHAIRS), Kind.FOREIGN),
    "the author's, shared in another DAG": (
        PLAIN,
        TicketRecords(owner=replace(CHAIRS, run_id="")),
        Kind.FOREIGN,
    ),
}


@pytest.mark.parametrize(("ticket", "records", "claim"), CASES.values(), ids=CASES)
def test_p3_whose_a_ticket_is(ticket, records, claim):
    assert ownership_of(ticket, records).kind is claim


REFUSALS = {Kind.FOREIGN: Reason.NOT_ITS_TICKET, Kind.UNRECORDED: Reason.NOT_RECORDED}


@pytest.mark.parametrize(("ticket", "records", "claim"), CASES.values(), ids=CASES)
def test_p3_the_approval_of_a_ticket_that_is_not_its_own_is_none(ticket, records, claim):
    counted = ownership_of(ticket, records).applied_to(APPROVED)
    if claim not in REFUSALS:
        assert counted == APPROVED
    else:
        assert (counted.outcome, counted.reason_code) == (Outcome.REJECTED, REFUSALS[claim])
        assert "REQ1" in counted.describe()


@pytest.mark.parametrize(("ticket", "records", "claim"), CASES.values(), ids=CASES)
def test_p6_a_task_ends_only_what_may_release_it(ticket, records, claim):
    assert ownership_of(ticket, records).may_be_ended is (claim not in REFUSALS)


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.APPROVED])
def test_what_is_not_approved_stays_as_it_is(outcome):
    verdict = replace(APPROVED, outcome=outcome)
    assert ownership_of(TICKET, TicketRecords(rounds={-1: "REQ2"})).applied_to(verdict) == verdict


EACH = {
    Kind.OWN: TicketRecords(rounds={-1: "REQ1"}, since=SINCE),
    Kind.UNCLAIMED: TicketRecords(complete=False),
    Kind.UNRECORDED: TicketRecords(since=SINCE),
    Kind.FOREIGN: TicketRecords(rounds={-1: "REQ2"}),
}


@pytest.mark.parametrize("one", EACH)
@pytest.mark.parametrize("other", EACH)
def test_p3_of_two_tasks_one_has_to_have_opened_it(one, other):
    both = [ownership_of(TICKET, EACH[one]), ownership_of(replace(TICKET, opened_by="other"), EACH[other])]
    found = likeliest(both)
    assert found.kind == min(one, other, key=list(EACH).index)
    if one is other and one is not Kind.OWN:
        assert "ask" in found.text
        assert "other" in found.text


def test_a_refusal_names_both_tickets_and_who_opened_them():
    said = ownership_of(TICKET, TicketRecords(rounds={-1: "REQ2"}, owner=CHAIRS)).applied_to(APPROVED).describe()
    for part in ("REQ1", "task ask opened REQ2", "task ask of run run of DAG chairs opened"):
        assert part in said


def test_a_wait_that_is_meant_for_another_run_is_told_how_to_say_so():
    text = ownership_of(PLAIN, TicketRecords(owner=CHAIRS)).text
    assert 'opened_by="anyone"' in text
    assert "REQ1 was opened by task ask of run run of DAG chairs" in text


@pytest.mark.parametrize(
    ("opened", "since", "counts"),
    [(-1, SINCE, True), (0, SINCE, False), (1, SINCE, False), (-1, None, False)],
)
def test_a_ticket_of_before_there_were_records_counts_as_it_did_then(opened, since, counts):
    found = ownership_of(TICKET, TicketRecords(since=since))
    assert not found.is_settled
    counted = found.of_ticket_opened_at(SINCE + timedelta(seconds=opened)).applied_to(APPROVED)
    assert (counted.outcome is Outcome.APPROVED) == counts


def test_p3_however_old_a_ticket_is_it_is_not_another_tasks():
    foreign = ownership_of(TICKET, TicketRecords(rounds={-1: "REQ2"}, since=SINCE))
    assert foreign.of_ticket_opened_at(SINCE - timedelta(days=1)) == foreign
