# SPDX-License-Identifier: Apache-2.0
"""What v2's status words mean (promise P3: what is not known to be an end is a wait)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.v2.status import progress_of

ENDS = {"FINISHED": Progress.FINISHED, "REVOKED": Progress.WITHDRAWN, "TERMINATED": Progress.TERMINATED}
OPEN_STATUSES = ["RUNNING", "SUSPENDED", "NEW", "RESOLVED", "CONFIRMED", "", "finished", "FINISHED ", "FAILED"]


@pytest.mark.parametrize("word", [*OPEN_STATUSES, *ENDS])
def test_p3_only_the_words_of_an_end_are_one(word):
    assert progress_of(word).has_ended == (word in ENDS)
    assert progress_of(word) is ENDS.get(word, progress_of(word))


@given(st.text())
def test_p3_a_word_nobody_knows_is_open(word):
    assert progress_of(word).has_ended == (word in ENDS)


def test_a_running_and_a_suspended_ticket_are_told_apart():
    assert (progress_of("RUNNING"), progress_of("SUSPENDED")) == (Progress.RUNNING, Progress.SUSPENDED)
    assert progress_of("NEW") is Progress.OPEN
