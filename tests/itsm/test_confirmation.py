# SPDX-License-Identifier: Apache-2.0
"""A ticket is compared with what was sent to open it: what runs is what the approver read (P3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.confirmation import as_asked, confirm, form_differences, ticket_differences
from airflow_provider_bkitsm.itsm.models import TicketInfo
from airflow_provider_bkitsm.itsm.outcome import NOBODYS_ANSWER, Outcome, Reason
from airflow_provider_bkitsm.itsm.v2 import calls
from airflow_provider_bkitsm.itsm.v2.dialect import V2
from airflow_provider_bkitsm.itsm.v2.four_byte import FourByte, prepared
from airflow_provider_bkitsm.itsm.v2.status import read_info
from airflow_provider_bkitsm.itsm.verdict import Verdict, VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_reading import read_verdict
from airflow_provider_bkitsm.sandbox.itsm.html_filter import filtered
from airflow_provider_bkitsm.sandbox.itsm.services import Field
from airflow_provider_bkitsm.sandbox.itsm.storage import stored
from tests.itsm.flows import drive
from tests.record import EVIDENCE, EXCHANGES
from tests.tables import table

SN = "REQ20261124000003"
RECORD = {**EXCHANGES, **EVIDENCE}
TEXTS = st.text(st.characters(blacklist_categories=("Cs",)) | st.sampled_from("<>&\"'/!-b\n[U+1F680]"))
LEAVES = TEXTS | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8)
TEXT_TYPES = ("STRING", "TEXT", "MEMBERS", "LINK", "RICHTEXT", "INT", "DATE", "SELECT")
# Shown neither as markup nor as an entity or a spelled character.
PLAIN = st.text("abcdefghijklmnopqrstuvwxyz 文", min_size=1)


def recorded(call: str) -> dict[str, tuple[str, Any, Any]]:
    """Return each successful answer to a call: situation, request and data by name."""
    found = {}
    for name, one in RECORD.items():
        body = one.get("body")
        if name.startswith(f"{call}__") and isinstance(body, dict) and body.get("result") is True:
            found[name] = (name.partition("__")[2], one.get("request"), body["data"])
    return found


OPENED = {data["sn"]: request for _, request, data in recorded("create_ticket").values()}
READ = [(situation, data) for situation, _, data in recorded("get_ticket_info").values() if data["sn"] in OPENED]
# The first was sent back to whoever asked, who handed in another form; the others' flow never started.
DIFFERENT = {
    "sent_back_to_first_state": ["title was sent", "content was sent"],
    "celery_worker_down": ["APPROVER was sent", "APPROVAL_CONTENT was sent"],
    "field_string_emoji": ["title was sent", "f_string was sent"],
    "field_text_emoji": ["title was sent", "f_text was sent"],
}


def request_of(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded request as a record keeps it."""
    form = {field["key"]: field["value"] for field in sent["fields"]}
    return {
        "service_id": sent.get("service_id"),
        "creator": sent.get("creator"),
        "fields": form,
        "fast_approval": bool(sent.get("fast_approval")),
    }


def ticket(*fields: tuple[str, str, Any], title: str = "t", **more: Any) -> Any:
    """Return ITSM's answer about a ticket with these stored fields."""
    rows = [("title", "STRING", title), *fields, ("title", "STRING", title)]
    data = {
        "sn": SN,
        "title": title,
        "current_status": "FINISHED",
        "creator": "admin",
        "service_id": 5,
        "create_at": "2026-11-24 08:48:41",
        "fields": [{"key": key, "type": kind, "value": value} for key, kind, value in rows],
    }
    return data | more


def as_info(data: Any) -> TicketInfo:
    return read_info(calls.get_ticket_info(SN).parse(data))


