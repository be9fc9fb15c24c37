# SPDX-License-Identifier: Apache-2.0
"""The state machine: every event in every state, then invariants over random histories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from airflow_provider_bkitsm.collectors import state
from airflow_provider_bkitsm.collectors.clean_config import digest
from airflow_provider_bkitsm.collectors.errors import (
    CollectItsmConflict,
    CollectItsmHasApply,
    CollectItsmNotFound,
)
from airflow_provider_bkitsm.collectors.row import CollectorRow, CollectorState, Owner, new_row
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.outcome import Outcome
from tests.tables import table

T0 = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
T1 = T0 + timedelta(hours=1)
MINE = Owner(dag_id="dag", run_id="run", task_id="apply")
OTHER = replace(MINE, run_id="another run")
PAYLOAD: dict[str, Any] = {"etl_config": "bk_log_text", "table_id": "t", "retention": 7}

NOBODY = new_row("bklog", 7, now=T0)
INTENT = state.apply(NOBODY, payload=PAYLOAD, tag="tag1", owner=MINE, now=T0)
OPEN = state.ticket_opened(INTENT, tag="tag1", sn="SN1", url="http://itsm/1", now=T0)
REJECTED = state.decided(OPEN, sn="SN1", outcome="rejected", detail={"who": "carol"}, now=T0)
APPROVED = state.decided(OPEN, sn="SN1", outcome="approved", detail={"who": "carol"}, now=T0)
PROVISIONED = state.provisioned(APPROVED, sn="SN1", result={"index_set_id": 3}, now=T0)
SUCCESS = state.complete(PROVISIONED, sn="SN1", now=T0)
REFUSED = state.create_refused(INTENT, tag="tag1", reason="no", now=T0)
FAILED = state.fail(REJECTED, sn="SN1", reason="no", now=T0)
TIMED_OUT = state.fail(OPEN, sn="SN1", reason="no", now=T0)
ETL_FAILED = state.fail(APPROVED, sn="SN1", reason="no", now=T0)
SETTING = "[bkitsm] collect_itsm = off"
BYPASSED = state.bypass(NOBODY, payload=PAYLOAD, tag="tag1", owner=MINE, setting=SETTING, now=T0)
BYPASSED_PROVISIONED = state.provisioned(BYPASSED, tag="tag1", result={"index_set_id": 3}, now=T0)
BYPASSED_SUCCESS = state.complete(BYPASSED_PROVISIONED, tag="tag1", now=T0)
BYPASSED_FAILED = state.fail(BYPASSED, tag="tag1", reason="no", now=T0)

ROWS = {
    "nobody": NOBODY,
    "intent": INTENT,
    "open": OPEN,
    "no": REJECTED,
    "yes": APPROVED,
    "etl": PROVISIONED,
    "done": SUCCESS,
    "refused": REFUSED,
    "failed": FAILED,
    "late": TIMED_OUT,
    "no etl": ETL_FAILED,
    "b": BYPASSED,
    "b etl": BYPASSED_PROVISIONED,
    "b done": BYPASSED_SUCCESS,
    "b fail": BYPASSED_FAILED,
}

Event = Callable[[CollectorRow], CollectorRow]


def _bypass(row: CollectorRow, owner: Owner) -> CollectorRow:
    return state.bypass(row, payload=PAYLOAD, tag="tag2", owner=owner, setting=SETTING, now=T1)


EVENTS: dict[str, Event] = {
    "apply mine": lambda row: state.apply(row, payload=PAYLOAD, tag="tag2", owner=MINE, now=T1),
    "apply other": lambda row: state.apply(row, payload=PAYLOAD, tag="tag2", owner=OTHER, now=T1),
    "bypass mine": lambda row: _bypass(row, MINE),
    "bypass other": lambda row: _bypass(row, OTHER),
    "recreate": lambda row: state.recreate(row, tag="tag1", seen=T0, now=T1),
    "recreate old tag": lambda row: state.recreate(row, tag="tag0", seen=T0, now=T1),
    "recreate late": lambda row: state.recreate(row, tag="tag1", seen=T1, now=T1),
    "opened": lambda row: state.ticket_opened(row, tag="tag1", sn="SN1", url="http://itsm/1", now=T1),
    "opened other sn": lambda row: state.ticket_opened(row, tag="tag1", sn="SN2", now=T1),
    "opened no sn": lambda row: state.ticket_opened(row, tag="tag1", sn="", now=T1),
    "opened old tag": lambda row: state.ticket_opened(row, tag="tag0", sn="SN0", now=T1),
    "refused": lambda row: state.create_refused(row, tag="tag1", reason="no", now=T1),
    "refused old tag": lambda row: state.create_refused(row, tag="tag0", reason="no", now=T1),
    "approved": lambda row: state.decided(row, sn="SN1", outcome="approved", detail={"who": "carol"}, now=T1),
    "rejected": lambda row: state.decided(row, sn="SN1", outcome="rejected", now=T1),
    "approved old sn": lambda row: state.decided(row, sn="SN0", outcome="approved", now=T1),
    "resume": lambda row: state.resume(row, sn="SN1", now=T1),
    "resume old sn": lambda row: state.resume(row, sn="SN0", now=T1),
    "provisioned": lambda row: state.provisioned(row, sn="SN1", result={"index_set_id": 3}, now=T1),
    "provisioned anew": lambda row: state.provisioned(row, sn="SN1", result={"index_set_id": 4}, now=T1),
    "provisioned old sn": lambda row: state.provisioned(row, sn="SN0", result={}, now=T1),
    "etl failed": lambda row: state.etl_failed(row, sn="SN1", reason="down", now=T1),
    "etl failed old sn": lambda row: state.etl_failed(row, sn="SN0", reason="down", now=T1),
    "complete": lambda row: state.complete(row, sn="SN1", now=T1),
    "complete old sn": lambda row: state.complete(row, sn="SN0", now=T1),
    **{
        f"{name}{of}": (lambda row, step=step, tag=tag: step(row, tag=tag, now=T1))
        for of, tag in ((" by tag", "tag1"), (" by old tag", "tag0"), (" unnamed", None))
        for name, step in (
            ("resume", state.resume),
            ("provisioned", lambda row, **given: state.provisioned(row, **given, result={"index_set_id": 3})),
            ("etl failed", lambda row, **given: state.etl_failed(row, **given, reason="down")),
            ("complete", state.complete),
        )
    },
    "fail": lambda row: state.fail(row, sn="SN1", reason="why", now=T1),
    "fail old sn": lambda row: state.fail(row, sn="SN0", reason="why", now=T1),
    "fail by tag": lambda row: state.fail(row, tag="tag1", reason="why", now=T1),
    "fail by old tag": lambda row: state.fail(row, tag="tag0", reason="why", now=T1),
    "fail unnamed": lambda row: state.fail(row, reason="why", now=T1),
}

# What each event makes of each row, those named b needing no approval: "." unchanged, "new" a new application, "+"
# changed within its state, A/F/S changed to applying, fail_apply, success_apply, and the errors H has-apply, C
# conflict, N not found.
# fmt: off
TABLE = """
                       nobody intent open no  yes etl done refused failed late no_etl b   b_etl b_done b_fail
