# SPDX-License-Identifier: Apache-2.0
"""Crashes around ``create_ticket``, through the real operators, against the sandbox over HTTP.

Every approval is applied for by a task whose tries crash at drawn points, until one gets through. Then the
sandbox's own record tells: one ticket for each approval, open, and its number is what the task returned. The
sandbox says in which version of ITSM.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_bkitsm.collectors.database import sqlite_engine
from airflow_provider_bkitsm.hooks.transport import Reply, Request
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.operators.collector import CollectorApplyOperator
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator, ItsmCreateTicketOperator
from airflow_provider_bkitsm.sandbox.control import SandboxControl
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import LOG_COLLECTOR
from tests.chaos.clock import sleeping_by
from tests.chaos.inprocess import gateway
from tests.chaos.seams import CREATES, Crash, Order, Point, SeamedApprovals, SeamedStore, SeamedTransport, wired
from tests.conftest import FakeTask

SETTLE_SECONDS = 0.2
CLEAN = {
    "table_id": "chaos",
    "etl_config": "bk_log_text",
    "storage_cluster_id": 3,
    "retention": 7,
    "allocation_min_days": 0,
}
FIRST_COLLECTOR = 20_000
# The call that opens a ticket, as a fault names it; the calls that look for one.
_CREATE = {"v2": "create_ticket", "v4": "ticket/create"}
_LOOKS = frozenset({"get_tickets", "list"})
_OPEN = frozenset({"RUNNING", "draft", "running"})
# Where a task stores that it is about to ask.
_MEANS = (("recording", "asking"), ("changing", "apply"), ("changing", "recreate"))

BEFORE_SENDING = "before sending"
AFTER_SENDING = "after sending, the ticket appears later"
ANSWER_DROPPED = "answer dropped, then while looking for the ticket"
BEFORE_STORING = "after the answer, before storing"
POINTS = (BEFORE_SENDING, AFTER_SENDING, ANSWER_DROPPED, BEFORE_STORING)

OWN = "ItsmCreateTicketOperator"
WAITS = "ItsmApprovalOperator"
SHARED = "ItsmCreateTicketOperator with approval_key"
APPLY = "CollectorApplyOperator"
TASKS = (OWN, WAITS, SHARED, APPLY)


@dataclass(kw_only=True)
class Result:
    """What became of all approvals.

    :param crashes: by task and point.
    :param sns: what the tasks returned.
    """

    crashes: Counter[tuple[str, str]] = field(default_factory=Counter)
    tries: int = 0
    sns: list[str] = field(default_factory=list)
    duplicates: int = 0
    lost: int = 0


class Chaos:
    """The seam of one task: crashes where the try at hand is to crash."""

    def __init__(self) -> None:
        self.point: str | None = None
        self.struck = self._dropped = False
        self._late: tuple[SeamedTransport, Request] | None = None
        self._looks_until_it_appears = 0
        self._meant_at = self._appears_by = 0.0

    def aim(self, point: str | None, *, looks: int) -> None:
        """Say where the next try crashes.

        :param looks: how often a late ticket is looked for in vain.
        """
        self.point, self.struck, self._looks_until_it_appears = point, False, looks

    def __call__(self, at: Point) -> Order | None:
        if (at.kind, at.name) in _MEANS:
            self._meant_at = time.monotonic()
        if at.kind == "before" and at.name in _LOOKS:
            self._looked_for()
        if at.before_create:
            return self._before_create()
        if at.kind == "after" and at.name in CREATES and self.point == BEFORE_STORING:
            self._strike()
        return None

    def _before_create(self) -> Order | None:
        if self.point == BEFORE_SENDING:
            self._strike()
        return {AFTER_SENDING: self._leave_on_its_way, ANSWER_DROPPED: self._drop}.get(str(self.point))

    def _leave_on_its_way(self, transport: SeamedTransport, request: Request) -> Reply:
        self._late = (transport, request)
        # Counted from the intent, as the package counts, however long a busy machine takes from there to here.
        self._appears_by = self._meant_at + SETTLE_SECONDS * 0.6
        self._strike()
        raise AssertionError

    def _drop(self, transport: SeamedTransport, request: Request) -> Reply:
        """Let the sandbox do its work and cut the connection; the next look for the ticket crashes."""
        sandbox: SandboxControl = transport.sandbox  # type: ignore[attr-defined]
        sandbox.fault(_CREATE[sandbox.dialect], "drop_answer")
        self._dropped = True
        return transport.carry(request)

    def _looked_for(self) -> None:
        if self.point == ANSWER_DROPPED and self._dropped:
            self._dropped = False
            self._strike()
        if self._late is None:
            return
        if self._looks_until_it_appears <= 0 or time.monotonic() > self._appears_by:
            self.let_it_appear()
        self._looks_until_it_appears -= 1

    def let_it_appear(self) -> None:
        """Let the request arrive that is still on its way."""
        if self._late is not None:
            (transport, request), self._late = self._late, None
            transport.carry(request)

    def _strike(self) -> None:
        self.struck, self.point = True, None
        raise Crash


class Transport(SeamedTransport):
    """Sends to the sandbox over HTTP.

    :param extra: keys of the ITSM connection's extra.
    """

    def __init__(
        self, kind: Any, sandbox: SandboxControl, seam: Callable[[Point], Order | None], **extra: Any
    ) -> None:
        known = json.loads(sandbox.connection(kind, **extra) if kind == "bkitsm" else sandbox.connection(kind))
        more = known["extra"] | {"settle_seconds": SETTLE_SECONDS}
        super().__init__(gateway(kind, root=known["host"], **more), seam)
        self.sandbox = sandbox


def crash_around_create(sandbox: SandboxControl, *, crashes: int, seed: int = 1) -> Result:
    """Inject so many crashes and return what became of the approvals."""
    drawn, result = random.Random(seed), Result()
    with (
        tempfile.TemporaryDirectory() as folder,
        sleeping_by(shortly),
        # What is read besides the stores that a task is given is in the same file.
        patch.dict(os.environ, AIRFLOW_HOME=folder),
    ):
        engine = sqlite_engine(Path(folder) / "bkitsm.db")
        while result.crashes.total() < crashes:
            number = len(result.sns)
            task, first = TASKS[number % len(TASKS)], POINTS[number // len(TASKS) % len(POINTS)]
            points = [first, *drawn.choices((*POINTS, None), k=drawn.randrange(3))]
            points = [*points[: crashes - result.crashes.total()], None]
            if number == 0 and sandbox.dialect == "v4":
                # Of v4 a search counts that has found a ticket which exists: the first one opens without a crash.
                points = [None]
            result.sns.append(_approval(sandbox, engine, task, number, points, drawn, result))
    return _judged(sandbox, result)


def shortly(seconds: float) -> None:
    """Do not wait a second for a ticket that starts within hundredths of one."""
    time.sleep(min(seconds, SETTLE_SECONDS / 10))


def _approval(
    sandbox: SandboxControl,
    engine: Any,
    task: str,
    number: int,
    points: list[str | None],
    drawn: random.Random,
    result: Result,
) -> str:
    """Try a task until it gets through; return the ticket's number."""
    chaos, began = Chaos(), datetime.now(UTC)
    extra = _COLLECTORS_V4 if (task, sandbox.dialect) == (APPLY, "v4") else {}

    def transport(kind: str) -> Transport:
        return Transport(kind, sandbox, chaos, **extra)

    if task == APPLY:
        sandbox.put_collector(FIRST_COLLECTOR + number)
    for made, point in enumerate(points, 1):
        chaos.aim(point, looks=drawn.randrange(4))
        stores = SeamedStore(engine, seam=chaos), SeamedApprovals(engine, seam=chaos)
        operator = wired(_operator(task, number, sandbox.dialect), transport, *stores)
        context = FakeTask("task", run_id=f"run_{number}", try_number=made, began=began).context
        result.tries += 1
        try:
            return str(operator.execute(context))
        except TaskDeferred as waits:
            return str(waits.trigger.ticket_sn)
        except (Crash, ItsmError):
            if chaos.struck:
                result.crashes[task, str(point)] += 1
        finally:
            operator.hook.close()
            operator.bklog.close()
    raise AssertionError(f"{task} {number} did not get through: {points}")


_COLLECTORS_V4 = {"workflow_key": "collector", "form_approvers": "approvals"}


def _operator(task: str, number: int, dialect: str) -> Any:
    if task == APPLY:
        return CollectorApplyOperator(
            task_id="task",
            collector_config_id=FIRST_COLLECTOR + number,
            bk_biz_id=2,
            clean_config=CLEAN,
            approvers="alice",
            service_id=LOG_COLLECTOR if dialect == "v2" else None,
        )
    kind = ItsmApprovalOperator if task == WAITS else ItsmCreateTicketOperator
    return kind(
        task_id="task",
        title="Restart",
        fast_approval=dialect == "v2",
        fields={"APPROVER": "alice", "APPROVAL_CONTENT": "restart"},
        approval_key=f"key {number}" if task == SHARED else None,
    )


def _judged(sandbox: SandboxControl, result: Result) -> Result:
    """Compare what the tasks returned with the sandbox's own record."""
    found = sandbox.tickets()
    open_now = {one["sn"] for one in found if one["status"] in _OPEN}
    returned = set(result.sns)
    result.duplicates = len([one for one in found if one["sn"] not in returned])
    result.lost = len(result.sns) - len(returned & open_now)
    return result