def differences(sent: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[str, ...]:
    return form_differences({"fields": {"title": "t", **sent}}, as_info(data), V2)


def as_kept(value: Any, kind: str, *, spelled: bool = False) -> Any:
    """Return what the sandbox's ITSM stores of a value; a connection may have spelled four-byte characters."""
    call = calls.create_ticket(fields={"title": "t", "f": value}, service_id=1, creator="admin")
    body = (prepared(call, FourByte.ESCAPE) if spelled else call).body or {}
    sent = next(one["value"] for one in body["fields"] if one["key"] == "f")
    return stored(Field(key="f", type=kind, name="f"), sent)


@table(("situation", "data"), READ, ids=lambda row: row[0])
def test_every_recorded_ticket_shows_what_was_sent_unless_it_was_changed(situation, data):
    info = as_info(data)
    found = ticket_differences(request_of(OPENED[data["sn"]]), info, V2)
    assert [one.partition(" as ")[0] for one in found] == DIFFERENT.get(situation, [])


def test_the_recorded_tickets_are_many_and_hold_a_built_in_approval():
    assert len(READ) > 120
    assert sum(bool(OPENED[data["sn"]].get("fast_approval")) for _, data in READ) >= 4
    assert DIFFERENT.keys() <= {situation for situation, _ in READ}


def test_a_recorded_ticket_is_no_other_one():
    """Two recorded tickets with different forms are never taken for each other (P2, P3)."""
    infos = [as_info(data) for _, data in READ]
    forms = {sn: request_of(one) for sn, one in OPENED.items()}
    for info in infos:
        for sn, request in forms.items():
            alike = request["fields"] == forms[info.sn]["fields"]
            if not alike and sn != info.sn and filtered(request["fields"]["title"]) != info.title:
                assert ticket_differences(request, info, V2)


@given(VALUES, st.sampled_from((*TEXT_TYPES, "CUSTOM-FORM", "TABLE")), st.booleans())
def test_whatever_is_stored_of_a_value_is_no_difference(value, kind, spelled):
    assert differences({"f": value}, ticket(("f", kind, as_kept(value, kind, spelled=spelled)))) == ()


@given(TEXTS.filter(str.strip))
def test_a_title_is_the_same_raw_filtered_and_spelled(title):
    for text in (title, filtered(title)):
        assert form_differences({"fields": {"title": title}}, as_info(ticket(title=text)), V2) == ()


@given(PLAIN, PLAIN, PLAIN, st.sampled_from(TEXT_TYPES))
def test_a_text_put_in_taken_out_or_replaced_is_a_difference(before, middle, after, kind):
    sent = f"{before}<b>{middle}</b>{after}"
    kept = stored(Field(key="f", type=kind, name="f"), sent)
    assert differences({"f": sent}, ticket(("f", kind, kept))) == ()
    for now in (kept + middle, middle + kept, kept[1:], kept.replace("<b>", f"<b>{middle}"), middle, None):
        assert differences({"f": sent}, ticket(("f", kind, now))), now


@given(st.dictionaries(PLAIN, LEAVES, min_size=1), st.data())
def test_a_changed_leaf_of_an_object_is_a_difference(form, data):
    key = data.draw(st.sampled_from(sorted(form)))
    value = {"form_data": [form]}
    now = {"form_data": [form | {key: "something else entirely 0"}]}
    assert differences({"f": value}, ticket(("f", "CUSTOM-FORM", value))) == ()
    assert differences({"f": value}, ticket(("f", "CUSTOM-FORM", now)))
    assert differences({"f": value}, ticket(("f", "CUSTOM-FORM", {"form_data": []})))


@pytest.mark.parametrize(
    ("kind", "sent", "now"),
    [
        ("STRING", 1, "2"),
        ("STRING", 1, "1.0"),
        ("INT", 12, "120"),
        ("STRING", True, "true"),
        ("STRING", None, "None"),
        ("STRING", "", "x"),
        ("MEMBERS", "alice,bob", "alice"),
        ("MEMBERS", "alice,bob", "bob,alice"),
        ("MEMBERS", "alice,bob", "alice, bob"),
        ("DATE", "2026-12-01", "2026-12-02"),
        ("TABLE", [{"a": 1}], [{"a": "1"}]),
        ("TABLE", [{"a": 1}], [{"a": 1}, {"a": 2}]),
        ("TABLE", [{"a": True}], [{"a": 1}]),
        ("CUSTOM-FORM", {"a": 1}, {"a": 1.0}),
        ("CUSTOM-FORM", {"a": 1}, '{"a": 2}'),
        ("CUSTOM-FORM", {"a": 1}, '{"a": 2, "a": 1}'),
        ("TEXT", "a\nb", "a b"),
        ("TEXT", '{"a": 1}', '{"a":1}'),
        ("STRING", "[1, 2]", "[1,2]"),
        ("TEXT", "caf\u00e9", "cafe\u0301"),
        ("TEXT", "a", "a "),
        ("STRING", "DROP TABLE a", "drop table a"),
    ],
)
def test_what_looks_alike_is_a_difference(kind, sent, now):
    assert len(differences({"f": sent}, ticket(("f", kind, now)))) == 1


@pytest.mark.parametrize(
    ("kind", "sent", "now"),
    [
        ("INT", 12, 12),
        ("STRING", None, ""),
        ("STRING", "", None),
        ("CUSTOM-FORM", {"a": 1, "b": [2]}, "{&quot;b&quot;: [2], &quot;a&quot;: 1}"),
        ("CUSTOM-FORM", '{"a": 1}', {"a": 1}),
        ("CUSTOM-FORM", {1: "x"}, {"1": "x"}),
        ("CASCADE", ["a", "b"], ["a", "b"]),
        ("MEMBERS", ["a", "b"], "['a', 'b']"),
        ("STRING", ("a", "b"), "[&#039;a&#039;, &#039;b&#039;]"),
        ("TEXT", "🚀 [U+1F680]", "[U+1F680] [U++1F680]"),
        ("TEXT", "🚀", "🚀"),
    ],
)
def test_what_another_version_spells_otherwise_is_none(kind, sent, now):
    assert differences({"f": sent}, ticket(("f", kind, now))) == ()


def test_a_field_listed_twice_has_to_be_right_in_both_places():
    assert differences({"f": "x"}, ticket(("f", "TEXT", "x"), ("f", "TEXT", "x"))) == ()
    assert differences({"f": "x"}, ticket(("f", "TEXT", "x"), ("f", "TEXT", "y"))) == (
        "f was sent as 'x' and is 'y' now",
    )


def test_a_title_has_to_be_right_in_the_ticket_and_in_its_form():
    changed = ticket(title="t")
    changed["fields"][0]["value"] = "u"
    assert differences({}, changed) == ("title was sent as 't' and is 'u' now",)
    assert differences({}, ticket(title="t") | {"title": "u"}) == ("title was sent as 't' and is 'u' now",)
    assert differences({}, ticket(title="u")) == ("title was sent as 't' and is 'u' now",)


def test_a_field_that_is_gone_is_a_difference_unless_nothing_was_sent():
    assert differences({"f": "x"}, ticket()) == ("f was sent as 'x' and is not in the ticket",)
    assert differences({"f": None, "g": ""}, ticket()) == ()


def test_fields_that_were_not_sent_are_not_compared():
    assert differences({}, ticket(("r7f", "RADIO", "true"), ("remark", "TEXT", "fine"))) == ()


def test_a_difference_shows_where_two_long_texts_part():
    same = "x" * 500
    (found,) = differences({"f": f"{same}ORDERS{same}"}, ticket(("f", "TEXT", f"{same}tmp_2{same}")))
    assert "ORDERS" in found
    assert "tmp_2" in found
    assert len(found) < 400


def test_a_difference_is_no_format_string():
    (found,) = differences({"f": "%s {0} %(x)s"}, ticket(("f", "TEXT", "%d {1}")))
    assert found == "f was sent as '%s {0} %(x)s' and is '%d {1}' now"


def test_a_request_without_a_form_matches_nothing():
    info = as_info(ticket())
    for request in ({}, {"fields": None}, {"fields": {}}, {"fields": "nonsense"}, {"fields": {"f": "x"}}):
        assert form_differences(request, info, V2)


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"service_id": 6, "creator": "admin"}, ["service_id was sent as '6' and is '5' now"]),
        ({"service_id": "5", "creator": "mallory"}, ["creator was sent as 'mallory' and is 'admin' now"]),
        ({"service_id": 5, "creator": "admin"}, []),
        ({"service_id": None, "fast_approval": True, "creator": "admin"}, []),
    ],
)
def test_a_ticket_of_another_service_or_creator_is_not_adopted(request_, named):
    info = as_info(ticket())
    assert list(ticket_differences(request_ | {"fields": {"title": "t"}}, info, V2)) == named


