# SPDX-License-Identifier: Apache-2.0
"""Which rows have to do with the person who looks."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_bkitsm.approvals.rows import Row, Ticket


@dataclass(frozen=True, kw_only=True)
class Me:
    """Who looks.

    :param airflow_name: as Airflow writes it on the runs they start.
    :param itsm_name: as ITSM knows them.
    :param tickets: those that ITSM says wait for them, or were opened in their name.
    """

    airflow_name: str
    itsm_name: str
    tickets: frozenset[Ticket] = frozenset()

    def is_concerned(self, row: Row) -> bool:
        """Whether a row's ticket waits for them, was opened or decided by them, or its run started by them."""
        known = (*row.approvers, *row.decided_by, row.creator)
        return (
            (row.conn_id, row.sn) in self.tickets
            or bool(self.itsm_name and self.itsm_name in known)
            or bool(self.airflow_name and self.airflow_name == row.triggered_by)
        )
