# SPDX-License-Identifier: Apache-2.0
"""Who answered what in a ticket of ITSM v4: its log and its approval tasks, joined into one log.

Neither alone is enough: a log tells the order and the remark, a task tells an answer that ITSM gave by itself.
``history_processors`` are not those who decided. What is in one of the two only counts as well, so that a refusal
stands wherever it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

from airflow_provider_bkitsm.itsm.models import LogEntry, StepAnswer
from airflow_provider_bkitsm.itsm.people import NOBODY, person_key
from airflow_provider_bkitsm.itsm.v4.reading import LogLine, Task, moment

_APPROVES = "approve"
# Fact "refusal-word": the sources differ, so any form of such a word counts.
_REFUSES = re.compile(r"refus|reject|disagree|disapprov|\bden(y|ied)")
# A task that nobody has answered yet.
_UNANSWERED = frozenset({"", "draft", "running", "wait", "receiving", "distributing", "suspend", "suspended"})
_APPROVAL, _SUBMISSION = "APPROVE_TASK", "SUBMIT"
# Fact "automatic-text"; the text may be translated.
_AUTOMATIC = re.compile(
    r"自动(审批|审核|批准|同意|通过|处理|提交|跳过|流转|完成)"
    r"|\bauto(matic(ally)?)?[ -]?(approv|agree|accept|pass|process|submi|skip)"
    r"|\b(approv|agree|accept|pass|process|submit|skip)(p?ed|t?ed|s)? auto(matically)?\b",
    re.IGNORECASE,
)
_PERSON = frozenset({"", "user"})


def entries_of(
    lines: Iterable[LogLine], tasks: Iterable[Task], *, creator: str, zone: ZoneInfo
) -> tuple[LogEntry, ...]:
    """Return a ticket's log, oldest entry first.

    :param creator: of the ticket. An approval in this name, or in that of whoever has handed the ticket in, may be
        ITSM's own (fact ``own-approval``).
    """
    lines = _oldest_first([*lines], zone)
    creators = {person_key(one) for one in (creator, *_submitters(lines))} - {""}
    left = [answer for task in tasks if (answer := _answer_of_task(task, creators, zone)) is not None]
    entries = []
    for line in lines:
        answer = _answer_of_line(line, creators, zone)
        twin = next((one for one in left if answer and _are_one(answer, one)), None)
        if answer and twin:
            left.remove(twin)
            answer = replace(
                answer,
                key=answer.key or twin.key,
                automatic=answer.automatic or twin.automatic,
                remark=answer.remark or twin.remark,
            )
        entries.append(_entry_of_line(line, answer, zone))
    for answer in left:
        entries.insert(_place(entries, answer), _entry_of_task(answer))
    return tuple(entries)


def _read_word(word: str) -> bool | None:
    """Return what a word answers; None for any other word."""
    if word == _APPROVES:
        return True
    return False if _REFUSES.search(word) else None


def _oldest_first(lines: Sequence[LogLine], zone: ZoneInfo) -> Sequence[LogLine]:
    """Return a log in the order of its times: a later answer outweighs an earlier one.

    Lines of one second stay as they are listed; a log that begins with the latest line is turned round before.
    """
    dated = [(moment(line.operate_at, zone), line) for line in lines]
    times = [at for at, _ in dated if at is not None]
    if times and times[0] > times[-1]:
        dated.reverse()
    if len(times) == len(dated):
        dated.sort(key=lambda pair: pair[0].timestamp() if pair[0] else 0.0)
    return [line for _, line in dated]


def _submitters(lines: Iterable[LogLine]) -> Iterable[str]:
    return (line.operator for line in lines if _is_submission(line))


def _is_submission(line: LogLine) -> bool:
    return line.activity_type == _SUBMISSION or line.action == "submit"


def _answer_of_line(line: LogLine, creators: Collection[str], zone: ZoneInfo) -> StepAnswer | None:
    """Return the answer in a log line; None for every other line, such as a hand-over or the submission.

    An approval counts at an approval step alone, a refusal everywhere.
    """
    approved = _read_word(line.action)
    if approved is None or (approved and line.activity_type not in (_APPROVAL, "")):
        return None
    return StepAnswer(
        operator=line.operator,
        approved=approved,
        automatic=approved and _is_automatic_line(line, creators),
        key=line.activity_key,
        step=line.activity_name,
        remark=line.remark,
        answered_at=moment(line.operate_at, zone),
        agent=line.agent,
    )


def _answer_of_task(task: Task, creators: Collection[str], zone: ZoneInfo) -> StepAnswer | None:
    """Return the answer in a task; None while it has none. Of a word that is not known nobody can tell."""
    approved = _read_word(task.status)
    if task.status in _UNANSWERED or (approved is None and not (task.operator or task.operator_at)):
        return None
    return StepAnswer(
        operator=task.operator,
        approved=approved,
        automatic=bool(approved)
        and _is_automatic(task.operator, task.operator_type, creators, task.desc, task.status_display),
        key=task.activity_key,
        step=task.name,
        remark=task.desc,
        answered_at=moment(task.operator_at, zone),
    )


def _is_automatic(operator: str, operator_type: str, creators: Collection[str], *texts: str) -> bool:
    """Whether ITSM approved by itself, or may have done so in its creator's name, whoever that is."""
    account = person_key(operator)
    if account in NOBODY or operator_type not in _PERSON or not creators or account in creators:
        return True
    return any(_AUTOMATIC.search(text) for text in texts)


def _is_automatic_line(line: LogLine, creators: Collection[str]) -> bool:
    """As ``_is_automatic``; whoever asks may not answer in an approver's place either, nor may ITSM."""
    texts = (line.message, line.remark, line.action_display)
    agent = person_key(line.agent)
    is_of_another = agent in creators or (agent != "" and agent in NOBODY)
    return is_of_another or _is_automatic(line.operator, line.operator_type, creators, *texts)


def _are_one(line: StepAnswer, task: StepAnswer) -> bool:
    same_step = not line.key or not task.key or line.key == task.key
    return same_step and (line.operator, line.approved) == (task.operator, task.approved)


def _entry_of_line(line: LogLine, answer: StepAnswer | None, zone: ZoneInfo) -> LogEntry:
    is_person = bool(line.operator) and line.operator_type in _PERSON
    return LogEntry(
        operator=line.operator,
        at=moment(line.operate_at, zone),
        message=line.message or line.action_display or line.action,
        answer=answer,
        step=line.activity_name,
        remark=line.remark,
        is_form_step=_is_submission(line),
        automatic=not is_person,
    )


def _entry_of_task(answer: StepAnswer) -> LogEntry:
    return LogEntry(
        operator=answer.operator,
        at=answer.answered_at,
        message=answer.step,
        answer=answer,
        step=answer.step,
        remark=answer.remark,
        automatic=answer.automatic,
    )


def _place(entries: Sequence[LogEntry], answer: StepAnswer) -> int:
    """Return where an answer belongs that the log lacks.

    Its order is known only as far as times tell. So an approval stands before whatever is not known to be earlier,
    and anything else behind whatever is not known to be later: no approval outweighs a refusal by chance.
    """
    at = answer.answered_at
    if answer.approved:
        earlier = (at is not None and one.at is not None and one.at < at for one in entries)
        return next((place for place, is_earlier in enumerate(earlier) if not is_earlier), len(entries))
    later = [at is not None and one.at is not None and one.at > at for one in entries]
    return next((place for place in range(len(entries), 0, -1) if not later[place - 1]), 0)
