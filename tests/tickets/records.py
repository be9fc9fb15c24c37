# SPDX-License-Identifier: Apache-2.0
"""Records of approval rounds, as the operators that open tickets store them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from airflow_provider_bkitsm.tickets.approval import ApprovalRecord, Attempt, Subject, new_nonce
from airflow_provider_bkitsm.tickets.approval_store import installation as here
from airflow_provider_bkitsm.tickets.approval_store import open_approval_store
from airflow_provider_bkitsm.tickets.reminder_store import Claim, ReminderKey, ReminderState, open_reminder_store

CONN = "bkitsm_default"


def record_reminder(
    sn: str,
    *,
    opened_at: datetime,
    kind: str = "remind",
    hours: float = 1,
    sender: str = "0123456789abcdef",
    state: ReminderState = ReminderState.SENT,
    recipients: Iterable[str] = (),
) -> None:
    """Store a message about a ticket, as a triggerer does; ``sender`` is empty for a hand-over."""
    key = ReminderKey(
        bkitsm_conn_id=CONN, sn=sn, kind=kind, after_seconds=hours * 3600, sender=sender, opened_at=opened_at
    )
    store = open_reminder_store()
    if state is ReminderState.MERGED:
        store.merge(key)
        return
    claim = store.claim(key)
    assert isinstance(claim, Claim)
    if state is not ReminderState.CLAIMED:
        store.end(claim, state, recipients=recipients)


def record_round(
    sn: str | None,
    *,
    dag_id: str = "dag",
    run_id: str = "run_1",
    task_id: str = "ask",
    map_index: int = -1,
    round_number: int = 1,
    conn_id: str = CONN,
    installation: str | None = None,
    **record: Any,
) -> ApprovalRecord:
    """Store a round of a task, and the number of its ticket."""
    subject = Subject(
        installation=here() if installation is None else installation,
        bkitsm_conn_id=conn_id,
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        map_index=map_index,
        approval_key=record.pop("approval_key", None),
    )
    intent = ApprovalRecord(
        nonce=new_nonce(),
        subject=subject,
        round_number=round_number,
        attempt=Attempt(ti_id=None, try_number=1, max_tries=0, retries=0),
        digest="sha256:0",
        asked_digest="sha256:0",
        tag=new_nonce(),
        request=record.pop("request", {}),
        **record,
    )
    store = open_approval_store()
    stored = store.begin(intent)
    return stored if sn is None else store.change(stored, sn=sn)
