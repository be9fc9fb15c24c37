# SPDX-License-Identifier: Apache-2.0
"""What the sentences of a v2 log say: those of a real server's recordings, and what is none of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.itsm.models import LogAction, LogSentence
from airflow_provider_bkitsm.itsm.v2.log_sentences import read_sentence
from tests.record import EVIDENCE


def recorded(answer: Any) -> Iterator[tuple[str, str]]:
    """Return operator and message of every line of a log in a recording."""
    if isinstance(answer, dict):
        if "operate_at" in answer and "message" in answer:
            yield answer["operator"], answer["message"]
        answer = list(answer.values())
    if isinstance(answer, list):
        for one in answer:
            yield from recorded(one)


LINES = sorted(set(recorded(EVIDENCE)))


@pytest.mark.parametrize(("operator", "message"), LINES)
def test_every_recorded_sentence_is_known_with_who_did_it(operator, message):
    sentence = read_sentence(message)
    assert sentence is not None
    ours = sentence.action in (LogAction.BEGAN, LogAction.ENDED, LogAction.RAN)
    assert sentence.person == ("" if ours else operator)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("流程开始.", {"action": "began"}),
        ("流程结束.", {"action": "ended"}),
        ("admin 处理【提单】", {"action": "submitted", "person": "admin", "step": "提单"}),
        ("admin 处理【修改】", {"action": "handled", "person": "admin", "step": "修改"}),
        ("alice 已处理【一级审批】(通过)", {"action": "approved", "person": "alice", "step": "一级审批"}),
        ("alice 已处理【一级审批】（拒绝）", {"action": "refused", "person": "alice", "step": "一级审批"}),
        ("alice 已处理【验收】(稍后)", {"action": "answered", "person": "alice", "step": "验收", "note": "稍后"}),
        ("system 已处理【一级审批】(通过)", {"action": "approved", "person": "system", "step": "一级审批"}),
        (
            "alice 转单【一级审批】给 bob(bob)(请代审).",
            {"action": "handed_over", "person": "alice", "step": "一级审批", "to": "bob", "note": "请代审"},
        ),
        (
            "alice 转单【一级审批】给 bob(鲍勃)(请(尽快)审).",
            {"action": "handed_over", "person": "alice", "step": "一级审批", "to": "bob", "note": "请(尽快)审"},
        ),
        (
            "alice 转单【一级审批】给 bob",
            {"action": "handed_over", "person": "alice", "step": "一级审批", "to": "bob"},
        ),
        ("alice 挂起了单据：等一下.", {"action": "suspended", "person": "alice", "note": "等一下"}),
        ("alice 挂起了单据：a. b..", {"action": "suspended", "person": "alice", "note": "a. b."}),
        ("alice 恢复了单据.", {"action": "resumed", "person": "alice"}),
        ("admin 撤销单据.", {"action": "withdrawn", "person": "admin"}),
        ("bob 关闭了单据.", {"action": "terminated", "person": "bob"}),
        ("自动处理单据任务【调接口】执行成功.", {"action": "ran", "step": "调接口"}),
        ("WebHook任务【通知】执行成功", {"action": "ran", "step": "通知"}),
        ("alice 认领【一级审批】", {"action": "claimed", "person": "alice", "step": "一级审批"}),
        (
            "alice 派单【一级审批】给 bob(鲍勃)",
            {"action": "assigned", "person": "alice", "step": "一级审批", "to": "bob"},
        ),
        ("alice 终止【一级审批】", {"action": "terminated", "person": "alice", "step": "一级审批"}),
        ("Li Lei 已处理【A&amp;B】(通过)", {"action": "approved", "person": "Li Lei", "step": "A&B"}),
        ("alice 已处理【一【二】】(通过)", {"action": "approved", "person": "alice", "step": "一【二】"}),
    ],
)
def test_a_sentence_is_taken_apart(message, said):
    assert read_sentence(message) == LogSentence(**{**said, "action": LogAction(said["action"])})


@pytest.mark.parametrize(
    "message",
    [
        "",
        "流程开始了吗",
        "alice 回退【一级审批】",
        "已处理【一级审批】(通过)",
        "alice 已处理【一级审批】",
        "alice 已处理【一级审批】(通过) 撤销",
        "alice approved the ticket",
    ],
)
def test_what_is_not_known_stays_as_itsm_wrote_it(message):
    assert read_sentence(message) is None


@given(st.text(alphabet="a【】()（）.。：: 处理已通过拒绝单据转给撤销流程开始&#", max_size=60))
def test_any_text_is_read_or_left(message):
    sentence = read_sentence(message)
    assert sentence is None or sentence.action in LogAction
