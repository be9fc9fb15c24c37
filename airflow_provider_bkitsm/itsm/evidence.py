# SPDX-License-Identifier: Apache-2.0
"""What a ticket's log proves: who answered what at which approval step, and whether a refusal still stands.

ITSM's own ``approve_result`` is true as well for a flow without any approval step, for a step that ITSM skipped,
and for a ticket whose refusing step was deleted from the live workflow. The log keeps what people answered. The
rule is docs/itsm-behaviour.md#1-when-is-a-ticket-approved; what it does not know is not proved. No literal word of
a message is matched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from html import unescape
from typing import Any

from airflow_provider_bkitsm.itsm.models import FormField, LogEntry

_APPROVAL, _FORM_STEP, _STATUS_DROPPED = "APPROVAL", "NORMAL", ""
_VERDICT_CODE = "APPROVE_RESULT"
_YES = "true"
_AUTOMATIC = frozenset({"SYS", "AUTOMATIC"})
_BRACKETS = (("(", ")"), ("（", "）"))
_STEP_NAME = re.compile(r"【(.+?)】")
# The step that holds the ticket's title is the question, whoever answers it.
_TITLE = "title"


@dataclass(frozen=True, kw_only=True)
class StepAnswer:
    """One answer in the log.

    :param approved: None where the entry holds an answer that cannot be told.
    :param automatic: ITSM answered by itself, in somebody's name or in its own.
    :param key: the verdict item's key, the same for a step in every round; empty where it cannot be told.
    :param step: the step's name, as far as the entry's message shows it.
    """

    operator: str
    approved: bool | None
    automatic: bool
    key: str
    step: str
    remark: str
    answered_at: datetime | None


class Finding(StrEnum):
    """What a log proves about a ticket that ITSM calls approved."""

    PROVED = "proved"
    AUTOMATIC = "automatic"
    REFUSAL_STANDS = "refusal_stands"
    UNCLEAR = "unclear"
    NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A finding, every answer in the log, oldest first, and those of them that the finding rests on."""

    finding: Finding
    answers: tuple[StepAnswer, ...] = ()
    because_of: tuple[StepAnswer, ...] = ()


def answer_of(entry: LogEntry) -> StepAnswer | None:
    """Return the answer of an approval step; None for every other entry, such as a hand-over or a withdrawal.

    The entry of a step whose status ITSM has dropped has no type any more. Its verdict item is marked by ``meta``.
    """
    marked = [field for field in entry.form_data if _is_marked(field)]
    if entry.from_state_type == _STATUS_DROPPED:
        items = marked
    elif entry.from_state_type == _APPROVAL:
        items = marked or [field for field in entry.form_data if field.type == "RADIO"]
    else:
        items = []
    if not items:
        return None
    item = _only(items) or _only([one for one in items if _closes(entry.message, one.display_value)])
    return _answer(entry, item.key if item else "", [item.value] if item else [], yes=_YES)


def field_answer_of(entry: LogEntry, *, key: str, yes: str) -> StepAnswer | None:
    """Return what an entry answers in a form field; None if it does not hold the field, or is the submit step."""
    keys = {field.key for field in entry.form_data}
    if key not in keys or _TITLE in keys - {key}:
        return None
    return _answer(entry, key, [field.value for field in entry.form_data if field.key == key], yes=yes)


def prove(entries: Sequence[LogEntry], *, accept_automatic: bool = False) -> Proof:
    """Return what the approval steps of a log prove."""
    answers = {place: answer for place, entry in enumerate(entries) if (answer := answer_of(entry))}
    form_steps = [place for place, entry in enumerate(entries) if _is_form_step(entry)]
    believed = {
        place: answer
        for place, answer in answers.items()
        if answer.approved and (accept_automatic or not answer.automatic)
    }
    standing = [
        answer
        for place, answer in answers.items()
        if not answer.approved and not _is_superseded(place, answers, believed, form_steps)
    ]
    return _conclude(tuple(answers.values()), standing)


def prove_field(entries: Iterable[LogEntry], *, key: str, yes: str) -> Proof:
    """Return what a log proves about a form field that holds the verdict: its last answer counts."""
    found = (field_answer_of(entry, key=key, yes=yes) for entry in entries)
    answers = tuple(answer for answer in found if answer is not None)
    return _conclude(answers[-1:], [one for one in answers[-1:] if not one.approved], shown=answers)


def _conclude(
    answers: tuple[StepAnswer, ...], standing: Sequence[StepAnswer], *, shown: tuple[StepAnswer, ...] | None = None
) -> Proof:
    yes = [one for one in answers if one.approved]
    groups = {
        Finding.REFUSAL_STANDS: [one for one in standing if one.approved is False],
        Finding.UNCLEAR: [one for one in standing if one.approved is None],
        Finding.PROVED: [one for one in yes if not one.automatic],
        Finding.AUTOMATIC: yes,
    }
    finding = next((one for one, group in groups.items() if group), Finding.NOTHING)
    because_of = tuple(groups.get(finding, ()))
    return Proof(finding=finding, answers=answers if shown is None else shown, because_of=because_of)


def _is_superseded(
    place: int,
    answers: dict[int, StepAnswer],
    believed: dict[int, StepAnswer],
    form_steps: Sequence[int],
) -> bool:
    """Whether the same step has asked again and got a yes: of the same person, or about an edited form."""
    answer = answers[place]
    if not answer.key:
        return False
    own = [at for at, one in answers.items() if (one.key, one.operator) == (answer.key, answer.operator)]
    if answer.operator and own[-1] in believed:
        return True
    later = [at for at, one in believed.items() if at > place and one.key == answer.key]
    return any(place < step < at for step in form_steps for at in later)


def _is_form_step(entry: LogEntry) -> bool:
    """Whether somebody has handled a form; the type of a step whose status was dropped is empty."""
    if entry.from_state_type == _FORM_STEP:
        return True
    dropped = entry.from_state_type == _STATUS_DROPPED and bool(entry.operator)
    filled = any(field.key for field in entry.form_data)
    return dropped and filled and not any(_is_marked(field) for field in entry.form_data)


def _is_marked(field: FormField) -> bool:
    return isinstance(field.meta, dict) and field.meta.get("code") == _VERDICT_CODE


def _only(items: Sequence[FormField]) -> FormField | None:
    return items[0] if len(items) == 1 else None


def _closes(message: str, value: Any) -> bool:
    """Whether a message ends with a value in brackets: ITSM ends an approval's message with the verdict."""
    if not isinstance(value, str) or not value:
        return False
    end = unescape(message).rstrip()
    return any(end.endswith(f"{left}{unescape(value)}{right}") for left, right in _BRACKETS)


def _answer(entry: LogEntry, key: str, values: Sequence[Any], *, yes: str) -> StepAnswer:
    first = values[0] if values else None
    told = first not in (None, "") and all(value == first for value in values)
    named = _STEP_NAME.search(entry.message)
    return StepAnswer(
        operator=entry.operator,
        approved=first == yes if told else None,
        automatic=entry.source in _AUTOMATIC,
        key=key,
        step=named[1] if named else "",
        remark=_remark(entry.form_data),
        answered_at=entry.operate_at,
    )


def _remark(fields: Iterable[FormField]) -> str:
    return next((str(one.value) for one in fields if one.type == "TEXT" and one.value not in (None, "")), "")
