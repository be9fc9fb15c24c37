# SPDX-License-Identifier: Apache-2.0
"""Which line of a v2 log is an answer of an approval step, and what it says.

What follows from the answers: :mod:`airflow_provider_bkitsm.itsm.evidence`. No literal word of a message is
matched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import unescape
from typing import Any

from airflow_provider_bkitsm.itsm import models as inner
from airflow_provider_bkitsm.itsm.evidence import is_yes
from airflow_provider_bkitsm.itsm.people import NOBODY, person_key
from airflow_provider_bkitsm.itsm.v2.log_sentences import read_sentence
from airflow_provider_bkitsm.itsm.v2.models import FormField, LogEntry

_APPROVAL, _FORM_STEP, _STATUS_DROPPED = "APPROVAL", "NORMAL", ""
_VERDICT_CODE = "APPROVE_RESULT"
_YES = "true"
_AUTOMATIC = frozenset({"SYS", "AUTOMATIC"})
_BRACKETS = (("(", ")"), ("（", "）"))
_STEP_NAME = re.compile(r"【(.+?)】")


def read_entry(entry: LogEntry) -> inner.LogEntry:
    """Return a line of the log as the core knows it."""
    return inner.LogEntry(
        operator=entry.operator,
        at=entry.operate_at,
        message=entry.message,
        answer=answer_of(entry),
        fields=tuple(map(read_field, entry.form_data)),
        step=_step(entry),
        remark=_remark(entry.form_data),
        is_form_step=_is_form_step(entry),
        is_of_person=entry.from_state_type == _FORM_STEP and not _is_automatic(entry),
        automatic=_is_automatic(entry),
        sentence=read_sentence(entry.message),
    )


def read_field(field: FormField) -> inner.FormField:
    """Return a field of a form as the core knows it."""
    return inner.FormField(
        key=field.key,
        type=field.type,
        name=field.name,
        value=field.value,
        display_value=field.display_value,
    )


def answer_of(entry: LogEntry) -> inner.StepAnswer | None:
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
    return inner.StepAnswer(
        operator=entry.operator,
        approved=is_yes([item.value] if item else [], yes=_YES),
        automatic=_is_automatic(entry),
        key=item.key if item else "",
        step=_step(entry),
        remark=_remark(entry.form_data),
        answered_at=entry.operate_at,
    )


def _is_automatic(entry: LogEntry) -> bool:
    """Whether ITSM did this by itself; what names no person, no person did, whatever its source."""
    return entry.source in _AUTOMATIC or person_key(entry.operator) in NOBODY


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


def _step(entry: LogEntry) -> str:
    named = _STEP_NAME.search(entry.message)
    return named[1] if named else ""


def _remark(fields: Iterable[FormField]) -> str:
    return next((str(one.value) for one in fields if one.type == "TEXT" and one.value not in (None, "")), "")
