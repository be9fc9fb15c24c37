"""The collector's state machine: each event is a pure function from a row to the next row, or an error.

Every event may be repeated: where its work is already done the row comes back unchanged (the same object), so
a retried task neither opens a second ticket nor fails. Labels are the log platform's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NoReturn

from airflow_provider_bkitsm.collectors.errors import CollectItsmConflict, CollectItsmHasApply
from airflow_provider_bkitsm.itsm.outcome import Outcome


class CollectorState(StrEnum):
    """The four states of the log platform's ``CollectItsmStatus``."""

    NOT_APPLY = "not_apply"
    APPLYING = "applying"
    FAIL_APPLY = "fail_apply"
    SUCCESS_APPLY = "success_apply"

    @property
    def label_zh(self) -> str:
        """The platform's Chinese label."""
        return _LABELS[self][0]

    @property
    def label_en(self) -> str:
        """The platform's English label."""
        return _LABELS[self][1]


_LABELS = {
    CollectorState.NOT_APPLY: ("未申请采集接入", "Collection access not applied"),
    CollectorState.APPLYING: ("采集接入进行中", "Collection access in progress"),
    CollectorState.FAIL_APPLY: ("采集接入失败", "Collection access failed"),
    CollectorState.SUCCESS_APPLY: ("采集接入完成", "Collection access completed"),
}


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The task instance that applies; the same one again is a retry, not a second application."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


@dataclass(frozen=True, kw_only=True)
class CollectorKey:
    """A collector of one log platform."""

    bklog_conn_id: str
    collector_config_id: int


@dataclass(frozen=True, kw_only=True)
class Application:
    """What a task applies for: who, what, and the tag its ticket will carry."""

    owner: Owner
    tag: str
    etl_payload: Mapping[str, Any]
    etl_digest: str


@dataclass(frozen=True, kw_only=True)
class CollectorRow:
    """A collector's current application.

    :param application: counts the applications of this collector; a new one leaves the old ticket behind.
    :param create_started_at: when ``create_ticket`` was last about to be sent; None: it never was.
    :param outcome: the first verdict seen; it stands, whatever ITSM says later.
    :param provisioned_at: when the approved ETL was written and read back.
    :param version: grows with every change; the store compares and sets it.
    """

    key: CollectorKey
    state: CollectorState = CollectorState.NOT_APPLY
    application: int = 0
    owner: Owner | None = None
    tag: str | None = None
    ticket_sn: str | None = None
    ticket_url: str | None = None
    etl_payload: Mapping[str, Any] | None = None
    etl_digest: str | None = None
    create_started_at: datetime | None = None
    outcome: Outcome | None = None
    outcome_detail: Mapping[str, Any] | None = None
    provisioned_at: datetime | None = None
    last_error: str | None = None
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None

    def belongs_to(self, dag_id: str, run_id: str) -> bool:
        """Whether a task of this run applied."""
        return self.owner is not None and (self.owner.dag_id, self.owner.run_id) == (dag_id, run_id)


def apply(row: CollectorRow, wanted: Application) -> CollectorRow:
    """Store the intent, before any ticket exists (promise P7). Only ``applying`` refuses (promise P2).

    :raises CollectItsmHasApply: another task applies for this collector.
    """
    if row.state is CollectorState.APPLYING:
        if row.owner == wanted.owner:
            return row
        raise CollectItsmHasApply(
            f"{_name(row)} is already being applied for by {_owner(row)}, {_ticket(row)}. No ticket was"
            " opened; a retry succeeds once that application has ended"
        )
    return CollectorRow(
        key=row.key,
        state=CollectorState.APPLYING,
        application=row.application + 1,
        owner=wanted.owner,
        tag=wanted.tag,
        etl_payload=dict(wanted.etl_payload),
        etl_digest=wanted.etl_digest,
        version=row.version,
        created_at=row.created_at,
    )


def creating(row: CollectorRow, tag: str, now: datetime) -> CollectorRow:
    """Note that ``create_ticket`` is about to be sent: from now on a ticket may exist."""
    _must_be_applying(row, "open a ticket for")
    if row.tag != tag:
        _stale(row, f"tag {tag}")
    return row if row.ticket_sn else replace(row, create_started_at=now)


