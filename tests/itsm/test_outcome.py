# SPDX-License-Identifier: Apache-2.0
"""Outcomes and their traits, and the reasons of them."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.outcome import APPROVING, NOBODYS_ANSWER, Outcome, Reason


@pytest.mark.parametrize(
    ("outcome", "is_final", "is_decision", "frees_collector", "progress"),
    [
        (Outcome.WAITING, False, False, False, None),
        (Outcome.APPROVED, True, True, False, Progress.FINISHED),
        (Outcome.REJECTED, True, True, True, Progress.FINISHED),
        (Outcome.WITHDRAWN, True, False, True, Progress.WITHDRAWN),
        (Outcome.TERMINATED, True, False, True, Progress.TERMINATED),
        (Outcome.TIMED_OUT, True, False, True, None),
    ],
)
def test_the_traits_of_each_outcome(outcome, is_final, is_decision, frees_collector, progress):
    traits = (outcome.is_final, outcome.is_decision, outcome.frees_collector, outcome.progress)
    assert traits == (is_final, is_decision, frees_collector, progress)


def test_every_reason_has_a_text_of_its_own():
    assert len({one.text for one in Reason}) == len(Reason)


def test_a_reason_that_nobody_decided_approves_nothing():
    assert not NOBODYS_ANSWER & APPROVING
    assert {Reason.REFUSED, Reason.WITHDRAWN, Reason.TERMINATED, Reason.DEADLINE} & NOBODYS_ANSWER == set()
