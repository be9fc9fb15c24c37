# SPDX-License-Identifier: Apache-2.0
"""How an approval round ended, in its record: the verdict, and what came of it for each task that waited.

Airflow's XComs hold the same, and its clean-ups delete them. The record is what an auditor is shown
(:mod:`airflow_provider_bkitsm.tickets.audit`). It decides nothing: no wait reads it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.collectors.errors import StoreRaceLost, StoreUnavailable
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.models import Progress, TicketStatus, web_address
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.tickets.approval import Subject, ticket_tab_path
from airflow_provider_bkitsm.tickets.approval_store import installation, open_approval_store
from airflow_provider_bkitsm.version_compat import airflow_conf

if TYPE_CHECKING:
    from airflow_provider_bkitsm.tickets.approval import ApprovalRecord
    from airflow_provider_bkitsm.tickets.approval_store import ApprovalStore

log = logging.getLogger(__name__)

_TASK_KEY = ("dag_id", "run_id", "task_id", "map_index")
_RACES = 30
# Seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_RANDOM = SystemRandom()
# Waits for one ticket that its record lists. Tasks that share an approval have records of their own.
_MOST_WAITS = 200
# Ends of a wait that say nothing of the ticket: it is another task's.
_NOT_ABOUT_THE_TICKET = frozenset({Reason.NOT_ITS_TICKET, Reason.NOT_RECORDED})


@dataclass(frozen=True, kw_only=True)
class WaitingTask:
    """The task instance whose wait has ended.

    :param runs: digest of the question as the task renders it now; None where it asks none, or cannot tell.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    runs: str | None = None


def ticket_tab(task: WaitingTask | Subject) -> str:
    """Return the address of a task's Ticket tab in Airflow; empty without an http(s) ``[api] base_url``."""
    base = str(airflow_conf().get("api", "base_url", fallback="") or "").strip().rstrip("/")
    if not web_address(base):
        return ""
    names: dict[str, Any] = {name: getattr(task, name) for name in _TASK_KEY}
    return f"{base}/{ticket_tab_path(**names)}"


def record_end(
    conn_id: str, verdict: Verdict, task: WaitingTask, *, opener: ApprovalRecord | None = None
) -> Verdict:
    """Store how a task's wait for a ticket ended; return the verdict with the address of who asked. Blocks.

    A ticket without a record here, such as another system's, gets none.

    :param opener: the record that opened the ticket, where it was read a moment ago. One that was changed since
        is read anew.
    :raises ItsmError: the store cannot be used. A retry is safe, and stores the same.
    """
    if verdict.reason_code in _NOT_ABOUT_THE_TICKET or not verdict.sn:
        return replace(verdict, airflow_url=ticket_tab(task))
    for lost in range(_RACES + 1):
        try:
            return _record_once(open_approval_store(), conn_id, verdict, task, opener)
        except StoreRaceLost:
            opener = None
            if lost == _RACES:
                raise
            # Many tasks may wait for one ticket, and all of them end at once.
            time.sleep(_RANDOM.uniform(0, min(_FIRST_PAUSE * 2**lost, _LONGEST_PAUSE)))
        except ItsmError:
            raise
        except Exception as error:
            raise StoreUnavailable(
                f"How the wait for ITSM ticket {verdict.sn} ended could not be stored ({_without_address(error)})."
                " The ticket is as it was; a retry is safe"
            ) from None
    raise AssertionError


def _without_address(error: Exception) -> str:
    """Return the text of an error of ours; of any other its kind, since its text may hold the database's URL."""
    return str(error) if isinstance(error, ItsmError) else type(error).__name__