def ticket_opened(row: CollectorRow, tag: str, sn: str, ticket_url: str | None) -> CollectorRow:
    """Record the ticket's number."""
    _must_be_applying(row, "record a ticket for")
    if row.tag != tag or row.ticket_sn not in (None, sn):
        _stale(row, f"ticket {sn}")
    return row if row.ticket_sn else replace(row, ticket_sn=sn, ticket_url=ticket_url)


def decided(row: CollectorRow, sn: str, outcome: Outcome, detail: Mapping[str, Any]) -> CollectorRow:
    """Record the verdict. The first one stands: ITSM may report a rejected ticket as approved later."""
    _must_hold(row, sn)
    if row.outcome is not None or outcome is Outcome.WAITING:
        return row
    return replace(row, outcome=outcome, outcome_detail=dict(detail))


def resume(row: CollectorRow, sn: str) -> CollectorRow:
    """Take up an approved application again whose ETL had failed; no second ticket is needed."""
    _must_hold(row, sn)
    if row.outcome is not Outcome.APPROVED:
        _refuse(row, "provision", "its ticket is not approved")
    if row.state is not CollectorState.FAIL_APPLY:
        return row
    return replace(row, state=CollectorState.APPLYING, last_error=None)


def provisioned(row: CollectorRow, sn: str, now: datetime) -> CollectorRow:
    """Record that the approved ETL was written and read back."""
    _must_hold(row, sn)
    if row.outcome is not Outcome.APPROVED or row.state is CollectorState.FAIL_APPLY:
        _refuse(row, "record the ETL of", "its ticket is not approved, or the application has ended")
    return replace(row, provisioned_at=now, last_error=None)


def etl_failed(row: CollectorRow, sn: str, reason: str) -> CollectorRow:
    """Keep why the ETL failed; the application goes on."""
    _must_hold(row, sn)
    return row if row.last_error == reason else replace(row, last_error=reason)


def complete(row: CollectorRow, sn: str) -> CollectorRow:
    """Finish with success; only after the ETL (promise P7)."""
    _must_hold(row, sn)
    if row.state is CollectorState.SUCCESS_APPLY:
        return row
    if row.state is not CollectorState.APPLYING or row.provisioned_at is None:
        _refuse(row, "complete", "its approved ETL is not provisioned")
    return replace(row, state=CollectorState.SUCCESS_APPLY, last_error=None)


def fail(row: CollectorRow, tag: str, reason: str) -> CollectorRow:
    """Finish without success, and say why. The tag names the application: it may have no ticket yet."""
    if row.tag != tag:
        _stale(row, f"tag {tag}")
    if row.state is CollectorState.SUCCESS_APPLY:
        _refuse(row, "fail", "it is complete")
    if row.state is CollectorState.FAIL_APPLY and row.last_error == reason:
        return row
    return replace(row, state=CollectorState.FAIL_APPLY, last_error=reason)


def _must_be_applying(row: CollectorRow, what: str) -> None:
    if row.state is not CollectorState.APPLYING:
        _refuse(row, what, "it is not being applied for")


def _must_hold(row: CollectorRow, sn: str) -> None:
    if not sn or row.ticket_sn != sn:
        _stale(row, f"ticket {sn}")
    if row.state is CollectorState.NOT_APPLY:
        _refuse(row, "change", "it was never applied for")


def _stale(row: CollectorRow, what: str) -> NoReturn:
    raise CollectItsmConflict(
        f"{what} is not the current application of {_name(row)}, which is {_ticket(row)} of {_owner(row)};"
        " nothing was changed, and a retry is refused again"
    )


def _refuse(row: CollectorRow, what: str, why: str) -> NoReturn:
    raise CollectItsmConflict(
        f"cannot {what} {_name(row)}: {why} (state {row.state}, {_ticket(row)}); nothing was changed"
    )


def _name(row: CollectorRow) -> str:
    return f"collector {row.key.collector_config_id} of {row.key.bklog_conn_id}"


def _ticket(row: CollectorRow) -> str:
    return f"ticket {row.ticket_sn}" if row.ticket_sn else "no ticket yet"


def _owner(row: CollectorRow) -> str:
    return f"{row.owner.dag_id} / {row.owner.run_id}" if row.owner else "nobody"
