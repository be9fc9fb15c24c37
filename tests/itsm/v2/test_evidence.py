# SPDX-License-Identifier: Apache-2.0
"""P3: what a log proves, rule by rule, against every recorded end, and over random logs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_bkitsm.itsm import evidence
from airflow_provider_bkitsm.itsm.evidence import Finding, Proof
from airflow_provider_bkitsm.itsm.models import StepAnswer
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.itsm.v2.evidence import answer_of, read_entry
from airflow_provider_bkitsm.itsm.v2.models import LogEntry
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from tests.itsm.flows import drive
from tests.record import EVIDENCE
from tests.record.ends import ENDS, YES, bodies, number


def prove(entries: Iterable[LogEntry], **more: Any) -> Proof:
    return evidence.prove([read_entry(one) for one in entries], **more)


def prove_field(entries: Iterable[LogEntry], **more: Any) -> Proof:
    return evidence.prove_field([read_entry(one) for one in entries], **more)


def field_answer_of(entry: LogEntry, **more: Any) -> StepAnswer | None:
    return evidence.field_answer_of(read_entry(entry), **more)


MARK = {"code": "APPROVE_RESULT"}


def radio(value: Any, *, key: str = "k1", shown: str = "", **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "RADIO", "value": value, "display_value": shown, **more}


def entry(
    *items: Any, kind: str = "APPROVAL", who: str = "alice", source: str = "API", message: str = "m"
) -> LogEntry:
    values = {"operator": who, "source": source, "message": message, "from_state_type": kind}
    return LogEntry.model_validate(values | {"form_data": list(items)})


def yes(who: str = "alice", key: str = "k1", source: str = "API") -> LogEntry:
    return entry(radio("true", key=key), who=who, source=source)


def no(who: str = "alice", key: str = "k1", source: str = "API") -> LogEntry:
    return entry(radio("false", key=key), who=who, source=source)


EDIT = entry({"key": "fix", "type": "TEXT", "value": "done"}, kind="NORMAL", who="admin")
DROPPED_EDIT = entry({"key": "fix", "type": "TEXT", "value": "done"}, kind="", who="admin")
HANDED_OVER = entry(who="alice")
SUSPENDED = entry(kind="", who="alice", source="SYS")
TASK = entry({"output_variables": [{"key": "k", "value": 2}]}, kind="TASK", who="system", source="AUTOMATIC")
WEBHOOK = entry({"url": "https://example.com", "type": 7, "key": 9}, "raw", kind="WEBHOOK", who="system")
SIGNED = entry({"key": "s", "type": "SELECT", "value": "false"}, kind="SIGN", who="carol")
NOISE = [HANDED_OVER, SUSPENDED, TASK, WEBHOOK, SIGNED]


# --- what is an answer


@pytest.mark.parametrize("other", [*NOISE, EDIT, DROPPED_EDIT, entry(radio("true"), kind="NORMAL")])
def test_p3_what_is_no_approval_steps_answer_is_neither_evidence_nor_an_error(other):
    assert answer_of(other) is None
    assert prove([other]).finding is Finding.NOTHING


@pytest.mark.parametrize("form", [None, {}, [], "", {"url": "x"}, [None, 7, "x"], [{"output_variables": []}]])
def test_a_form_of_any_shape_is_read(form):
    read = LogEntry.model_validate({"operator": "a", "from_state_type": "APPROVAL", "form_data": form})
    assert answer_of(read) is None


@pytest.mark.parametrize(
    ("value", "approved"),
    [("true", True), ("false", False), ("True", False), (True, False), (1, False), ("", None), (None, None)],
)
def test_p3_only_the_exact_text_is_a_yes(value, approved):
    answer = answer_of(entry(radio(value)))
    assert answer is not None
    assert (answer.approved, answer.key) == (approved, "k1")


def test_a_step_whose_status_was_dropped_answers_by_its_mark():
    assert answer_of(entry(radio("false"), kind="")) is None
    answer = answer_of(entry(radio("true", key="other"), radio("false", meta=MARK), kind=""))
    assert answer is not None
    assert (answer.approved, answer.key) == (False, "k1")


@pytest.mark.parametrize("meta", [None, "", [], {}, {"code": "OTHER"}, "APPROVE_RESULT"])
def test_a_mark_is_nothing_but_that_code(meta):
    assert answer_of(entry(radio("true", meta=meta), kind="")) is None


def test_the_marked_item_is_the_verdict_whatever_else_is_chosen():
    answer = answer_of(
        entry(radio("true", key="urgent", shown="通过"), radio("false", meta=MARK), message="(通过)")
    )
    assert answer is not None
    assert (answer.approved, answer.key) == (False, "k1")


@pytest.mark.parametrize(
    ("message", "approved", "key"),
    [
        ("alice 已处理【一级审批】(拒绝)", False, "k1"),
        ("alice 已处理【一级审批】（拒绝） ", False, "k1"),
        ("alice 已处理【一级审批】(是)", True, "urgent"),
        ("alice 已处理【一级审批】(拒绝).", None, ""),
        ("alice 已处理【一级审批】拒绝", None, ""),
        ("(拒绝) alice", None, ""),
        ("", None, ""),
    ],
)
def test_p3_of_several_choices_the_message_names_the_verdict_or_a_person_is_asked(message, approved, key):
    items = radio("true", key="urgent", shown="是"), radio("false", shown="拒绝")
    answer = answer_of(entry(*items, message=message))
    assert answer is not None
    assert (answer.approved, answer.key) == (approved, key)


def test_p3_two_choices_of_the_same_words_are_unclear_and_so_are_those_without_words():
    same = entry(radio("true", key="urgent", shown="通过"), radio("true", shown="通过"), message="x(通过)")
    empty = entry(radio("true", key="urgent"), radio("true", shown=None), message="x()")
    for one in (same, empty):
        assert prove([one]).finding is Finding.UNCLEAR
        assert prove([one, yes("bob")]).finding is Finding.UNCLEAR


def test_escaped_words_close_a_message_that_is_not_escaped():
    items = radio("true", shown="a &quot;b&quot;"), radio("true", key="urgent", shown="b")
    answer = answer_of(entry(*items, message='x(a "b")'))
    assert answer is not None
    assert answer.key == "k1"


def test_an_answer_names_its_step_its_remark_and_who_gave_it():
    remarks = [{"key": key, "type": "TEXT", "value": text} for key, text in (("a", ""), ("b", "no"), ("c", "x"))]
    answer = answer_of(entry(radio("false"), *remarks, message="bob 已处理【二级审批】(拒绝)", who="bob"))
    assert answer is not None
    assert (answer.operator, answer.step, answer.remark, answer.automatic) == ("bob", "二级审批", "no", False)
    assert answer_of(yes(source="SYS")).automatic
    assert answer_of(yes()).step == answer_of(yes()).remark == ""


# --- the table of conclusions


@pytest.mark.parametrize(
    ("log", "finding"),
    [
        ([], Finding.NOTHING),
        ([yes()], Finding.PROVED),
        ([no()], Finding.REFUSAL_STANDS),
        ([yes("alice"), no("bob", "k2")], Finding.REFUSAL_STANDS),
        ([no("alice"), yes("bob", "k2")], Finding.REFUSAL_STANDS),
        ([yes("system", source="SYS")], Finding.AUTOMATIC),
        ([yes("system", source="")], Finding.AUTOMATIC),
        ([yes("", source="WEB")], Finding.AUTOMATIC),
        ([yes("", source=""), yes("bob", "k2")], Finding.PROVED),
        ([yes("alice", source="SYS"), yes("bob", "k2")], Finding.PROVED),
        ([yes("alice", source="SYS"), no("bob", "k2")], Finding.REFUSAL_STANDS),
        ([entry(radio(""))], Finding.UNCLEAR),
        ([yes("bob"), entry(radio(None))], Finding.UNCLEAR),
        ([entry(radio("")), no("bob")], Finding.REFUSAL_STANDS),
        # (a) the same person's last answer at the same step is yes
        ([no(), yes()], Finding.PROVED),
        ([no(), yes(), no()], Finding.REFUSAL_STANDS),
        ([yes(), no()], Finding.REFUSAL_STANDS),
        ([no(), yes(key="k2")], Finding.REFUSAL_STANDS),
        ([no(), yes("bob")], Finding.REFUSAL_STANDS),
        ([no(""), yes("")], Finding.REFUSAL_STANDS),
        ([entry(radio("")), yes()], Finding.PROVED),
        ([yes("a"), no("b", "k2"), yes("a"), yes("b", "k2")], Finding.PROVED),
        ([yes("a"), no("b", "k2"), yes("c"), yes("d", "k2")], Finding.REFUSAL_STANDS),
        # (b) a form step was handled in between
        ([no("b"), EDIT, yes("a"), yes("c")], Finding.PROVED),
        ([no("b"), DROPPED_EDIT, yes("a")], Finding.PROVED),
        ([no("b"), yes("a"), EDIT], Finding.REFUSAL_STANDS),
        ([EDIT, no("b"), yes("a")], Finding.REFUSAL_STANDS),
        ([yes("a"), EDIT, no("b")], Finding.REFUSAL_STANDS),
        ([no("b"), EDIT, yes("a", "k2")], Finding.REFUSAL_STANDS),
        ([no("b"), EDIT, yes("a"), no("c")], Finding.REFUSAL_STANDS),
        ([no("b"), SUSPENDED, TASK, HANDED_OVER, yes("a")], Finding.REFUSAL_STANDS),
        ([no("b"), entry({"key": "f"}, kind="", who=""), yes("a")], Finding.REFUSAL_STANDS),
        ([no("b"), entry({"output_variables": []}, kind="", who="x"), yes("a")], Finding.REFUSAL_STANDS),
        ([no("b"), entry(radio("true", key="k2", meta=MARK), kind=""), yes("a")], Finding.REFUSAL_STANDS),
        # no key: nothing is known to be the same step
        ([no(key=""), yes(key="")], Finding.REFUSAL_STANDS),
        ([yes(key="")], Finding.PROVED),
        # ITSM's own yes ends no person's refusal
        ([no(), yes(source="SYS"), yes("bob", "k2")], Finding.REFUSAL_STANDS),
        ([no("b"), EDIT, yes("a", source="SYS")], Finding.REFUSAL_STANDS),
    ],
)
def test_p3_the_decision_table(log, finding):
    assert prove(log).finding is finding


def test_an_automatic_yes_that_is_accepted_counts_as_any_other():
    assert prove([no(), yes(source="SYS")], accept_automatic=True).finding is Finding.AUTOMATIC
    assert prove([no("b"), EDIT, yes("a", source="SYS")], accept_automatic=True).finding is Finding.AUTOMATIC
    assert prove([no("b"), yes("a", source="SYS")], accept_automatic=True).finding is Finding.REFUSAL_STANDS


def test_a_proof_names_every_answer_and_those_it_rests_on():
    proof = prove([yes("alice"), HANDED_OVER, no("bob", "k2")])
    assert [one.operator for one in proof.answers] == ["alice", "bob"]
    assert [one.operator for one in proof.because_of] == ["bob"]
    assert [one.operator for one in prove([yes("alice", source="SYS"), yes("bob", "k2")]).because_of] == ["bob"]
    assert prove([HANDED_OVER]).because_of == ()


# --- a form field that holds the verdict


def by_field(*log: LogEntry) -> Finding:
    return prove_field(log, key="result", yes="ok").finding


def field(value: Any, *more: Any, **how: Any) -> LogEntry:
    return entry({"key": "result", "type": "RADIO", "value": value}, *more, **{"kind": "NORMAL"} | how)


@pytest.mark.parametrize(
    ("log", "finding"),
    [
        ([], Finding.NOTHING),
        ([EDIT, yes()], Finding.NOTHING),
        ([field("ok")], Finding.PROVED),
        ([field("ok", radio("false", key="other"))], Finding.PROVED),
        ([field("ok"), EDIT, no("bob", "other")], Finding.PROVED),
        ([field("no")], Finding.REFUSAL_STANDS),
        ([field("true")], Finding.REFUSAL_STANDS),
        ([field(["ok"])], Finding.REFUSAL_STANDS),
        ([field("ok"), field("no", who="bob")], Finding.REFUSAL_STANDS),
        ([field("no"), field("ok", who="bob")], Finding.PROVED),
        ([field(None)], Finding.UNCLEAR),
        ([field("ok"), field("")], Finding.UNCLEAR),
        ([field("ok", {"key": "result", "value": "no"})], Finding.UNCLEAR),
        ([field("ok", source="SYS")], Finding.AUTOMATIC),
        ([field("ok", who="", source="WEB")], Finding.AUTOMATIC),
        # the submit step asks: whoever opened the ticket has filled it in
        ([field("ok", {"key": "title", "type": "STRING", "value": "t"})], Finding.NOTHING),
    ],
)
def test_p3_the_last_answer_in_the_verdict_field_counts(log, finding):
    assert by_field(*log) is finding


def test_a_field_may_be_called_title():
    assert field_answer_of(entry({"key": "title", "value": "ok"}), key="title", yes="ok").approved


def test_every_answer_in_the_verdict_field_is_shown():
    proof = prove_field([field("no", who="a"), field("ok", who="b")], key="result", yes="ok")
    assert [(one.operator, one.approved) for one in proof.answers] == [("a", False), ("b", True)]
    assert [one.operator for one in proof.because_of] == ["b"]


# --- over random logs

ANSWERS = st.builds(
    lambda value, who, key, source: entry(radio(value, key=key), who=who, source=source),
    *(st.sampled_from(one) for one in (["true", "false"], ["a", "b", "c"], ["k1", "k2"], ["API", "WEB", "SYS"])),
)
LOGS = st.lists(st.one_of(ANSWERS, ANSWERS, st.sampled_from([EDIT, DROPPED_EDIT, *NOISE])), max_size=9)


@settings(max_examples=300, deadline=None)
@given(LOGS)
def test_p3_no_live_refusal_of_a_person_is_ever_passed_over(log):
    last: dict[tuple[str, str], int] = {}
    for place, one in enumerate(log):
        answer = answer_of(one)
        if answer is not None and not answer.automatic:
            last[answer.operator, answer.key] = place
    edits = [place for place, one in enumerate(log) if one in (EDIT, DROPPED_EDIT)]
    live = [at for at in last.values() if not answer_of(log[at]).approved and not any(at < edit for edit in edits)]
    if live:
        assert prove(log).finding is Finding.REFUSAL_STANDS


@settings(max_examples=200, deadline=None)
@given(LOGS, st.lists(st.tuples(st.integers(0, 9), st.sampled_from(NOISE)), max_size=5))
def test_p3_entries_without_an_answer_never_change_the_conclusion(log, noise):
    more = list(log)
    for place, one in noise:
        more.insert(place, one)
    assert prove(more) == prove(log)


@settings(max_examples=200, deadline=None)
@given(st.lists(ANSWERS, max_size=8))
def test_the_order_of_answers_at_different_steps_does_not_matter(log):
    by_step = sorted(log, key=lambda one: answer_of(one).key)
    assert prove(by_step).finding is prove(log).finding


# --- every recorded end


def recorded(situation: str, policy: VerdictPolicy | None = None, **instead: Any) -> Verdict:
    answers = {path: body["data"] for path, body in bodies(situation).items()} | instead
    return drive(read_verdict(number(situation), policy or VerdictPolicy()), lambda call: answers[call.path])


@pytest.mark.parametrize("situation", ENDS)
def test_p3_every_recorded_end_reads_as_it_was(situation):
    verdict = recorded(situation)
    # The log platform's own service decides in a form field, which the ticket's own log shows.
    end = YES if situation == "log_search_approved" else ENDS[situation]
    assert (verdict.outcome, verdict.reason_code) == end, verdict.describe()


def test_all_recorded_logs_are_in_the_table():
    logs = {name.split("__")[1] for name in EVIDENCE if name.startswith("get_ticket_logs__") and "__comp" in name}
    assert logs == set(ENDS)


OPEN = [
    name
    for name, one in EVIDENCE.items()
    if name.startswith("ticket_approval_result__") and one["body"]["data"][0]["current_status"] != "FINISHED"
]


@pytest.mark.parametrize("name", OPEN)
def test_p3_no_ticket_that_was_not_finished_was_approved(name):
    rows = EVIDENCE[name]["body"]["data"]
    logs = {"sn": rows[0]["sn"], "logs": [yes().model_dump(mode="json")]}
    answers = {"ticket_approval_result/": rows, "get_ticket_logs/": logs}
    verdict = drive(read_verdict(rows[0]["sn"], VerdictPolicy()), lambda call: answers[call.path])
    assert verdict.outcome is not Outcome.APPROVED


def test_itsms_own_yes_is_accepted_where_the_task_says_so_and_named():
    verdict = recorded("only_step_skipped_no_approver", VerdictPolicy(accept_automatic=True))
    assert (verdict.outcome, verdict.reason_code) == (Outcome.APPROVED, Reason.APPROVED_AUTOMATICALLY)
    assert "system approved automatically" in verdict.describe()
    assert verdict.as_dict()["approvers"][0]["automatic"] is True


@pytest.mark.parametrize(
    ("situation", "words"),
    [
        ("second_node_deleted_then_refused", "bob refused at 二级审批. Its step was deleted"),
        ("only_step_skipped_no_approver", "no person did: system approved at 一级审批. Give the step an approver"),
        ("task_node_only", "approval step that says yes. A flow that decides in a form field needs verdict_field"),
    ],
)
def test_a_reason_says_who_answered_what_at_which_step_and_what_to_do(situation, words):
    assert words in recorded(situation).describe()


def test_who_withdrew_or_handed_over_is_no_approver():
    assert [one.operator for one in recorded("withdrawn_after_first_yes").approvers] == ["alice"]
    assert recorded("withdrawn_with_form_fields").approvers == ()
    assert [one.operator for one in recorded("handed_over_then_yes").approvers] == ["bob"]
    assert "answered" not in recorded("withdrawn_with_form_fields").describe()
    stored = bodies("withdrawn_after_first_yes")["ticket_approval_result/"]["data"][0]["update_at"]
    assert recorded("withdrawn_after_first_yes").decided_at.endswith(stored[13:] + "+00:00")


LOG_SEARCH = VerdictPolicy(verdict_field="approval_result")


def changed(value: object, *, in_form: bool, in_log: bool) -> Verdict:
    """Read the log platform's recorded ticket with another value in its verdict field."""
    answers = {path: body["data"] for path, body in bodies("log_search_approved").items()}

    def other(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [one | {"value": value} if one.get("key") == "approval_result" else one for one in items]

    info, logs = answers["get_ticket_info/"], answers["get_ticket_logs/"]
    if in_form:
        info = info | {"fields": other(info["fields"])}
    if in_log:
        told = [one | {"form_data": other(one["form_data"])} if one["form_data"] else one for one in logs["logs"]]
        logs = logs | {"logs": told}
    return recorded("log_search_approved", LOG_SEARCH, **{"get_ticket_info/": info, "get_ticket_logs/": logs})


@pytest.mark.parametrize(
    ("value", "in_form", "in_log", "outcome", "reason"),
    [
        ("true", True, True, Outcome.APPROVED, Reason.APPROVED),
        ("false", True, True, Outcome.REJECTED, Reason.REFUSED),
        ("false", True, False, Outcome.REJECTED, Reason.REFUSED),
        ("false", False, True, Outcome.REJECTED, Reason.REFUSAL_STANDS),
        (None, False, True, Outcome.REJECTED, Reason.VERDICT_UNCLEAR),
        ("", True, True, Outcome.REJECTED, Reason.VERDICT_MISSING),
    ],
)
def test_p3_form_and_log_have_to_agree_where_a_field_is_the_verdict(value, in_form, in_log, outcome, reason):
    verdict = changed(value, in_form=in_form, in_log=in_log)
    assert (verdict.outcome, verdict.reason_code) == (outcome, reason)


def test_p3_a_form_that_lists_the_verdict_twice_with_two_values_has_none():
    info = bodies("log_search_approved")["get_ticket_info/"]["data"]
    info = info | {"fields": [*info["fields"], {"key": "approval_result", "value": "false"}]}
    assert (
        recorded("log_search_approved", LOG_SEARCH, **{"get_ticket_info/": info}).reason_code == "verdict_missing"
    )


@pytest.mark.parametrize("path", ["get_ticket_logs/", "get_ticket_info/"])
def test_p3_an_answer_about_another_ticket_is_no_answer(path):
    data = bodies("log_search_approved")[path]["data"] | {"sn": "REQ1"}
    with pytest.raises(Exception, match="answered about another one"):
        recorded("log_search_approved", LOG_SEARCH, **{path: data})
