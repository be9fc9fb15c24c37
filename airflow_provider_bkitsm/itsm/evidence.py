# SPDX-License-Identifier: Apache-2.0
"""What a ticket's log proves: who answered what at which approval step, and whether a refusal still stands.

ITSM's own verdict is true as well for a flow without any approval step, for a step that ITSM skipped, and for a
ticket whose refusing step was deleted from the live workflow. The log keeps what people answered. The rule is
docs/itsm-behaviour.md#1-when-is-a-ticket-approved; what it does not know is not proved. Which line of a log is an
answer, the dialect says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from airflow_provider_bkitsm.itsm.models import LogEntry, StepAnswer
from airflow_provider_bkitsm.itsm.people import person_key

# The step that holds the ticket's title is the question, whoever answers it.
_TITLE = "title"


class Finding(StrEnum):
    """What a log proves about a ticket that ITSM calls approved."""

    PROVED = "proved"
    AUTOMATIC = "automatic"
    REFUSAL_STANDS = "refusal_stands"
    UNCLEAR = "unclear"
    NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A finding, every answer in the log, oldest first, and those of them that the finding rests on.

    :param agreed: the different people who have said yes, and whose yes counts at the end.
    """

    finding: Finding
    answers: tuple[StepAnswer, ...] = ()
    because_of: tuple[StepAnswer, ...] = ()
    agreed: tuple[str, ...] = ()


def is_yes(values: Sequence[Any], *, yes: str) -> bool | None:
    """Whether an answer is the one that means yes; None where it is empty, or given in several ways."""
    first = values[0] if values else None
    is_clear = first not in (None, "") and all(value == first for value in values)
    return first == yes if is_clear else None


def field_answer_of(entry: LogEntry, *, key: str, yes: str) -> StepAnswer | None:
    """Return what an entry answers in a form field; None if it does not hold the field, or is the submit step."""
    keys = {field.key for field in entry.fields}
    if key not in keys or _TITLE in keys - {key}:
        return None
    return StepAnswer(
        operator=entry.operator,
        approved=is_yes([field.value for field in entry.fields if field.key == key], yes=yes),
        automatic=entry.automatic,
        key=key,
        step=entry.step,
        remark=entry.remark,
        answered_at=entry.at,
    )


def prove(entries: Sequence[LogEntry], *, accept_automatic: bool = False) -> Proof:
    """Return what the approval steps of a log prove."""
    answers = {place: entry.answer for place, entry in enumerate(entries) if entry.answer}
    form_steps = [place for place, entry in enumerate(entries) if entry.is_form_step]
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
    return replace(_conclude(tuple(answers.values()), standing), agreed=_agreed(answers, form_steps))


def prove_field(entries: Iterable[LogEntry], *, key: str, yes: str) -> Proof:
    """Return what a log proves about a form field that holds the verdict: its last answer counts."""
    found = (field_answer_of(entry, key=key, yes=yes) for entry in entries)
    answers = tuple(answer for answer in found if answer is not None)
    proof = _conclude(answers[-1:], [one for one in answers[-1:] if not one.approved], shown=answers)
    return replace(proof, agreed=_agreed(dict(enumerate(answers[-1:])), ()))


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


def _agreed(answers: Mapping[int, StepAnswer], form_steps: Sequence[int]) -> tuple[str, ...]:
    """Return the different people whose yes counts at the end; what ITSM answers by itself is nobody's.

    A person's last answer has to be a yes. A yes to an earlier form counts no more once its step has asked again.
    Of the people whom an answer names together, one has answered for the other: they are one person, as is whoever
    answers for several.
    """
    last = {person_key(one.operator): one for one in answers.values()}
    said_yes = [
        answer
        for place, answer in answers.items()
        if answer.approved is True and not answer.automatic and not _is_asked_again(place, answers, form_steps)
    ]
    named: set[str] = {""}
    agreed: list[str] = []
    for answer in sorted(said_yes, key=lambda one: one.agent != ""):
        people = {person_key(answer.operator), person_key(answer.agent or answer.operator)}
        if not people & named and last[person_key(answer.operator)].approved:
            agreed.append(answer.operator)
            named |= people
    return tuple(agreed)


def _is_asked_again(place: int, answers: Mapping[int, StepAnswer], form_steps: Sequence[int]) -> bool:
    """Whether a step was answered once more after somebody has handled a form. One without key may be any."""
    key = answers[place].key
    later = [at for at, one in answers.items() if at > place and (not key or one.key in ("", key))]
    return any(place < step < at for step in form_steps for at in later)


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
