# SPDX-License-Identifier: Apache-2.0
"""A collector and its current application, as one immutable row. Pure.

States and labels are the log platform's (docs/log-platform-behaviour.md#states-of-a-collector); module ``state``
holds the transitions from one row to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from airflow_provider_bkitsm.itsm.dialect import another_dialect, stored_dialect
from airflow_provider_bkitsm.itsm.errors import ItsmAnotherDialectError
from airflow_provider_bkitsm.itsm.outcome import Outcome


class CollectorState(StrEnum):
    """The log platform's four states of a collector's application."""

    NOT_APPLY = "not_apply"
    APPLYING = "applying"
    FAIL_APPLY = "fail_apply"
    SUCCESS_APPLY = "success_apply"


_LABELS = {
    CollectorState.NOT_APPLY: {"zh": "未申请采集接入", "en": "Collection access not applied"},
    CollectorState.APPLYING: {"zh": "采集接入进行中", "en": "Collection access in progress"},
    CollectorState.FAIL_APPLY: {"zh": "采集接入失败", "en": "Collection access failed"},
    CollectorState.SUCCESS_APPLY: {"zh": "采集接入完成", "en": "Collection access completed"},
}


def state_label(state: str, *, language: Literal["zh", "en"] = "en") -> str:
    """Return a state's label for people; an unknown state is its own label, as in the log platform."""
    try:
        return _LABELS[CollectorState(state)][language]
    except ValueError:
        return state


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The task that applies. All its tries share one application, hence one ticket.

    :param map_index: -1 for a task that is not mapped, as in Airflow.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    def __str__(self) -> str:
        index = f"[{self.map_index}]" if self.map_index >= 0 else ""
        return f"task {self.task_id}{index} of run {self.run_id} of DAG {self.dag_id}"


@dataclass(frozen=True, kw_only=True)
class CollectorRow:
    """One collector and its current application. Times are aware UTC.

    :param ticket_sn: None until ITSM has answered its opening.
    :param tag: the creation marker, by which a ticket whose answer was lost is found again in ITSM.
    :param etl_payload: the payload to be approved; ``etl_digest`` is its digest.
    :param etl_result: what the log platform answered when the payload was applied.
    :param outcome: the first verdict read on the ticket; a later one never replaces it.
    :param outcome_detail: who decided, with which remark; or the ``setting`` by which no approval is needed.
    :param bypassed_tag: the ``tag`` of an application that needed no approval. A tag and not a flag, so that it
        never counts for another application, not even for one stored by a version without this column.
    :param verdict_settings: where the service has the ticket's verdict, as arguments of ``verdict_policy`` of a
        hook. None: the connection's settings and the ticket's own log count.
    :param request: what the ticket is opened with: ``service_id``, ``creator``, ``fields``, and
        ``detail_field``, which of them shows the payload; and the ``installation`` that asks. Where no approval is
        needed, only where it was applied for and by whom. None: an earlier version applied.
    :param bkitsm_conn_id: the ITSM connection that the ticket is, or would be, opened with; numbers count within
        it. None: an earlier version applied.
    :param provisioned_at: when the ETL payload was last applied.
    :param application: counts applications for this collector; 0 before the first.
    :param create_started_at: when the ticket's opening was about to be sent.
    :param version: counts stored changes, for compare-and-set; 0 means not stored yet.
    """

    bklog_conn_id: str
    collector_config_id: int
    state: CollectorState = CollectorState.NOT_APPLY
    ticket_sn: str | None = None
    ticket_url: str | None = None
    tag: str | None = None
    etl_payload: dict[str, Any] | None = None
    etl_digest: str | None = None
    etl_result: dict[str, Any] | None = None
    owner: Owner | None = None
    outcome: Outcome | None = None
    outcome_detail: dict[str, Any] | None = None
    bypassed_tag: str | None = None
    verdict_settings: dict[str, Any] | None = None
    request: dict[str, Any] | None = None
    bkitsm_conn_id: str | None = None
    provisioned_at: datetime | None = None
    last_error: str | None = None
    application: int = 0
    create_started_at: datetime | None = None
    version: int = 0
    created_at: datetime
    updated_at: datetime

    @property
    def has_apply(self) -> bool:
        """Whether there ever was an application."""
        return self.state is not CollectorState.NOT_APPLY

    @property
    def is_applying(self) -> bool:
        """Whether an application is under way; it blocks every other one."""
        return self.state is CollectorState.APPLYING

    @property
    def has_success(self) -> bool:
        """Whether the latest application was approved or bypassed, and its ETL applied."""
        return self.state is CollectorState.SUCCESS_APPLY

    @property
    def is_bypassed(self) -> bool:
        """Whether the current application needs no approval; it has no ticket and gets none."""
        return self.tag is not None and self.bypassed_tag == self.tag and self.ticket_sn is None

    @property
    def installation(self) -> str | None:
        """Address of the Airflow that applied; None: an earlier version did not store it."""
        return (self.request or {}).get("installation")

    def is_of(self, installation: str) -> bool:
        """Whether an Airflow made the application, so far as the row tells."""
        return self.installation in (None, installation)

    def is_in(self, bkitsm_conn_id: str) -> bool:
        """Whether the application's ticket is in the ITSM of a connection, so far as the row tells."""
        return self.bkitsm_conn_id in (None, bkitsm_conn_id)

    def in_another_dialect(self, spoken: str, conn_id: str) -> ItsmAnotherDialectError | None:
        """Return the error of an application that was made in another dialect than its connection speaks.

        :param spoken: name of the connection's dialect, and ``conn_id`` that of the connection.
        """
        stored = stored_dialect(self.request or {})
        if stored == spoken:
            return None
        ticket = f"ITSM ticket {self.ticket_sn or '(its number is not known)'} of {self.name}"
        held = f"until then the collector is held by {self.owner}"
        return another_dialect(ticket, conn_id, stored=stored, spoken=spoken, until=held)

    @property
    def standing(self) -> str:
        """How the current application's approval stands, for messages."""
        if self.is_bypassed:
            return f"no approval is needed ({(self.outcome_detail or {}).get('setting', 'setting unknown')})"
        return f"ticket {self.ticket_sn or '(not known yet)'} is {self.outcome or 'not decided yet'}"

    @property
    def name(self) -> str:
        """The collector as error messages name it."""
        return f"Collector {self.collector_config_id} ({self.bklog_conn_id})"


def new_row(bklog_conn_id: str, collector_config_id: int, *, now: datetime) -> CollectorRow:
    """Return the row of a collector without any application."""
    return CollectorRow(
        bklog_conn_id=bklog_conn_id, collector_config_id=collector_config_id, created_at=now, updated_at=now
    )
