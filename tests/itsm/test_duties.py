# SPDX-License-Identifier: Apache-2.0
"""Separation of duties (promise P3): who asked, who has to have said yes, whether that can come about."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import chain, combinations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.itsm.confirmation import as_asked, lacks_requester
from airflow_provider_bkitsm.itsm.duties import (
    Approvers,
    approvers_of,
    approvers_of_one_step,
    asked_by,
    check_can_be_met,
    check_min_approvers,
    counted_people,
    requester_of_run,
    tightened,
    unmet_duty,
)
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.itsm.evidence import Finding, prove, prove_field
from airflow_provider_bkitsm.itsm.idempotency import marked_title
from airflow_provider_bkitsm.itsm.models import FlowStep, FormField, LogEntry, StepAnswer
from airflow_provider_bkitsm.itsm.outcome import DUTIES, NOBODYS_ANSWER, Outcome, Reason
from airflow_provider_bkitsm.itsm.people import joined_names
from airflow_provider_bkitsm.itsm.v2.models import Workflow
from airflow_provider_bkitsm.itsm.v2.services import steps_of
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from tests.itsm.flows import drive
from tests.record.ends import ENDS, YES, bodies, number
from tests.tables import table

PEOPLE = ("alice", "bob", "carol")
GROUPS = [*chain.from_iterable(combinations(PEOPLE, size) for size in range(4))]


def policy(**values: Any) -> VerdictPolicy:
    return VerdictPolicy(**values)


# --- the rule


@table(
    ("forbids", "least", "asked", "agreed"),
    product((True, False), range(4), (None, "alice", "alice,bob", "admin"), GROUPS),
)
def test_p3_who_has_said_yes_is_enough_or_the_reason_says_why_not(forbids, least, asked, agreed):
    reason = unmet_duty(policy(forbid_self_approval=forbids, min_approvers=least, requester=asked), agreed)
    others = set(agreed) - set((asked or "").split(",") if forbids else ())
    if forbids and asked is None:
        assert reason is Reason.REQUESTER_UNKNOWN
    elif forbids and not others:
        assert reason is Reason.SELF_APPROVED
    elif len(others) < least:
        assert reason is Reason.TOO_FEW_APPROVERS
    else:
        assert reason is None


@pytest.mark.parametrize("shown", ["alice", "Alice", "ALICE", "alice(Alice Smith)", "alice（爱丽丝）", " alice "])
@pytest.mark.parametrize("asked", ["alice", "Alice", "bob,aLiCe"])
def test_p3_no_spelling_of_the_requester_is_another_person(shown, asked):
    forbids = policy(forbid_self_approval=True, requester=asked)
    assert unmet_duty(forbids, [shown]) is Reason.SELF_APPROVED
    assert unmet_duty(policy(min_approvers=2), [shown, "alice"]) is Reason.TOO_FEW_APPROVERS
    assert counted_people(forbids, [shown, "carol"]) == ("carol",)


@pytest.mark.parametrize(
    "asked", ["bob;alice", "bob，alice", "bob\nalice", "['bob', 'alice']", '("alice", "bob")']
)
def test_p3_in_no_spelling_of_several_requesters_is_one_of_them_lost(asked):
    forbids = policy(forbid_self_approval=True, requester=asked)
    assert [unmet_duty(forbids, [name]) for name in ("alice", "bob")] == [Reason.SELF_APPROVED] * 2


@pytest.mark.parametrize("nobody", ["None", "null", " ", ";", "[]", "['']", "(Alice)"])
def test_p3_what_a_template_makes_of_nothing_is_no_requester(nobody):
    forbids = policy(forbid_self_approval=True, requester=nobody)
    assert unmet_duty(forbids, ["alice"]) is Reason.REQUESTER_UNKNOWN
    assert tightened(forbids, policy(), asked="alice").requester == "alice"
    verdict = Verdict(
        sn="REQ1",
        outcome=Outcome.APPROVED,
        reason=Reason.APPROVED,
        current_status="FINISHED",
        title=marked_title("t", "0" * 16),
        policy=forbids,
    )
    assert lacks_requester(verdict, None, {"requester": nobody})


def test_p3_what_the_duties_refuse_is_no_approvers_decision_and_frees_nothing():
    assert DUTIES <= NOBODYS_ANSWER
    for reason in DUTIES:
        verdict = Verdict(sn="REQ1", outcome=Outcome.REJECTED, reason=reason, current_status="FINISHED")
        assert (verdict.stands, verdict.reason_code) == (False, reason)
        assert Verdict.from_dict(verdict.as_event() | {"outcome": "approved"}).outcome is Outcome.REJECTED


# --- whose yes counts, by the log


def yes(who: str, key: str = "k1", *, automatic: bool = False, approved: bool | None = True) -> LogEntry:
    answer = StepAnswer(
        operator=who, approved=approved, automatic=automatic, key=key, step="", remark="", answered_at=None
    )
    return LogEntry(operator=who, answer=answer)


def no(who: str, key: str = "k1") -> LogEntry:
    return yes(who, key, approved=False)


EDIT, HANDED_OVER = LogEntry(operator="dave", is_form_step=True), LogEntry(operator="alice")


@pytest.mark.parametrize(
    ("log", "agreed"),
    [
        ([], ()),
        ([yes("alice")], ("alice",)),
        ([EDIT, yes("alice"), yes("bob"), yes("carol")], ("alice", "bob", "carol")),
        ([yes("alice"), yes("alice", "k2")], ("alice",)),
        ([yes("alice"), yes("Alice(A)", "k2")], ("alice",)),
        ([HANDED_OVER, yes("bob")], ("bob",)),
        ([yes("alice", automatic=True)], ()),
        ([yes("system", automatic=True), yes("bob", "k2")], ("bob",)),
        ([yes("")], ()),
        ([yes("alice", approved=None)], ()),
        ([yes("alice"), no("bob")], ("alice",)),
        ([no("alice"), yes("alice")], ("alice",)),
        ([yes("alice"), no("alice"), yes("bob")], ("bob",)),
        ([yes("alice"), no("alice", "k2"), EDIT, yes("bob", "k2")], ("bob",)),
        # A yes to an earlier form, where the step has asked again, and where it has not.
        ([EDIT, yes("alice"), EDIT, yes("bob")], ("bob",)),
        ([EDIT, yes("alice"), EDIT, yes("alice")], ("alice",)),
        ([EDIT, yes("alice"), EDIT, yes("bob", "k2")], ("alice", "bob")),
        ([EDIT, yes("alice", ""), EDIT, yes("bob", "k2")], ("bob",)),
        ([EDIT, yes("alice"), EDIT, yes("bob", "")], ("bob",)),
        ([EDIT, yes("alice"), EDIT, yes("bob", automatic=True)], ()),
    ],
)
def test_p3_a_person_counts_once_and_by_the_last_word(log, agreed):
    assert prove(log).agreed == agreed


def field_entry(who: str, value: str, **more: Any) -> LogEntry:
    return LogEntry(operator=who, fields=(FormField(key="verdict", type="RADIO", value=value),), **more)


@pytest.mark.parametrize(
    ("log", "agreed"),
    [
        ([field_entry("alice", "true")], ("alice",)),
        ([field_entry("alice", "true"), field_entry("bob", "true")], ("bob",)),
        ([field_entry("alice", "true"), field_entry("bob", "false")], ()),
        ([field_entry("alice", "true", automatic=True)], ()),
        ([field_entry("", "true")], ()),
    ],
)
def test_p3_of_a_form_field_its_last_answer_counts(log, agreed):
    assert prove_field(log, key="verdict", yes="true").agreed == agreed


ENTRIES = st.one_of(
    st.just(EDIT),
    st.builds(
        yes,
        st.sampled_from(["", *PEOPLE]),
        st.sampled_from(["", "k1", "k2"]),
        automatic=st.booleans(),
        approved=st.sampled_from([True, False, None]),
    ),
)


@given(st.lists(ENTRIES, max_size=8))
def test_p3_nobody_counts_who_has_not_said_yes_as_a_person(log):
    proof = prove(log)
    said = {one.answer.operator for one in log if one.answer and one.answer.approved and not one.answer.automatic}
    assert set(proof.agreed) <= said - {""}
    assert len(set(proof.agreed)) == len(proof.agreed)
    if proof.agreed and proof.finding is Finding.AUTOMATIC:
        pytest.fail("a person has said yes, and it is called automatic")


# --- recorded tickets


def recorded(situation: str, policy: VerdictPolicy) -> Verdict:
    answers = {path: body["data"] for path, body in bodies(situation).items()}
    return drive(read_verdict(number(situation), policy), lambda call: answers[call.path])


APPROVED = sorted(name for name, end in ENDS.items() if end == YES)


def people_of(situation: str) -> set[str]:
    verdict = recorded(situation, VerdictPolicy())
    return {one.operator for one in verdict.approvers if one.approved and not one.automatic}


@table(("situation", "least"), product(sorted(ENDS), (1, 2, 3, 4)))
def test_p3_no_recorded_end_is_approved_by_fewer_people_than_are_wanted(situation, least):
    lenient = recorded(situation, VerdictPolicy())
    verdict = recorded(situation, policy(min_approvers=least))
    if verdict.outcome is Outcome.APPROVED:
        assert lenient.outcome is Outcome.APPROVED
        assert len(people_of(situation)) >= least
    elif lenient.outcome is not Outcome.APPROVED:
        assert (verdict.outcome, verdict.reason_code) == (lenient.outcome, lenient.reason_code)
    else:
        assert verdict.reason_code is Reason.TOO_FEW_APPROVERS


@table("situation", APPROVED)
def test_p3_a_recorded_approval_counts_unless_only_its_requester_gave_it(situation):
    everybody = people_of(situation)
    for asked in (*everybody, "nobody_of_these"):
        verdict = recorded(situation, policy(forbid_self_approval=True, requester=asked))
        own = everybody <= {asked}
        assert (verdict.outcome is Outcome.APPROVED) is not own
        assert (verdict.reason_code is Reason.SELF_APPROVED) is own


@pytest.mark.parametrize(
    ("situation", "wanted", "reason"),
    [
        ("countersign_yes_yes_yes", {"min_approvers": 3}, Reason.APPROVED),
        ("countersign_yes_yes_yes", {"min_approvers": 4}, Reason.TOO_FEW_APPROVERS),
        ("countersign_yes_yes_yes", {"min_approvers": 2, "requester": "alice"}, Reason.APPROVED),
        ("countersign_yes_yes_yes", {"min_approvers": 3, "requester": "alice"}, Reason.TOO_FEW_APPROVERS),
        ("countersign_yes_yes_yes", {"requester": "alice,bob"}, Reason.APPROVED),
        ("countersign_yes_yes_yes", {"requester": "alice,bob,carol"}, Reason.SELF_APPROVED),
        # alice has handed it over: bob, who really said yes, counts.
        ("handed_over_then_yes", {"requester": "alice"}, Reason.APPROVED),
        ("handed_over_then_yes", {"requester": "bob"}, Reason.SELF_APPROVED),
        ("one_step_yes", {"requester": "alice"}, Reason.SELF_APPROVED),
        ("two_steps_yes_yes", {"min_approvers": 2}, Reason.APPROVED),
        ("any_of_three_yes", {"min_approvers": 2}, Reason.TOO_FEW_APPROVERS),
        # ITSM's own yes is nobody's, whatever the task accepts.
        ("only_step_skipped_no_approver", {"accept_automatic": True, "min_approvers": 1}, Reason.AUTOMATIC_ONLY),
        ("only_step_skipped_no_approver", {"accept_automatic": True, "requester": "eve"}, Reason.AUTOMATIC_ONLY),
        ("task_node_only", {"require_evidence": False, "min_approvers": 1}, Reason.NO_EVIDENCE),
        ("task_node_only", {"require_evidence": False, "requester": "eve"}, Reason.NO_EVIDENCE),
    ],
)
def test_p3_countersigns_hand_overs_and_automatic_answers(situation, wanted, reason):
    verdict = recorded(situation, policy(forbid_self_approval="requester" in wanted, **wanted))
    assert verdict.reason_code is reason, verdict.describe()
    assert (verdict.outcome is Outcome.APPROVED) is (reason is Reason.APPROVED)
    assert verdict.evidence_required


def test_the_reason_says_who_asked_who_agreed_and_what_to_do():
    verdict = recorded("one_step_yes", policy(forbid_self_approval=True, requester="alice", min_approvers=2))
    assert "alice asked; alice said yes; 2 people are needed. Ask anew, with another approver" in verdict.reason


# --- policies as they are stored


def test_a_policy_that_an_earlier_version_stored_has_no_duties():
    stored = {"verdict_field": None, "verdict_value": "true", "require_evidence": True, "accept_automatic": False}
    assert VerdictPolicy.from_dict(stored) == VerdictPolicy()
    assert not VerdictPolicy().needs_people


@pytest.mark.parametrize(
    "wrong", [{"forbid_self_approval": "yes"}, {"min_approvers": "2"}, {"min_approvers": 2.5}, {"requester": 7}]
)
def test_p3_duties_that_cannot_be_read_are_no_policy(wrong):
    assert VerdictPolicy.from_dict(asdict(VerdictPolicy()) | wrong) is None


def test_a_stored_policy_is_read_as_it_was():
    strict = policy(forbid_self_approval=True, min_approvers=2, requester="alice,bob")
    assert VerdictPolicy.from_dict(asdict(strict)) == strict


@table(
    ("one", "other"),
    product(*[[(f, m, r) for f in (True, False) for m in (0, 2) for r in (None, "alice", "bob")]] * 2),
)
def test_p3_of_two_policies_the_stricter_duties_count(one, other):
    names = ("forbid_self_approval", "min_approvers", "requester")
    stored, own = (policy(**dict(zip(names, values, strict=True))) for values in (one, other))
    both = tightened(replace(stored, verdict_field="f"), own, asked="carol")
    assert both.verdict_field == "f"
    assert both.forbid_self_approval is (one[0] or other[0])
    assert both.min_approvers == max(one[1], other[1])
    asked = {"carol", one[2], other[2]} - {None}
    assert both.requester == (",".join(sorted(asked)) if both.forbid_self_approval else None)


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        ({"requester": "alice", "creator": "admin"}, "alice"),
        ({"creator": "admin"}, "admin"),
        ({"requester": "alice", "joined_by": ["bob", "alice,carol"]}, "alice,bob,carol"),
        ({"requester": "", "creator": "admin", "joined_by": None}, "admin"),
        ({"requester": 7, "joined_by": [7, None]}, None),
        ({}, None),
    ],
)
def test_who_asked_by_what_is_stored_of_the_request(request_, names):
    assert asked_by(request_) == names


def test_names_are_joined_once_and_in_one_order():
    assert joined_names("bob", None, "", "alice,Bob") == joined_names("alice", "Bob") == "alice,Bob"
    assert joined_names(None, "") is None


@pytest.mark.parametrize("given", [0, -1, True, False, 1.0, "2", [2]])
def test_a_number_of_approvers_is_one_or_more(given):
    with pytest.raises(ValueError, match="min_approvers must be a number of people"):
        check_min_approvers(given)


def test_no_number_of_approvers_leaves_it_to_the_flow():
    assert (check_min_approvers(None), check_min_approvers(3)) == (None, 3)


@pytest.mark.parametrize(
    ("person", "name"),
    [("alice@example.com", "alice"), ("Bob Smith", "bob"), ("carol", "carol"), (None, ""), ("", ""), (7, "")],
)
def test_the_requester_is_the_runs_person_by_the_mapping(person, name):
    assert requester_of_run(person, {"alice@example.com": "alice", "Bob Smith": "bob"}) == name


@pytest.mark.parametrize(
    "person", ["Alice@Example.com", "ALICE@example.com", " \uff41lice@example.com", "alice@example.com"]
)
def test_p3_no_spelling_of_a_mapped_name_is_a_person_of_its_own(person):
    assert requester_of_run(person, {"Alice@example.com": "asmith", "alice": "other"}) == "asmith"


def test_p3_of_two_names_that_differ_in_case_the_exact_one_counts_or_none():
    mapping = {"Alice": "asmith", "alice": "ajones"}
    assert requester_of_run("alice", mapping) == "ajones"
    with pytest.raises(ItsmInvalidRequestError, match="may be any of 'Alice', 'alice'"):
        requester_of_run("ALICE", mapping)


@pytest.mark.parametrize(
    "mapping", [{}, *({"Bob Smith": name} for name in ("bob, alice", "Bob Smith", "", [], None))]
)
def test_a_person_without_a_name_in_itsm_is_an_error_and_nobody_else(mapping):
    with pytest.raises(ItsmInvalidRequestError, match=r"requester|user_mapping"):
        requester_of_run("Bob Smith", mapping)


# --- told before a ticket is opened


def step(people_from: str | None = "approver", **more: Any) -> FlowStep:
    return FlowStep(name="s", kind="APPROVAL", approves=True, people_from=people_from, **more)


FORM = {"approver": "alice,bob", "second": ["carol"], "none": ""}


@pytest.mark.parametrize(
    ("steps", "people", "most"),
    [
        ([step()], ("alice", "bob"), 2),
        ([step(ends_at_first=True)], ("alice", "bob"), 1),
        ([step(), step("second")], ("alice", "bob", "carol"), 3),
        ([step(ends_at_first=True), step("second", ends_at_first=True)], ("alice", "bob", "carol"), 2),
        ([step(), step()], ("alice", "bob"), 2),
        ([step(None, people="dave", names_people=True)], ("dave",), 1),
        ([step(), FlowStep(name="form", kind="NORMAL")], ("alice", "bob"), 2),
    ],
)
def test_whom_a_flow_asks(steps, people, most):
    assert approvers_of(steps, FORM) == Approvers(people=people, most=most)


@pytest.mark.parametrize(
    "steps",
    [
        None,
        [],
        [FlowStep(name="form", kind="NORMAL")],
        [step(None, people="3")],
        [step("none")],
        [step("unknown")],
        [step(), step(None, people="GENERAL")],
        [step(asks_others=True)],
        [step(None, people="a b", names_people=True)],
    ],
)
def test_whom_a_flow_asks_is_not_guessed(steps):
    assert approvers_of(steps, FORM) is None


def test_of_a_recorded_kind_of_flow_it_is_known_whether_one_answer_is_enough():
    state = {"id": 4, "name": "s", "type": "APPROVAL", "processors_type": "PERSON", "processors": ",alice,bob,"}
    (any_of,) = steps_of(Workflow(states=({**state, "is_multi": False},), fields=()))
    (everybody,) = steps_of(Workflow(states=({**state, "is_multi": True},), fields=()))
    (role,) = steps_of(Workflow(states=({**state, "processors_type": "GENERAL", "processors": "1"},), fields=()))
    assert approvers_of([any_of], {}) == Approvers(people=("alice", "bob"), most=1)
    assert approvers_of([everybody], {}) == Approvers(people=("alice", "bob"), most=2)
    assert approvers_of([role], {}) is None


@pytest.mark.parametrize(
    ("wanted", "people", "words"),
    [
        ({"forbid_self_approval": True, "requester": "alice"}, "Alice", "alice asks, and the ticket would ask"),
        ({"forbid_self_approval": True, "requester": "alice,bob"}, "bob,alice", "nobody but bob, alice"),
        ({"min_approvers": 2}, "alice,bob", "its flow goes on after 1"),
    ],
)
def test_p3_what_nobody_could_approve_is_refused_before_it_is_asked(wanted, people, words):
    with pytest.raises(ItsmInvalidRequestError, match=rf"{words}.*no ticket was opened"):
        check_can_be_met(policy(**wanted), approvers_of_one_step(people))


def test_p3_too_few_approvers_are_named_without_the_requester():
    wanted = policy(min_approvers=2, forbid_self_approval=True, requester="alice")
    asked = Approvers(people=("alice", "bob"), most=2)
    with pytest.raises(ItsmInvalidRequestError, match=r"ask alice, bob \(without alice, who asks\)\. Name more"):
        check_can_be_met(wanted, asked)
    check_can_be_met(wanted, replace(asked, people=("alice", "bob", "carol"), most=3))
    check_can_be_met(policy(min_approvers=2), asked)


def test_p3_a_form_field_has_one_persons_answer():
    with pytest.raises(ItsmInvalidRequestError, match="one person's"):
        check_can_be_met(policy(min_approvers=2, verdict_field="f"), None)


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        ({}, approvers_of_one_step("alice")),
        ({"forbid_self_approval": True, "requester": "alice"}, None),
        ({"min_approvers": 9}, None),
        ({"forbid_self_approval": True, "requester": "alice"}, approvers_of_one_step("alice,bob")),
        ({"min_approvers": 1}, approvers_of_one_step("alice")),
        ({"min_approvers": 1, "verdict_field": "f"}, None),
    ],
)
def test_what_may_be_approved_is_asked(wanted, asked):
    check_can_be_met(policy(**wanted), asked)


# --- an approval, by the policy of when it was asked for

SN = number("countersign_yes_yes_yes")
ASKED = {"requester": "alice", "creator": "admin", "policy": asdict(VerdictPolicy())}


def confirmed(read_by: VerdictPolicy, request: dict[str, Any] | None, **settings: Any) -> Verdict:
    """Read the countersign of alice, bob and carol by one policy, then as it was asked for."""
    bodies_ = {path: body["data"] for path, body in bodies("countersign_yes_yes_yes").items()}
    verdict = drive(read_verdict(SN, read_by), lambda call: bodies_[call.path])
    return drive(as_asked(verdict, request, settings), lambda call: bodies_[call.path])


def asking(**duties: Any) -> dict[str, Any]:
    return {**ASKED, "policy": asdict(policy(**duties))}


@pytest.mark.parametrize(
    ("read_by", "request_", "settings", "reason"),
    [
        (policy(), asking(), {}, Reason.APPROVED),
        (policy(), None, {}, Reason.APPROVED),
        (policy(), asking(forbid_self_approval=True), {}, Reason.APPROVED),
        (policy(), asking(min_approvers=3), {}, Reason.APPROVED),
        (policy(), asking(min_approvers=4), {}, Reason.TOO_FEW_APPROVERS),
        (policy(), asking(min_approvers=3, forbid_self_approval=True), {}, Reason.TOO_FEW_APPROVERS),
        (policy(), asking(min_approvers=1), {"min_approvers": 4}, Reason.TOO_FEW_APPROVERS),
        (policy(), asking(min_approvers=4), {"min_approvers": 1}, Reason.TOO_FEW_APPROVERS),
        (policy(), asking(forbid_self_approval=True), {"requester": "bob,carol"}, Reason.SELF_APPROVED),
        (policy(), asking(), {"forbid_self_approval": True, "requester": "bob,carol"}, Reason.SELF_APPROVED),
        (policy(), {**asking(forbid_self_approval=True), "joined_by": ["bob,carol"]}, {}, Reason.SELF_APPROVED),
        (
            policy(),
            {**ASKED, "policy": {"require_evidence": True}},
            {"min_approvers": 4},
            Reason.TOO_FEW_APPROVERS,
        ),
        # What this task itself says no longer loosens what was asked for.
        (
            policy(),
            asking(forbid_self_approval=True, min_approvers=4),
            {"forbid_self_approval": False},
            Reason.TOO_FEW_APPROVERS,
        ),
        # A record that says nobody, and one of an earlier version, which knows its creator alone.
        (policy(forbid_self_approval=True, requester="x"), {"policy": None}, {}, Reason.APPROVED),
        (policy(), {"policy": asdict(policy(forbid_self_approval=True))}, {}, Reason.REQUESTER_UNKNOWN),
        (policy(), {"creator": "eve", "policy": asdict(policy(forbid_self_approval=True))}, {}, Reason.APPROVED),
    ],
)
def test_p3_an_approval_counts_by_the_duties_of_when_it_was_asked_for(read_by, request_, settings, reason):
    verdict = confirmed(read_by, request_, **settings)
    assert verdict.reason_code is reason, verdict.describe()
    assert (verdict.outcome is Outcome.APPROVED) is (reason is Reason.APPROVED)


def test_an_approval_that_was_read_by_the_same_policy_is_not_read_again():
    strict = policy(forbid_self_approval=True, min_approvers=2, requester="alice")
    verdict = drive(
        read_verdict(SN, strict),
        lambda call: {path: body["data"] for path, body in bodies("countersign_yes_yes_yes").items()}[call.path],
    )
    assert drive(as_asked(verdict, {**ASKED, "policy": asdict(strict)}), None) is verdict
