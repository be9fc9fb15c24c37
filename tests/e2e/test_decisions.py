# SPDX-License-Identifier: Apache-2.0
"""Every decision, by callback with polling practically off, and by polling with the callback blocked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.conftest import POSTGRES, SQLITE
from tests.e2e.gates import DECISIONS, Gate

DATABASES = (SQLITE, POSTGRES)
REFUSES = "http://127.0.0.1:9/nobody/listens"


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a decision reaches Airflow.

    :param early: it is taken before a task waits for it.
    :param resumed: how many callbacks end or hand over the wait; None: it depends on who is first.
    """

    dag: str
    decisions: tuple[str, ...]
    fault: dict[str, Any] = field(default_factory=dict)
    conf: dict[str, Any] = field(default_factory=dict)
    early: bool = False
    resumed: int | None = 1


WAYS = {
    "callback": Way(dag="by_callback", decisions=tuple(DECISIONS)),
    "callback_twice": Way(dag="by_callback", decisions=("approve", "reject"), fault={"kind": "callback_twice"}),
    "callback_early": Way(dag="by_callback", decisions=("approve", "reject"), early=True, resumed=None),
    "poll_callback_lost": Way(
        dag="by_poll", decisions=tuple(DECISIONS), fault={"kind": "callback_lost"}, resumed=0
    ),
    "poll_callback_refused": Way(dag="by_poll", decisions=("approve",), conf={"callback_url": REFUSES}, resumed=0),
    "poll_callback_late": Way(
        dag="by_poll", decisions=("approve",), fault={"kind": "callback_late", "seconds": 15.0}, resumed=0
    ),
}
CASES = [(way, decision) for way, how in WAYS.items() for decision in how.decisions]


@pytest.fixture(scope="module")
def gates(airflow, control) -> Iterator[dict[tuple[str, str], Gate]]:
    """Open all runs at once, then decide on all."""
    opened = {case: Gate.open(airflow, control, WAYS[case[0]].dag, **WAYS[case[0]].conf) for case in CASES}
    for (way, decision), gate in sorted(opened.items(), key=lambda item: not WAYS[item[0][0]].early):
        if WAYS[way].early:
            gate.asks().decide(decision)
        else:
            gate.waits()
    for (way, decision), gate in opened.items():
        if WAYS[way].fault:
            control.fault(gate.sn, **WAYS[way].fault)
        if not WAYS[way].early:
            gate.decide(decision)
    yield opened
    control.clear_faults()


@pytest.mark.parametrize(("way", "decision"), CASES)
def test_p1_a_decision_arrives(gates, way, decision):
    gate = gates[way, decision]
    if decision == "approve":
        assert gate.end() == "success"
        assert gate.xcom("then") == f"{gate.sn} approved"
    else:
        assert gate.end() == "failed"
        assert gate.states() == {"ask": "success", "wait": "failed", "then": "upstream_failed"}
        assert DECISIONS[decision] in gate.log("wait")
        assert gate.xcom("wait", "verdict")["outcome"] == DECISIONS[decision]


@pytest.mark.parametrize(("way", "decision"), CASES)
def test_p1_it_resumes_the_run_once(gates, way, decision):
    gate = gates[way, decision]
    gate.end()
    assert set(gate.tries().values()) <= {0, 1}
    if WAYS[way].resumed is not None:
        seen = gate.resumed() if WAYS[way].resumed else gate.callbacks()
        assert seen["resumed"] == WAYS[way].resumed


def test_p1_the_second_and_the_late_callback_find_nobody_who_waits(gates):
    for case in (("callback_twice", "approve"), ("poll_callback_late", "approve")):
        gate = gates[case]
        gate.end()
        gate.heard("duplicate")
        assert gate.tries()["then"] == 1


def test_p1_no_decision_is_left_on_itsms_list_of_lost_callbacks(gates, control):
    for gate in gates.values():
        gate.end()
    lost = control.call("GET", "callback_failed_ticket")
    assert not {gate.sn for gate in gates.values()} & set(lost)
