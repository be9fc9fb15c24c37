# SPDX-License-Identifier: Apache-2.0
"""Comparing the recorded waits with their tasks and tickets, on a worker (promise P5)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_bkitsm.itsm.actions import read_status
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.tickets.approval_store import installation
from airflow_provider_bkitsm.tickets.waits import (
    RECORD_KEPT,
    TaskFate,
    WaitRecord,
    end_reason,
    open_wait_store,
    state_questions,
    task_fate,
)
from airflow_provider_bkitsm.tickets.withdrawal import refuse_another_dialect, withdraw_if_open

if TYPE_CHECKING:
    from airflow_provider_bkitsm.hooks.itsm import ItsmHook

log = logging.getLogger(__name__)

AskStates = Callable[..., Mapping[str, Mapping[str, str | None]]]
"""A task instance's ``get_task_states``."""


@dataclass
class WaitReport:
    """What came of a comparison, as ticket numbers.

    :ivar withdrawn: tickets that were ended, since their tasks had been ended while they waited.
    :ivar left_open: tickets for which nobody waits, and which stay open all the same; the log says why.
    :ivar deleted: tickets whose tasks Airflow has no row of; clearing their runs brings nobody back.
    """

    withdrawn: list[str] = field(default_factory=list)
    left_open: list[str] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)


def reconcile_waits(hook: ItsmHook, *, ask: AskStates, keep: Collection[str] = ()) -> WaitReport:
    """End the tickets of tasks that were ended while they waited, and name those whose tasks are gone.

    One ticket that cannot be read or ended does not stop the others; the next comparison tries again.

    :param keep: tickets whose records are kept although they have ended: somebody else needs them.
    """
    report = WaitReport()
    waits = open_wait_store().waiting(installation(), bkitsm_conn_id=hook.bkitsm_conn_id)
    for question in state_questions(waits):
        answer = ask(dag_id=question.dag_id, run_ids=question.run_ids, task_ids=question.task_ids)
        for wait in question.not_waiting(answer):
            try:
                _reconcile(hook, wait, _states_of(wait, ask), report, keep)
            except Exception as error:
                log.warning("ITSM ticket %s, for which %s has waited, is not ended yet: %s", wait.sn, wait, error)
                report.left_open.append(wait.sn)
    return report


def _states_of(wait: WaitRecord, ask: AskStates) -> list[str | None]:
    found = ask(dag_id=wait.dag_id, run_ids=[wait.run_id], task_ids=[wait.task_id], map_index=wait.map_index)
    return [state for tasks in found.values() for state in tasks.values()]


def _reconcile(
    hook: ItsmHook, wait: WaitRecord, states: Sequence[str | None], report: WaitReport, keep: Collection[str]
) -> None:
    fate = task_fate(states)
    if fate is TaskFate.GONE:
        _see_to_gone(hook, wait, states, report, keep)
    elif fate is TaskFate.ENDED:
        if wait.withdraws() and withdraw_if_open(hook, sn=wait.sn, why=end_reason(wait, states)):
            report.withdrawn.append(wait.sn)
        _forget(wait)


def _see_to_gone(
    hook: ItsmHook, wait: WaitRecord, states: Sequence[str | None], report: WaitReport, keep: Collection[str]
) -> None:
    """Name an open ticket whose task is gone. A task that is ``removed`` comes back with its DAG file."""
    if not states:
        report.deleted.add(wait.sn)
    refuse_another_dialect(hook, wait.sn)
    try:
        is_open = not hook.run(read_status(wait.sn)).progress.has_ended
    except ItsmError as error:
        log.warning("ITSM ticket %s could not be read: %s", wait.sn, error)
        return
    if is_open:
        report.left_open.append(wait.sn)
        log.warning(
            "ITSM ticket %s stays open: Airflow does not have %s any more, which waited for it, and nothing shows"
            " that a person wanted its end. Withdraw it in ITSM if nobody needs its answer",
            wait.sn,
            wait,
        )
    elif wait.sn not in keep:
        _forget(wait)


def _forget(wait: WaitRecord) -> None:
    """Delete the record of a wait that is over; where that fails the next comparison finds the record again."""
    try:
        open_wait_store().end_of(wait)
    except ItsmError as error:
        log.warning("%s: %s", RECORD_KEPT.format(sn=wait.sn), error)
