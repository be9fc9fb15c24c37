# SPDX-License-Identifier: Apache-2.0
"""What no public client of ITSM v4 shows: twelve questions, what a probe sees of them, what a person looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Found = Mapping[str, Any]
# A question; the results of a probe that are about it; what to look at where they do not answer it.
_QUESTIONS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "What does a callback look like, and is it repeated?",
        ("withdrawn.called_back",),
        "The body and the names of the headers that a receiver of your own gets (meta callback_url of a task), for"
        " a ticket that is approved, refused, withdrawn and terminated; answer HTTP 500 once, and wait an hour for"
        " a second one. Send no values of headers: they may hold a secret of ITSM's",
    ),
    (
        "What is approve_result without an approval step, with several, and before the end?",
        ("past.finished", "past.verdict_before_the_end", "asks.approve_result"),
        "A ticket of a workflow without an approval step, and one with two steps whose second one refuses: run the"
        " probe again once both are over",
    ),
    (
        "Which filters of the lists count, and what do they show an application?",
        ("ticket_list.filters", "system_ticket_list.filters", "found_by_title"),
        "Nothing, after --create",
    ),
    (
        "Who may withdraw a ticket, and what of one that is over?",
        ("withdrawn_once", "withdrawn.status", "withdrawn_twice"),
        "The ticket's log on its page: in whose name it was withdrawn; the same with the step's button off",
    ),
    (
        "Which codes has an error besides 40000?",
        ("codes", "other_codes"),
        "The codes that your colleagues' applications log",
    ),
    (
        "Does a ticket start by itself, and is there a draft that never does?",
        ("created.status", "asks.steps", "past.drafts"),
        "Where drafts are counted: whether one of them is older than an hour, and which workflow it is of",
    ),
    (
        "What does a form have to hold: an unknown key, no approver, an unknown approver?",
        ("forms",),
        "Nothing, after --more",
    ),
    (
        "Does the API terminate a ticket?",
        ("terminated",),
        "Nothing, after --more with --approver; a refusal may be the right that the approver lacks",
    ),
    (
        "In which zone are times without an offset?",
        ("created.hours_off",),
        "Nothing, after --create: 0 says that the connection's time_zone is right",
    ),
    (
        "How long may a title and a text be, and how often may one ask?",
        ("past.longest_title",),
        "The designer's limits of the title and of the form's fields; the gateway's page of the application says"
        " how often it may call",
    ),
    (
        "When is SYSTEM-TOKEN really asked for?",
        ("without_secret.system_ticket_list",),
        "Where the connection has no system_token: ask whoever registered the system whether it has one",
    ),
    (
        "Does the list of a system need it, and which filters has it?",
        ("without_secret.system_ticket_list", "system_ticket_list.filters"),
        "Nothing, with system_id and system_token in the connection, after --create",
    ),
)


def answered(found: Found) -> list[dict[str, str]]:
    """Return the questions with what the results say of them: nothing, a part or all; and what is left to do."""
    codes = set(_codes(found))
    results = {**found, "codes": sorted(codes), "other_codes": sorted(codes - {"40000"})}
    return [
        {"question": question, "seen": _seen([_at(results, path) for path in paths]), "by_hand": by_hand}
        for question, paths, by_hand in _QUESTIONS
    ]


def _seen(values: list[Any]) -> str:
    known = [value for value in values if value not in (None, [], {})]
    return "nothing" if not known else "all of it" if len(known) == len(values) else "a part"


def _at(found: Any, path: str) -> Any:
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _codes(found: Any) -> list[str]:
    """Return the codes of all errors in the results."""
    if not isinstance(found, Mapping):
        return []
    own = [str(found["code"])] if "error" in found and found.get("code") else []
    return own + [code for one in found.values() for code in _codes(one)]
