# SPDX-License-Identifier: Apache-2.0
"""What the demo's run ended in, and whether that is as it should be. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

NOT_RUN = frozenset({None, "upstream_failed", "skipped", "removed"})


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything there is to see when the run has ended.

    :param table_id: the collector's ETL as the log platform shows it; None: none.
    :param completion_log: log of the task that ends the application.
    """

    run_state: str
    task_states: Mapping[str, str | None]
    collector_state: str
    outcome: str | None
    table_id: str | None
    completion_log: str


def problems(result: Result, *, approved: bool, said: str | None = None) -> Iterator[str]:
    """Yield what is not as it should be after an approval, or after anything else.

    :param said: what the refusal's log must contain: who, or why.
    """
    yield from _unequal("the run", result.run_state, "success" if approved else "failed")
    wanted = "success_apply" if approved else "fail_apply"
    yield from _unequal("the collector", result.collector_state, wanted)
    if approved:
        for task, state in result.task_states.items():
            yield from _unequal(task, state, "success")
        if not result.table_id:
            yield "the log platform shows no ETL"
        return
    if result.task_states.get("provision_etl") not in NOT_RUN:
        yield f"provision_etl ran: {result.task_states.get('provision_etl')}"
    if result.table_id:
        yield f"the log platform shows an ETL: {result.table_id}"
    if said and said not in result.completion_log:
        yield f"the log of complete does not say {said!r}"


def _unequal(what: str, is_: str | None, wanted: str) -> Iterator[str]:
    if is_ != wanted:
        yield f"{what} is {is_}, not {wanted}"
