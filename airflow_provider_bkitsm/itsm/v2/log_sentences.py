# SPDX-License-Identifier: Apache-2.0
"""What ITSM v2's log says in Chinese sentences, taken apart for readers of other languages. Pure.

Only for people. Whether a line is an answer, and which, :mod:`airflow_provider_bkitsm.itsm.v2.evidence` tells, and
it matches no literal word. A sentence that is not known here stays as ITSM wrote it.
"""

from __future__ import annotations

import re
from html import unescape

from airflow_provider_bkitsm.itsm.models import LogAction, LogSentence

# Far more than any sentence; what is beyond is not searched.
_LONGEST = 1_000
_WHO, _STEP = r"(?P<person>\S.*?)\s+", r"【(?P<step>.+)】"
_END = r"[.。]?"
_NOTE = r"(?:[(（](?P<note>.*)[)）])?"
# The submit step of every flow, whatever else a step is called.
_SUBMISSION = "提单"
_ANSWERS = {"通过": LogAction.APPROVED, "同意": LogAction.APPROVED, "拒绝": LogAction.REFUSED}

# Recorded of a real server, but for those of CLAIMED, ASSIGNED and a step's TERMINATED, which are written after
# ITSM's names of these operations.
_SENTENCES = tuple(
    (re.compile(pattern, re.DOTALL), action)
    for pattern, action in (
        (rf"流程开始{_END}", LogAction.BEGAN),
        (rf"流程结束{_END}", LogAction.ENDED),
        (rf"自动处理单据任务{_STEP}执行成功{_END}", LogAction.RAN),
        (rf"WebHook任务{_STEP}执行成功{_END}", LogAction.RAN),
        (rf"{_WHO}已处理{_STEP}[(（](?P<answer>[^()（）]*)[)）]{_END}", LogAction.ANSWERED),
        (rf"{_WHO}处理{_STEP}{_END}", LogAction.HANDLED),
        (
            rf"{_WHO}转单{_STEP}给\s*(?P<to>[^\s()（）]+)(?:[(（][^()（）]*[)）])?{_NOTE}{_END}",
            LogAction.HANDED_OVER,
        ),
        (
            rf"{_WHO}(?:派单|分派){_STEP}给\s*(?P<to>[^\s()（）]+)(?:[(（][^()（）]*[)）])?{_END}",
            LogAction.ASSIGNED,
        ),
        (rf"{_WHO}认领{_STEP}{_END}", LogAction.CLAIMED),
        (rf"{_WHO}终止{_STEP}{_NOTE}{_END}", LogAction.TERMINATED),
        (rf"{_WHO}挂起了单据(?:[:：](?P<note>.*?))?{_END}", LogAction.SUSPENDED),
        (rf"{_WHO}恢复了单据{_END}", LogAction.RESUMED),
        (rf"{_WHO}撤销单据{_END}", LogAction.WITHDRAWN),
        (rf"{_WHO}关闭了单据{_END}", LogAction.TERMINATED),
    )
)


def read_sentence(message: str) -> LogSentence | None:
    """Return what a sentence of the log says; None for one that is not known."""
    if len(message) > _LONGEST:
        return None
    text = unescape(message).strip()
    for pattern, action in _SENTENCES:
        if found := pattern.fullmatch(text):
            parts = {name: (value or "").strip() for name, value in found.groupdict().items()}
            return _sentence(action, **parts)
    return None


def _sentence(action: LogAction, *, answer: str = "", **parts: str) -> LogSentence:
    if action is LogAction.ANSWERED:
        action = _ANSWERS.get(answer, action)
        return LogSentence(action=action, note=answer if action is LogAction.ANSWERED else "", **parts)
    if action is LogAction.HANDLED and parts.get("step") == _SUBMISSION:
        action = LogAction.SUBMITTED
    return LogSentence(action=action, **parts)