def record_withdrawal(conn_id: str, sn: str, *, why: str, status: TicketStatus) -> None:
    """Store that Airflow has ended a ticket, whose wait may have ended before. Blocks; says so where it cannot."""
    terminated = status.progress is Progress.TERMINATED
    outcome, reason = (
        (Outcome.TERMINATED, Reason.TERMINATED) if terminated else (Outcome.WITHDRAWN, Reason.WITHDRAWN)
    )
    verdict = Verdict(
        sn=sn,
        outcome=outcome,
        reason=f"{reason.text} by Airflow: {why}",
        reason_code=reason,
        current_status=status.current_status,
        ticket_url=status.ticket_url,
    )
    try:
        store = open_approval_store()
        source = store.by_ticket(conn_id, sn)
        if source is not None and source.verdict is None:
            stored = verdict.as_dict() | {"decided_at": store.now().isoformat(), "by_airflow": True}
            store.change(source, verdict=stored, ended_at=store.now())
    except Exception as error:
        log.warning("That ticket %s was ended could not be stored for the audit: %s", sn, _without_address(error))


def _record_once(
    store: ApprovalStore, conn_id: str, verdict: Verdict, task: WaitingTask, opener: ApprovalRecord | None
) -> Verdict:
    source = opener or store.by_ticket(conn_id, verdict.sn) or _opened_in_run(store, verdict.sn, task)
    if source is None:
        return replace(verdict, airflow_url=ticket_tab(task))
    asked = source.subject if source.subject.task_id else task
    verdict = replace(verdict, airflow_url=ticket_tab(asked))
    mine = _subject(source.subject, task)
    # A task joins a shared approval's ticket, or goes on with that of its own earlier round; no other task's.
    may_join = source.subject.approval_key is not None or source.subject == mine
    own = store.joined_by(source.nonce, mine) if may_join else None
    for record in (source,) if own is None else (own, source):
        # A task that has joined is listed in its own record alone: thousands may share one ticket.
        is_its_own = own is None or record is own
        end = _joined_end(record.verdict, verdict, task if is_its_own else None, at=store.now().isoformat())
        if end != record.verdict:
            ended_at = record.ended_at if _outcome(record.verdict) == end["outcome"] else store.now()
            store.change(record, verdict=end, ended_at=ended_at or store.now())
    return verdict


def _opened_in_run(store: ApprovalStore, sn: str, task: WaitingTask) -> ApprovalRecord | None:
    """Return the record of a ticket that the task's run has opened on another connection to the same ITSM."""
    rounds = store.of_run(task.dag_id, task.run_id)
    return next((one for one in rounds if one.sn == sn and one.ticket_of is None), None)


def _subject(asked: Subject, task: WaitingTask) -> Subject:
    """Return the waiting task as the subject of its own rounds."""
    names = {name: getattr(task, name) for name in _TASK_KEY}
    return replace(asked, installation=installation(), **names)


def _joined_end(
    stored: Mapping[str, Any] | None, verdict: Verdict, task: WaitingTask | None, *, at: str
) -> dict[str, Any]:
    """Return a stored end with one more wait's; the weightier verdict of the two stands, else the first."""
    new, before = verdict.as_dict(), dict(stored or {})
    waits = list(before.pop("waits", ()))
    kept = before if before and _weight(before) >= _weight(new) else new
    if task is not None:
        key = {name: value for name, value in asdict(task).items() if name != "runs"}
        line = {**key, "outcome": new["outcome"], "reason_code": new["reason_code"], "runs": task.runs}
        known = next((one for one in waits if key.items() <= one.items()), None)
        if known is None or {**known, "at": at} != {**line, "at": at}:
            waits = [*(one for one in waits if one is not known), {**line, "at": at}][-_MOST_WAITS:]
    return {**kept, "waits": waits}


def _weight(end: Mapping[str, Any]) -> int:
    """Return how much an end counts: that something ran is never hidden, a wait's end says more than our own."""
    if end.get("outcome") == Outcome.APPROVED:
        return 3
    if end.get("by_airflow"):
        return 0
    return 1 if end.get("outcome") == Outcome.TIMED_OUT else 2


def _outcome(end: Mapping[str, Any] | None) -> Any:
    return (end or {}).get("outcome")