apply_mine             new    .      .    .   .   .   new  new     new    new  new    .   .     new    new
apply_other            new    H      H    H   H   H   new  new     new    new  new    H   H     new    new
bypass_mine            new    .      .    .   .   .   new  new     new    new  new    .   .     new    new
bypass_other           new    H      H    H   H   H   new  new     new    new  new    H   H     new    new
recreate               N      +      C    C   C   C   C    C       C      C    C      C   C     C      C
recreate_old_tag       N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
recreate_late          N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
opened                 N      +      .    .   .   .   .    C       .      .    .      C   C     C      C
opened_other_sn        N      +      C    C   C   C   C    C       C      C    C      C   C     C      C
opened_no_sn           N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
opened_old_tag         N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
refused                N      F      C    C   C   C   C    .       C      C    C      C   C     C      C
refused_old_tag        N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
approved               N      C      +    .   .   .   .    C       .      +    .      C   C     C      C
rejected               N      C      +    .   .   .   .    C       .      +    .      C   C     C      C
approved_old_sn        N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
resume                 N      C      .    .   .   .   .    C       C      C    A      C   C     C      C
resume_old_sn          N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
provisioned            N      C      C    C   +   .   .    C       C      C    C      C   C     C      C
provisioned_anew       N      C      C    C   +   +   +    C       C      C    C      C   C     C      C
provisioned_old_sn     N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
etl_failed             N      C      +    +   +   +   +    C       +      +    +      C   C     C      C
etl_failed_old_sn      N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
complete               N      C      C    C   C   S   .    C       C      C    C      C   C     C      C
complete_old_sn        N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
resume_by_tag          N      .      .    .   .   .   .    C       C      C    A      .   .     .      A
provisioned_by_tag     N      C      C    C   +   .   .    C       C      C    C      +   .     .      C
etl_failed_by_tag      N      +      +    +   +   +   +    +       +      +    +      +   +     +      +
complete_by_tag        N      C      C    C   C   S   .    C       C      C    C      C   S     .      C
resume_by_old_tag      N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
provisioned_by_old_tag N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
etl_failed_by_old_tag  N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
complete_by_old_tag    N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
resume_unnamed         N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
provisioned_unnamed    N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
etl_failed_unnamed     N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
complete_unnamed       N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
fail                   N      C      F    F   F   F   C    C       .      .    .      C   C     C      C
fail_old_sn            N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
fail_by_tag            N      F      F    F   F   F   C    .       .      .    .      F   F     C      .
fail_by_old_tag        N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
fail_unnamed           N      C      C    C   C   C   C    C       C      C    C      C   C     C      C
"""
# fmt: on
ERRORS = {"H": CollectItsmHasApply, "C": CollectItsmConflict, "N": CollectItsmNotFound}
STATES = {
    "new": CollectorState.APPLYING,
    "A": CollectorState.APPLYING,
    "F": CollectorState.FAIL_APPLY,
    "S": CollectorState.SUCCESS_APPLY,
}


def _cells() -> list[tuple[str, str, str]]:
    head, *lines = (line.split() for line in TABLE.strip().splitlines())
    return [
        (event.replace("_", " "), column.replace("_", " "), cell)
        for event, *cells in lines
        for column, cell in zip(head, cells, strict=True)
    ]


def test_the_table_names_every_row_and_event() -> None:
    cells = _cells()
    assert {event for event, _, _ in cells} == set(EVENTS)
    assert {row for _, row, _ in cells} == set(ROWS)
    assert {row.state for row in ROWS.values()} == set(CollectorState)


@table(("event", "name", "expected"), _cells())
def test_every_event_in_every_state(event: str, name: str, expected: str) -> None:
    row = ROWS[name]
    if expected in ERRORS:
        with pytest.raises(ERRORS[expected]) as caught:
            EVENTS[event](row)
        assert type(caught.value) is ERRORS[expected]
        assert "Collector 7 (bklog)" in str(caught.value)
        return
    after = EVENTS[event](row)
    if expected == ".":
        assert after is row
        return
    assert after != row
    assert (after.updated_at, after.created_at, after.version) == (T1, T0, row.version)
    assert after.state is STATES.get(expected, row.state)
    assert after.application == row.application + (expected == "new")


@pytest.mark.parametrize(
    ("event", "name"),
    [(event, row) for event, row, cell in _cells() if cell in {"+", "A", "F", "S"} and event != "recreate"],
)
def test_every_event_may_be_delivered_twice(event: str, name: str) -> None:
    once = EVENTS[event](ROWS[name])
    assert EVENTS[event](once) is once


# What a person reads who has to sort it out: which ticket, whose application, how it stands.
REFUSALS: list[tuple[CollectorRow, Event, str]] = [
    (OPEN, EVENTS["recreate"], "the application is applying and its ticket is SN1."),
    (INTENT, EVENTS["recreate late"], "its ticket is being opened by another try."),
    (
        OPEN,
        EVENTS["opened other sn"],
        "ticket SN2 cannot be taken, the application is applying and its ticket is SN1.",
    ),
    (
        INTENT,
        EVENTS["opened no sn"],
        "ticket (no number) cannot be taken, the application is applying and its ticket is none.",
    ),
    (REFUSED, EVENTS["opened"], "ticket SN1 cannot be taken, the application is fail_apply"),
    (OPEN, EVENTS["refused"], "this application has SN1."),
    (
        OPEN,
        EVENTS["fail old sn"],
        "ticket SN0 is not the ticket of its current application (SN1, held by task apply ",
    ),
    (INTENT, EVENTS["fail"], "ticket SN1 is not the ticket of its current application (not known yet, held by "),
    (OPEN, lambda row: state.fail(row, sn="", reason="why", now=T1), "ticket (no number) is not the ticket of "),
    (
        OPEN,
        EVENTS["fail by old tag"],
        "the application marked tag0 is not the current one, which task apply of run ",
    ),
    (OPEN, EVENTS["fail unnamed"], "the application marked (nothing) is not the current one"),
    (FAILED, EVENTS["resume"], "cannot be resumed: ticket SN1 is rejected."),
    (OPEN, EVENTS["provisioned"], "cannot be provisioned: ticket SN1 is not decided yet."),
    (REJECTED, EVENTS["complete"], "cannot be completed: ticket SN1 is rejected."),
    (
        ETL_FAILED,
        EVENTS["provisioned"],
        "cannot be provisioned: its application (ticket SN1 is approved) has failed (no).",
    ),
    (
        ETL_FAILED,
        EVENTS["complete"],
        "cannot be completed: its application (ticket SN1 is approved) has failed (no).",
    ),
    (
        APPROVED,
        EVENTS["complete"],
        "ticket SN1 is approved, but its ETL was not applied yet (no attempt is recorded).",
    ),
    (SUCCESS, EVENTS["fail"], "has completed (ticket SN1 is approved)"),
    (INTENT, EVENTS["apply other"], "by task apply of run run of DAG dag (ticket: not known yet)."),
    (OPEN, EVENTS["apply other"], "(ticket: SN1 http://itsm/1)."),
    (replace(OPEN, ticket_url=None), EVENTS["apply other"], "(ticket: SN1)."),
]


@pytest.mark.parametrize(("row", "event", "told"), REFUSALS)
def test_a_refusal_tells_which_ticket_and_how_it_stands(row: CollectorRow, event: Event, told: str) -> None:
    with pytest.raises(ItsmError) as caught:
        event(row)
    assert told in str(caught.value)


@pytest.mark.parametrize("row", [BYPASSED, OPEN])
def test_no_ticket_is_to_be_withdrawn_where_none_came_p5(row: CollectorRow) -> None:
    for event in ("recreate", "recreate old tag", "refused", "refused old tag"):
        with pytest.raises(CollectItsmConflict) as caught:
            EVENTS[event](row)
        assert "Withdraw" not in str(caught.value)
        assert str(caught.value).endswith(
            ("a retry is refused.", "looks for it again.", "goes on with that ticket.")
        )


def test_p5_a_ticket_of_an_older_application_is_to_be_withdrawn() -> None:
    with pytest.raises(CollectItsmConflict, match=r"is not the current one.*Withdraw ticket SN0: "):
        EVENTS["opened old tag"](OPEN)


@pytest.mark.parametrize("tag", ["t", "t" * 32])
def test_a_tag_may_be_as_short_or_as_long_as_itsm_keeps_it(tag: str) -> None:
    assert state.apply(FAILED, payload=PAYLOAD, tag=tag, owner=MINE, now=T1).tag == tag


def test_a_new_application_counts_on_from_what_is_stored() -> None:
    row = state.apply(replace(FAILED, version=5, application=3), payload=PAYLOAD, tag="tag2", owner=MINE, now=T1)
    assert (row.version, row.application) == (5, 4)


def test_a_ticket_is_stored_with_its_address() -> None:
    assert (OPEN.ticket_sn, OPEN.ticket_url) == ("SN1", "http://itsm/1")


@pytest.mark.parametrize(
    ("row", "event"),
    [(INTENT, "opened"), (APPROVED, "provisioned"), (PROVISIONED, "complete"), (ETL_FAILED, "resume")],
)
def test_what_went_wrong_is_forgotten_once_it_went_right(row: CollectorRow, event: str) -> None:
    assert EVENTS[event](replace(row, last_error="down")).last_error is None


def test_apply_stores_the_intent_and_nothing_of_the_application_before_p7() -> None:
    row = state.apply(SUCCESS, payload=PAYLOAD, tag="tag2", owner=OTHER, now=T1)
    assert row == CollectorRow(
        bklog_conn_id="bklog",
        collector_config_id=7,
        state=CollectorState.APPLYING,
        tag="tag2",
        etl_payload=PAYLOAD,
        etl_digest=digest(PAYLOAD),
        owner=OTHER,
        application=2,
        create_started_at=T1,
        created_at=T0,
        updated_at=T1,
    )


def test_bypass_stores_the_intent_and_what_allows_it_p7() -> None:
    row = state.bypass(SUCCESS, payload=PAYLOAD, tag="tag2", owner=OTHER, setting=SETTING, now=T1)
    applied = state.apply(SUCCESS, payload=PAYLOAD, tag="tag2", owner=OTHER, now=T1)
    why = {"setting": SETTING}
    assert row == replace(applied, bypassed_tag="tag2", outcome_detail=why, create_started_at=None)
    assert (row.is_bypassed, row.standing) == (True, f"no approval is needed ({SETTING})")


def test_p3_a_bypass_has_to_name_its_setting() -> None:
    with pytest.raises(ValueError, match="which setting"):
        state.bypass(NOBODY, payload=PAYLOAD, tag="tag2", owner=MINE, setting="", now=T1)


@pytest.mark.parametrize("name", ROWS)
def test_p3_only_bypass_makes_an_application_one_that_needs_no_approval(name: str) -> None:
    """No event makes it one, and whatever makes another application ends it."""
    row = ROWS[name]
    for event, deliver in EVENTS.items():
        try:
            after = deliver(row)
        except ItsmError:
            continue
        anew = after.application != row.application
        assert after.is_bypassed == (event.startswith("bypass") if anew else row.is_bypassed), event


@pytest.mark.parametrize("row", [INTENT, OPEN, REJECTED, REFUSED, FAILED, TIMED_OUT])
@pytest.mark.parametrize("bypassed_tag", ["tag0", ""])
def test_p3_a_bypass_never_speaks_for_another_application(row: CollectorRow, bypassed_tag: str) -> None:
    """As an older version would leave it, which applies anew and does not know the column."""
    row = replace(row, bypassed_tag=bypassed_tag)
    assert not row.is_bypassed
    for event in ("provisioned by tag", "complete by tag"):
        with pytest.raises(CollectItsmConflict):
            EVENTS[event](row)


@pytest.mark.parametrize("row", [OPEN, REJECTED, FAILED, TIMED_OUT])
def test_p3_an_application_with_a_ticket_needs_its_approval_whatever_is_stored_beside(row: CollectorRow) -> None:
    assert not replace(row, bypassed_tag=row.tag).is_bypassed


@pytest.mark.parametrize("row", [BYPASSED_FAILED, BYPASSED_SUCCESS])
def test_the_tag_of_a_bypassed_application_is_used_once(row: CollectorRow) -> None:
    with pytest.raises(ValueError, match="new tag"):
        state.apply(row, payload=PAYLOAD, tag="tag1", owner=MINE, now=T1)


def test_p5_a_ticket_for_an_application_that_needs_none_is_to_be_withdrawn() -> None:
    with pytest.raises(CollectItsmConflict, match=r"takes no ticket.*Withdraw ticket SN1"):
        EVENTS["opened"](BYPASSED)


def test_another_run_is_told_that_no_ticket_holds_it_up_p2() -> None:
    with pytest.raises(CollectItsmHasApply, match="ticket: none is needed"):
        EVENTS["apply other"](BYPASSED)


def test_a_retry_keeps_tag_ticket_and_payload_p2() -> None:
    """P2: the approver is asked once, about the payload of the first try."""
    row = state.apply(OPEN, payload={"other": 1}, tag="tag2", owner=replace(MINE), now=T1)
    assert (row.tag, row.ticket_sn, row.etl_payload) == ("tag1", "SN1", PAYLOAD)


@pytest.mark.parametrize("changed", [{"task_id": "x"}, {"map_index": 0}, {"dag_id": "x"}, {"run_id": "x"}])
def test_every_part_of_the_owner_counts_p2(changed: dict[str, Any]) -> None:
    with pytest.raises(CollectItsmHasApply, match=r"SN1 http://itsm/1.*No second ticket"):
        state.apply(OPEN, payload=PAYLOAD, tag="tag2", owner=replace(MINE, **changed), now=T1)


@pytest.mark.parametrize("tag", ["", "x" * 33, "tag1"])
def test_a_new_application_needs_a_usable_tag_of_its_own_p2(tag: str) -> None:
    """P2: searching by a used tag would find the ticket of the application before."""
    with pytest.raises(ValueError, match="new tag"):
        state.apply(FAILED, payload=PAYLOAD, tag=tag, owner=MINE, now=T1)


def test_of_two_tries_that_saw_the_same_only_one_creates_again_p2() -> None:
    claimed = state.recreate(INTENT, tag="tag1", seen=T0, now=T1)
    assert claimed.create_started_at == T1
    with pytest.raises(CollectItsmConflict, match="No second ticket"):
        state.recreate(claimed, tag="tag1", seen=T0, now=T1)


def test_p7_what_is_sent_is_stored_with_the_intent_and_no_retry_changes_it() -> None:
    request = {"service_id": 5, "creator": "carol", "fields": {"title": "t"}, "detail_field": "d"}
    asked = {"payload": PAYLOAD, "owner": MINE, "now": T1}
    row = state.apply(FAILED, tag="tag2", request=request, **asked)
    assert row.request == request
    assert state.apply(row, tag="tag3", request={"service_id": 6}, **asked).request == request
    assert state.recreate(row, tag="tag2", seen=T1, request={"service_id": 6}, now=T1).request == request
    assert state.recreate(row, tag="tag2", seen=T1, now=T1).request == request
    assert state.apply(state.fail(row, tag="tag2", reason="no", now=T1), tag="tag3", **asked).request is None


def test_an_intent_without_what_is_sent_gets_it_when_it_is_sent_again() -> None:
    """An older version stored the intent."""
    assert INTENT.request is None
    assert state.recreate(INTENT, tag="tag1", seen=T0, request={"service_id": 5}, now=T1).request == {
        "service_id": 5
    }


def test_a_ticket_that_came_too_late_is_to_be_withdrawn_p5() -> None:
    for row in (REFUSED, state.apply(REFUSED, payload=PAYLOAD, tag="tag2", owner=OTHER, now=T1)):
        with pytest.raises(CollectItsmConflict, match="Withdraw ticket SN1"):
            EVENTS["opened"](row)


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.WAITING])
def test_the_first_verdict_stands(outcome: Outcome) -> None:
    row = state.decided(OPEN, sn="SN1", outcome=outcome.value, detail={"remark": "so"}, now=T1)
    assert (row.outcome, row.outcome_detail) == (outcome, {"remark": "so"})
    for later in ("approved", "rejected"):
        assert state.decided(row, sn="SN1", outcome=later, now=T1) is row


@pytest.mark.parametrize(("outcome", "told"), [("waiting", "still open"), ("", "Outcome"), ("yes", "'yes'")])
def test_what_is_no_verdict_is_never_stored_p3(outcome: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        state.decided(OPEN, sn="SN1", outcome=outcome, now=T1)


@pytest.mark.parametrize("outcome", [one for one in Outcome if one not in {Outcome.WAITING, Outcome.APPROVED}])
def test_nothing_but_an_approval_lets_the_etl_run_p3(outcome: Outcome) -> None:
    row = state.decided(OPEN, sn="SN1", outcome=outcome, now=T1)
    with pytest.raises(CollectItsmConflict, match=f"is {outcome}"):
        state.provisioned(row, sn="SN1", now=T1)


def test_approved_alone_is_not_complete_p7() -> None:
    """P7: the error says what is missing, and what went wrong with it."""
    row = state.etl_failed(APPROVED, sn="SN1", reason="cluster full", now=T1)
    with pytest.raises(CollectItsmConflict, match=r"ETL was not applied yet \(cluster full\)"):
        state.complete(row, sn="SN1", now=T1)


def test_provisioning_and_completing_clear_the_error() -> None:
    row = state.etl_failed(APPROVED, sn="SN1", reason="down", now=T0)
    row = state.provisioned(row, sn="SN1", result={"a": 1}, now=T1)
    assert (row.last_error, row.provisioned_at, row.etl_result) == (None, T1, {"a": 1})


def test_a_reason_is_made_storable() -> None:
    row = state.fail(OPEN, sn="SN1", reason="\x00bad\ud800" + "x" * 9000, now=T1)
    assert row.last_error is not None
    assert row.last_error.startswith("bad?x")
    assert len(row.last_error) == 4000


class Histories(RuleBasedStateMachine):
    """Random histories of one collector; tickets and tags of every application so far keep knocking."""

    def __init__(self) -> None:
        super().__init__()
        self.row = NOBODY
        self.now = T0
        self.tags = ["tag-never"]
        self.sns = ["SN-never"]
        self.verdicts: dict[int, Outcome] = {}
        self.bypassed: set[int] = set()
        self.tickets: dict[int, str] = {}

    def _deliver(self, event: Callable[..., CollectorRow], *, current: bool, **arguments: Any) -> None:
        """Deliver an event; one that does not name the current application must be refused."""
        self.now += timedelta(seconds=1)
        before = self.row
        try:
            self.row = event(before, now=self.now, **arguments)
        except ItsmError:
            assert self.row is before
        else:
            assert current, f"{event.__name__} of an older application was taken: {arguments}"

    @rule(who=st.sampled_from([MINE, OTHER]))
    def apply(self, who: Owner) -> None:
        self._begins(state.apply, owner=who)

    @rule(who=st.sampled_from([MINE, OTHER]))
    def bypass(self, who: Owner) -> None:
        before = self.row
        self._begins(state.bypass, owner=who, setting=SETTING)
        if self.row is not before:
            self.bypassed.add(self.row.application)

    def _begins(self, event: Callable[..., CollectorRow], **arguments: Any) -> None:
        tag = f"tag-{len(self.tags)}"
        self.tags.append(tag)
        before = self.row
        self._deliver(event, current=True, payload=PAYLOAD, tag=tag, **arguments)
        if before.is_applying:
            assert self.row is before, "an application under way was replaced"

    @rule(data=st.data())
    def opened(self, data: st.DataObject) -> None:
        tag = data.draw(st.sampled_from(self.tags))
        sn = data.draw(st.sampled_from([*self.sns, f"SN-{len(self.sns)}"]))
        if sn not in self.sns:
            self.sns.append(sn)
        if sn in self.tickets.values() and self.tickets.get(self.row.application) != sn:
            return  # ITSM gives a number to one ticket
        self._deliver(state.ticket_opened, current=tag == self.row.tag, tag=tag, sn=sn)
        if self.row.ticket_sn:
            self.tickets[self.row.application] = self.row.ticket_sn

    @rule(data=st.data(), outcome=st.sampled_from([one for one in Outcome if one is not Outcome.WAITING]))
    def decided(self, data: st.DataObject, outcome: Outcome) -> None:
        sn = data.draw(st.sampled_from(self.sns))
        self._deliver(state.decided, current=sn == self.row.ticket_sn, sn=sn, outcome=outcome)
        if self.row.outcome is not None:
            self.verdicts.setdefault(self.row.application, self.row.outcome)

    @rule(data=st.data(), event=st.sampled_from([state.resume, state.provisioned, state.complete]))
    def goes_on(self, data: st.DataObject, event: Callable[..., CollectorRow]) -> None:
        sn = data.draw(st.sampled_from(self.sns))
        self._deliver(event, current=sn == self.row.ticket_sn, sn=sn)

    @rule(data=st.data(), event=st.sampled_from([state.resume, state.provisioned, state.complete]))
    def goes_on_by_tag(self, data: st.DataObject, event: Callable[..., CollectorRow]) -> None:
        tag = data.draw(st.sampled_from(self.tags))
        self._deliver(event, current=tag == self.row.tag, tag=tag)

    @rule(data=st.data(), event=st.sampled_from([state.etl_failed, state.fail]))
    def goes_wrong(self, data: st.DataObject, event: Callable[..., CollectorRow]) -> None:
        sn = data.draw(st.sampled_from(self.sns))
        self._deliver(event, current=sn == self.row.ticket_sn, sn=sn, reason="why")

    @rule(data=st.data(), event=st.sampled_from([state.create_refused, state.fail]))
    def ends_without_ticket(self, data: st.DataObject, event: Callable[..., CollectorRow]) -> None:
        tag = data.draw(st.sampled_from(self.tags))
        self._deliver(event, current=tag == self.row.tag, tag=tag, reason="why")

    @precondition(lambda self: self.row.is_applying and self.row.ticket_sn)
    @rule()
    def approved_all_the_way(self) -> None:
        """Random walks rarely get this far by themselves."""
        sn = str(self.row.ticket_sn)
        self.decided_now(sn)
        for event in (state.provisioned, state.complete):
            self._deliver(event, current=True, sn=sn)

    def decided_now(self, sn: str) -> None:
        self._deliver(state.decided, current=True, sn=sn, outcome=Outcome.APPROVED)
        self.verdicts.setdefault(self.row.application, Outcome(str(self.row.outcome)))

    @invariant()
    def success_needs_approval_or_bypass_and_etl_p7(self) -> None:
        if self.row.has_success:
            assert self.row.provisioned_at is not None
        if self.row.provisioned_at is not None and self.row.application not in self.bypassed:
            assert self.verdicts[self.row.application] is Outcome.APPROVED

    @invariant()
    def bypassed_is_what_was_bypassed_and_has_neither_ticket_nor_verdict_p3(self) -> None:
        assert self.row.is_bypassed == (self.row.application in self.bypassed)
        if self.row.is_bypassed:
            assert (self.row.ticket_sn, self.row.outcome) == (None, None)

    @invariant()
    def first_verdict_stands(self) -> None:
        assert self.row.outcome == self.verdicts.get(self.row.application)

    @invariant()
    def one_ticket_per_application_p2(self) -> None:
        assert self.row.ticket_sn == self.tickets.get(self.row.application)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