def test_a_creator_may_be_shown_with_a_display_name():
    info = as_info(ticket(creator="alice(爱丽丝)"))
    assert ticket_differences({"creator": "alice", "fields": {"title": "t"}}, info, V2) == ()
    assert ticket_differences({"creator": "ali", "fields": {"title": "t"}}, info, V2)


REQUEST = {"service_id": 5, "creator": "admin", "fields": {"title": "t", "content": "Drop table ORDERS"}}


def approved(**more: Any) -> Verdict:
    known: dict[str, Any] = {"outcome": Outcome.APPROVED, "reason": "", "current_status": "FINISHED"}
    return Verdict(sn=SN, **known | more)


def asked(verdict: Verdict, request: Mapping[str, Any] | None, data: Any) -> tuple[Verdict, list[str]]:
    paths: list[str] = []

    def answer(call: Any) -> Any:
        paths.append(call.path)
        return data

    return drive(confirm(verdict, request), answer), paths


def test_an_approval_of_what_was_sent_stands():
    verdict = approved()
    same = ticket(("content", "TEXT", "Drop table ORDERS"))
    assert asked(verdict, REQUEST, same) == (verdict, ["get_ticket_info/"])
    assert asked(verdict, REQUEST, same | {"service_id": None})[0] == verdict


def test_an_approval_of_an_edited_form_is_refused_and_names_both():
    verdict, _ = asked(approved(), REQUEST, ticket(("content", "TEXT", "Drop table tmp_2"), title="harmless"))
    assert (verdict.outcome, verdict.reason_code) == (Outcome.REJECTED, Reason.FORM_CHANGED)
    for text in ("'t'", "'harmless'", "'Drop table ORDERS'", "'Drop table tmp_2'", Reason.FORM_CHANGED.text):
        assert text in verdict.reason
    assert Verdict.from_dict(verdict.as_dict()) == verdict
    assert verdict.reason_code not in NOBODYS_ANSWER


