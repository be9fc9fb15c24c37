# SPDX-License-Identifier: Apache-2.0
"""The cases of ITSM v4: what happens, what is expected, who shows it, and which facts the expectation leans on.

``F`` is put to the sandbox as it comes over the wire, ``C`` to the provider's client. The letters of the sources
are those of ``itsm/v4/facts.py``. A case without a source is assumed: a real server has still to show it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from airflow_provider_bkitsm.itsm.v4.facts import FACTS, Confidence, Fact


def facts_of(keys: Iterable[str]) -> tuple[Fact, ...]:
    """Return the named facts, those that are least sure first.

    :raises KeyError: there is no such fact.
    """
    order = list(Confidence)
    return tuple(
        sorted((FACTS[key] for key in set(keys)), key=lambda one: (-order.index(one.confidence), one.key))
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case.

    :param sides: ``F``, ``C`` or both.
    :param sources: letters of the clients that show it; empty: assumed, or our own rule.
    :param facts: keys of the facts it leans on.
    """

    number: int
    sides: str
    situation: str
    sources: str
    facts: tuple[str, ...]

    @property
    def confidence(self) -> Confidence:
        """How sure the case is: as sure as the least sure of its facts."""
        return self.leans_on[0].confidence

    @property
    def leans_on(self) -> tuple[Fact, ...]:
        """Its facts, the least sure first."""
        return facts_of(self.facts)


_ROWS = (
    (1, "F", "create with a workflow, a title and an operator", "M H", "create draft identity"),
    (2, "F", "the same body twice", "", "same-body-twice"),
    (3, "F", "detail right after create", "M B", "draft detail"),
    (4, "C", "a create answer without id", "G", "create-without-id"),
    (5, "C", "a create times out, and the list finds one by the title", "", "list-filters settles"),
    (
        6,
        "C",
        "a create times out, and the list finds none after the wait",
        "",
        "list-filters list-visibility settles",
    ),
    (7, "C", "a create times out, and the list finds two", "", "list-filters revoke"),
    (
        8,
        "C",
        "the create answer is lost, and a callback with our token comes",
        "G",
        "callback-body callback-address",
    ),
    (9, "FC", "a success's code as text or number, 20000 or 0", "I H B", "envelope"),
    (10, "C", "result true and data that is no object", "", "envelope"),
    (11, "F", "an unknown system on system_workflow/list", "G M", "http-status"),
    (12, "C", "400 with 40000 is a refusal, 500 with 40000 an outage", "G", "http-status server-error"),
    (13, "F", "a second system/create", "I", "http-status"),
    (14, "F", "migrate with the multipart field file", "G B", "workflow-list migrate-multipart"),
    (15, "F", "migrate as JSON", "", "migrate-multipart"),
    (16, "F", "migrate of keys that exist", "G", "http-status"),
    (17, "C", "a workflow without an approval step", "I", "workflow-detail"),
    (18, "C", "an approval step fed by another key than the connection's", "I", "workflow-detail"),
    (19, "F", "a form key that the workflow has not", "", "no-key-no-field"),
    (20, "F", "a mandatory form key that is missing", "", "no-key-no-field"),
    (21, "FC", "approvers as a text with commas", "S D G H U", "people-list"),
    (22, "F", "an approval by whom the task asks", "B H S", "tasks ended-words"),
    (23, "F", "a refusal", "U D", "rejected"),
    (24, "F", "an answer by somebody else, or at another task", "", "workflow-handle"),
    (25, "F", "an answer after the end", "", "workflow-handle"),
    (26, "FC", "a countersign of two people, one of whom refuses", "B", "tasks rejected"),
    (27, "C", "a log with start and submit, and no end", "U", "logs"),
    (28, "C", "a log with an approval or a refusal, and an end", "U", "logs rejected"),
    (29, "C", "a log with a termination, and an end", "U", "logs ended-words"),
    (30, "FC", "finished and true, without any approval step", "U", "tasks logs"),
    (31, "FC", "finished and true, approved by ITSM itself", "G", "automatic-text own-approval"),
    (32, "C", "approve_result true while the ticket runs", "I", "ended-words"),
    (33, "FC", "the words suspend and suspended", "H I", "suspended-word"),
    (34, "C", "status words in other cases", "D U", "ended-words"),
    (35, "C", "an unknown word, with and without the time of the end", "H", "unknown-word ended-by-time"),
    (36, "FC", "approve_result as a text or null at the end", "H", "verdict-type"),
    (37, "F", "a withdrawal", "B H I", "revoke callback-all-ends"),
    (38, "FC", "the envelope says success, data.result says false", "B H", "revoke"),
    (39, "FC", "a withdrawal of a ticket that is over", "", "revoke-when-over"),
    (40, "F", "the callback's body at the end", "H I G", "callback-body"),
    (41, "C", "a callback with a wrong, missing or empty token", "G U", "callback-body"),
    (42, "C", "the right token with another ticket", "G", "callback-body identity"),
    (43, "C", "a callback says approved, and the ticket still runs", "B", "detail"),
    (44, "C", "a callback that comes twice", "U B G", "callback-answer"),
    (45, "C", "a callback of a ticket that nobody waits for", "U B", "callback-answer"),
    (46, "F", "a receiver that answers false, 500 or no JSON", "B", "callback-answer sent-once"),
    (47, "F", "a receiver that answers result true without a code", "G U B", "callback-answer"),
    (48, "C", "a batch of 51 tickets, one of them unknown", "I B", "batch left-out"),
    (49, "F", "a page of 100", "B", "batch"),
    (50, "FC", "two tenants, the same number for people", "I", "identity tenant-header"),
    (51, "FC", "current steps without a task's id", "M B", "steps-shape"),
    (52, "FC", "a processor that is a list", "U", "processor-shape"),
    (53, "C", "times with an offset, and times without", "G M", "times zone"),
    (54, "C", "a ticket of v2, while its connection says v4", "U D", "identity"),
    (55, "F", "a GET on ticket/create", "", "gateway-name"),
)
CASES = {
    number: Case(number=number, sides=sides, situation=situation, sources=sources, facts=tuple(facts.split()))
    for number, sides, situation, sources, facts in _ROWS
}


def case(number: int) -> pytest.MarkDecorator:
    """Mark a test as one of a case."""
    return pytest.mark.v4_case(CASES[number])
