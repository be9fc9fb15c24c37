"""Answers turned into models."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider_bkitsm.itsm import errors, models, parsing

STATUS = {"current_status": "RUNNING", "current_steps": [{"state_id": 15, "processors": "admin,admin2"}]}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["sn", "id", "logs", "items", "page", "count", "fields", "create_at", "form_data"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
MODELS = [one for one in vars(models).values() if isinstance(one, type) and issubclass(one, parsing.ItsmModel)]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24 08:48:44", datetime(2026, 11, 24, 0, 48, 44, tzinfo=UTC)),
        ("2026-11-24 08:48:44.013543", datetime(2026, 11, 24, 0, 48, 44, 13543, tzinfo=UTC)),
        ("2026-11-24T08:48:44+00:00", datetime(2026, 11, 24, 8, 48, 44, tzinfo=UTC)),
        ("", None),
        (None, None),
    ],
)
def test_times_are_shanghai_and_become_aware_utc(text, moment):
    assert parsing.from_shanghai(text) == moment


def test_a_time_goes_there_and_back():
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert parsing.from_shanghai(parsing.to_shanghai(moment)) == moment


def test_people_are_split_and_unknown_keys_kept():
    status = parsing.one(models.TicketStatus)(STATUS | {"is_commented": False})
    assert status.current_steps[0].processors == ("admin", "admin2")
    assert status.is_commented is False  # type: ignore[attr-defined]


def test_answers_are_frozen():
    with pytest.raises(ValidationError):
        parsing.one(models.TicketStatus)(STATUS).current_status = "FINISHED"  # type: ignore[misc]


def test_callbacks_outer_commas_are_dropped():
    row = {"sn": "REQ1", "current_status": "FINISHED", "approve_result": True, "updated_by": ",admin,carol,"}
    assert parsing.one(models.ApprovalResult)(row).updated_by == ("admin", "carol")


@pytest.mark.parametrize("answer", [None, [], "REQ1", {}, {"sn": ""}, {"sn": None}, {"sn": 5}])
def test_p3_a_created_ticket_without_a_number_is_an_error(answer):
    with pytest.raises(errors.ItsmUnexpectedAnswerError):
        parsing.one(models.CreatedTicket)(answer)


def test_p8_what_was_wrong_is_named_but_not_shown():
    with pytest.raises(errors.ItsmUnexpectedAnswerError) as caught:
        parsing.one(models.TokenVerification)({"is_passed": "secret-token"})
    assert "is_passed" in str(caught.value)
    assert "secret-token" not in str(caught.value)


@pytest.mark.parametrize("model", MODELS)
@given(answer=ANY_JSON)
def test_any_answer_ends_in_a_model_or_an_itsm_error(model, answer):
    for parse in (parsing.one(model), parsing.many(model)):
        try:
            parse(answer)
        except errors.ItsmUnexpectedAnswerError:
            continue