def test_an_approval_of_another_service_is_refused():
    verdict, _ = asked(approved(), REQUEST | {"service_id": 6}, ticket(("content", "TEXT", "Drop table ORDERS")))
    assert (verdict.outcome, verdict.reason_code) == (Outcome.REJECTED, Reason.FORM_CHANGED)


def test_many_differences_are_counted():
    fields = {"title": "t"} | {f"f{number}": "x" for number in range(9)}
    verdict, _ = asked(approved(), {"fields": fields}, ticket())
    assert "f4 was sent" in verdict.reason
    assert "and 4 more" in verdict.reason
    assert "f5" not in verdict.reason


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.APPROVED])
def test_what_is_not_approved_costs_no_request(outcome):
    verdict = approved(outcome=outcome)
    assert asked(verdict, REQUEST, None) == (verdict, [])


def test_a_wait_without_the_request_costs_no_request():
    assert asked(approved(), None, None) == (approved(), [])


def test_an_answer_about_another_ticket_is_an_error():
    with pytest.raises(errors.ItsmUnexpectedAnswerError):
        asked(approved(), REQUEST, ticket(sn="REQ1"))


@pytest.fixture
def opened(sandbox, connections) -> tuple[Any, str, dict[str, Any]]:
    hook = ItsmHook()
    fields = {
        "title": '清理 <tmp> "2" #5f3a9c1e',
        "APPROVER": ["alice"],
        "APPROVAL_CONTENT": "Drop\n<b>ORDERS</b> 🚀",
    }
    request = {"service_id": None, "creator": "robot", "fast_approval": True, "fields": fields}
    return hook, hook.create_ticket(**{key: one for key, one in request.items() if one is not None}).sn, request


def confirmed(hook: Any, sn: str, request: Mapping[str, Any]) -> Verdict:
    return hook.run(confirm(hook.run(read_verdict(sn, VerdictPolicy())), request))


def test_p3_a_ticket_left_alone_stays_approved(opened, sandbox):
    hook, sn, request = opened
    sandbox.wait_for_step(sn)
    assert ticket_differences(request, read_info(hook.get_ticket_info(sn)), V2) == ()
    sandbox.approve(sn)
    assert confirmed(hook, sn, request).outcome is Outcome.APPROVED


