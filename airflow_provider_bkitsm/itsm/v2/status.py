# SPDX-License-Identifier: Apache-2.0
"""What v2 says of a ticket, and what that means: its status words, its answers and the body of its callback."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Any

from airflow_provider_bkitsm.itsm import models as inner
from airflow_provider_bkitsm.itsm.models import Progress
from airflow_provider_bkitsm.itsm.v2 import models
from airflow_provider_bkitsm.itsm.v2.evidence import read_entry, read_field

# docs/itsm-behaviour.md#status-of-a-ticket. Administrators may add running statuses of their own.
_PROGRESS = {
    "RUNNING": Progress.RUNNING,
    "SUSPENDED": Progress.SUSPENDED,
    "FINISHED": Progress.FINISHED,
    "REVOKED": Progress.WITHDRAWN,
    "TERMINATED": Progress.TERMINATED,
}
_OPEN_TO_ALL = "OPEN"
_DELIVER = "DELIVER"
# Posted from inside operate_ticket, before that call answers (docs/itsm-behaviour.md#callback-inside-the-call).
_INSIDE_A_CALL = frozenset(word for word, progress in _PROGRESS.items() if progress.is_called_off)


def progress_of(current_status: str) -> Progress:
    """Return what a status word means: one that is not known to be an end is a wait, never a yes."""
    return _PROGRESS.get(current_status, Progress.OPEN)


def read_state(row: models.ApprovalResult) -> inner.TicketState:
    """Return a row of ``ticket_approval_result``."""
    return inner.TicketState(
        sn=row.sn,
        # Kept for each ticket that is waited for: one text for all.
        current_status=intern(row.current_status),
        progress=progress_of(row.current_status),
        approve_result=row.approve_result,
        title=row.title,
        ticket_url=row.ticket_url,
        updated_at=row.update_at,
        updated_by=row.updated_by,
    )


def read_status(status: models.TicketStatus) -> inner.TicketStatus:
    """Return the answer of ``get_ticket_status``."""
    return inner.TicketStatus(
        current_status=status.current_status,
        progress=progress_of(status.current_status),
        current_steps=tuple(map(_read_step, status.current_steps)),
        ticket_url=status.ticket_url,
        iframe_ticket_url=status.iframe_ticket_url,
    )


def read_info(info: models.TicketInfo) -> inner.TicketInfo:
    """Return the answer of ``get_ticket_info``."""
    return inner.TicketInfo(
        sn=info.sn,
        current_status=info.current_status,
        progress=progress_of(info.current_status),
        created_at=info.create_at,
        title=info.title,
        creator=info.creator,
        service_id=info.service_id,
        ended_at=info.end_at,
        current_steps=tuple(map(_read_step, info.current_steps)),
        fields=tuple(map(read_field, info.fields)),
        ticket_url=info.ticket_url,
        iframe_ticket_url=info.iframe_ticket_url,
    )


def read_summary(row: models.TicketSummary) -> inner.TicketSummary:
    """Return a row of ``get_tickets``."""
    return inner.TicketSummary(
        id=row.id,
        sn=row.sn,
        progress=progress_of(row.current_status),
        current_status=row.current_status,
        title=row.title,
        creator=row.creator,
        created_at=row.create_at,
        ended_at=row.end_at,
        ticket_url=row.ticket_url,
    )


def read_log(logs: models.TicketLogs) -> inner.TicketLog:
    """Return the answer of ``get_ticket_logs``."""
    return inner.TicketLog(sn=logs.sn, entries=tuple(map(read_entry, logs.logs)))


def _read_step(step: models.Step) -> inner.Step:
    """Return a current step; the one of the submission is open to all, and names nobody."""
    return inner.Step(
        key=str(step.state_id),
        name=step.name,
        processors=step.processors,
        is_open_to_all=step.processors_type == _OPEN_TO_ALL,
        can_be_handed_over=_offers_hand_over(step),
    )


def _offers_hand_over(step: models.Step) -> bool | None:
    """Return whether a step offers to be handed over; None where its operations are not shown at all."""
    offered = [str(one.get("key")) for one in step.operations if one.get("can_operate", True)]
    return _DELIVER in offered if step.operations else None


def read_callback(body: Mapping[str, Any]) -> inner.CallbackBody | None:
    """Return a callback's body; None if its shape is wrong. Keys that are not used may be absent.

    See docs/itsm-behaviour.md#callbacks-body.
    """
    sn, token, status = body.get("sn"), body.get("token"), body.get("current_status")
    if not (isinstance(sn, str) and isinstance(token, str)):
        return None
    inside_a_call = isinstance(status, str) and status in _INSIDE_A_CALL
    return inner.CallbackBody(sn=sn, token=token, inside_a_call=inside_a_call, dialect="v2")
