# SPDX-License-Identifier: Apache-2.0
"""Which ticket a task instance's page is about."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_bkitsm.approvals.rows import Found, TaskKey


def ticket_of(founds: Sequence[Found], task: TaskKey) -> Found | None:
    """Return the wait of a task instance; for one that only opened the ticket, its run's wait for the same ticket.

    Tasks that open a ticket keep its address alone; a number for ITSM comes from a registration only.
    """
    own = next((one for one in founds if one.task == task), None)
    if own is None or own.conn_id:
        return own
    same = (one for one in founds if one.conn_id and own.ticket_url and one.ticket_url == own.ticket_url)
    return next(same, own)