@pytest.mark.parametrize(
    "edited",
    [{"title": "清理"}, {"APPROVAL_CONTENT": "Drop tmp_2"}, {"APPROVER": "mallory"}, {"APPROVAL_CONTENT": ""}],
)
def test_p3_a_ticket_edited_before_it_was_approved_is_not(opened, sandbox, edited):
    hook, sn, request = opened
    sandbox.edit(sn, **edited)
    assert ticket_differences(request, read_info(hook.get_ticket_info(sn)), V2)
    sandbox.approve(sn)
    verdict = confirmed(hook, sn, request)
    assert (verdict.outcome, verdict.reason_code) == (Outcome.REJECTED, Reason.FORM_CHANGED)


def test_p3_an_edit_that_was_taken_back_is_no_difference(opened, sandbox):
    hook, sn, request = opened
    before = sandbox.ticket(sn)["fields"]["APPROVAL_CONTENT"]
    sandbox.edit(sn, APPROVAL_CONTENT="Drop tmp_2")
    sandbox.edit(sn, APPROVAL_CONTENT=before)
    sandbox.approve(sn)
    assert confirmed(hook, sn, request).outcome is Outcome.APPROVED


def test_whom_each_step_asks_cannot_be_read_back(opened, sandbox):
    """Known: ITSM shows whose turn it is, and not whom ``meta.state_processors`` has named."""
    hook, sn, request = opened
    sandbox.approve(sn)
    assert confirmed(hook, sn, {**request, "processors": {"4": "mallory"}}).outcome is Outcome.APPROVED


def first_call(flow: Any) -> Any:
    """Return the first request of a flow that asks through a dialect."""
    return next(next(flow).of(V2))


STRICT = {"verdict_field": None, "verdict_value": "true", "require_evidence": True, "accept_automatic": False}


@pytest.mark.parametrize(
    ("asked", "settings", "judged"),
    [
        (STRICT, {}, None),
        (STRICT, {"accept_automatic": None}, None),
        (STRICT | {"accept_automatic": True}, {}, "accept_automatic"),
        (STRICT | {"verdict_field": "f"}, {}, "verdict_field"),
        (STRICT | {"verdict_value": "yes"}, {}, "verdict_value"),
        (STRICT | {"require_evidence": False}, {}, "require_evidence"),
        (STRICT | {"require_evidence": False}, {"require_evidence": True}, None),
        (STRICT | {"of_a_later_version": 1}, {}, None),
        (None, {}, None),
        ({"require_evidence": False}, {}, "require_evidence"),
        ({"require_evidence": True}, {}, None),
        ({name: value for name, value in STRICT.items() if name != "accept_automatic"}, {}, None),
        ({"verdict_field": "f", "verdict_value": "true", "require_evidence": True}, {}, "verdict_field"),
    ],
)
def test_p3_an_approval_is_judged_again_wherever_the_policy_was_another_one(asked, settings, judged):
    """A record of the version before has no policy, and the connection's of now counts as it did."""
    verdict = Verdict(
        sn=SN, outcome=Outcome.APPROVED, reason="", current_status="FINISHED", policy=VerdictPolicy()
    )
    flow = as_asked(verdict, {"policy": asked}, settings)
    if judged is None:
        assert drive(flow, None) is verdict
    else:
        assert first_call(flow).path == calls.ticket_approval_result([SN]).path


@pytest.mark.parametrize(
    "stored",
    [*(STRICT | {name: wrong} for name in STRICT for wrong in (7, ["true"])), "strict", [STRICT], True, 0, ""],
)
def test_p3_an_approval_whose_stored_policy_cannot_be_read_is_none(stored):
    verdict = Verdict(
        sn=SN, outcome=Outcome.APPROVED, reason="", current_status="FINISHED", policy=VerdictPolicy()
    )
    judged = drive(as_asked(verdict, {"policy": stored}), None)
    assert (judged.outcome, judged.reason_code, judged.stands) == (Outcome.REJECTED, Reason.UNREADABLE, False)


def test_p3_a_verdict_of_which_nothing_says_by_what_policy_it_was_read_is_judged_again():
    verdict = Verdict.from_dict({"sn": SN, "outcome": "approved", "reason_code": "approved"})
    assert first_call(as_asked(verdict, {"policy": STRICT})).path == calls.ticket_approval_result([SN]).path
