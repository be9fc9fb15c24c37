# SPDX-License-Identifier: Apache-2.0
"""Approvers are reminded by a real triggerer, and a ticket that nobody answers is handed over: both versions."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from airflow_provider_bkitsm.sandbox.control import SandboxControl
from demo.airflow_api import wait_until
from tests.e2e.conftest import DIALECTS
from tests.e2e.gates import Gate
from tests.e2e.reminding import FILE


def sent(gate: Gate, kind: str) -> list[dict[str, Any]]:
    file = gate.airflow.home / FILE
    lines = file.read_text().splitlines() if file.exists() else []
    return [one for line in lines if (one := json.loads(line)).get("sn") == gate.sn and one.get("kind") == kind]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_p3_an_approver_is_reminded_and_the_one_it_is_escalated_to_approves(airflow, itsm, dialect):
    control = SandboxControl(itsm.url, dialect=dialect)
    gate = Gate.open(airflow, control, f"reminded_{dialect}").asks()
    wait_until(lambda: sent(gate, "remind"), lambda: gate.log("wait"))
    (reminder,) = sent(gate, "remind")
    assert reminder["title"].startswith("Reminded ")
    run = quote(gate.run, safe="")
    tab = f"{airflow.url}/dags/{gate.dag}/runs/{run}/tasks/wait/plugin/bkitsm-ticket"
    assert reminder["airflow_url"] == tab
    wait_until(lambda: sent(gate, "escalate"), lambda: gate.log("wait"))
    (escalation,) = sent(gate, "escalate")
    assert (escalation["recipients"], escalation["handed_over"]) == (["boss"], True)
    assert gate.states()["wait"] == "deferred"
    control.approve(gate.sn, operator="boss")
    assert gate.end() == "success"
    assert gate.xcom("then") == ["approved", "boss"]
    assert [len(sent(gate, kind)) for kind in ("remind", "escalate")] == [1, 1]
