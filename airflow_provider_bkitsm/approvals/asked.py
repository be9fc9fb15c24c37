# SPDX-License-Identifier: Apache-2.0
"""What a task asked people, whether that is what runs, and what they decided: for the Ticket tab. Pure.

"The same" is said only where all is known: what was sent, what the ticket shows, and what the task would run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.approvals.rows import seconds_between
from airflow_provider_bkitsm.approvals.ticket_detail import FormRow, form_row
from airflow_provider_bkitsm.collectors.form import digests_in
from airflow_provider_bkitsm.itsm.confirmation import FieldDifference
from airflow_provider_bkitsm.itsm.duties import REQUESTER
from airflow_provider_bkitsm.itsm.idempotency import unmarked_title
from airflow_provider_bkitsm.itsm.models import FormField
from airflow_provider_bkitsm.itsm.verdict import Verdict, moment
from airflow_provider_bkitsm.tickets.approval import ITEM, ITEM_DIGEST, RUN_BY, RUNS, runs_digest

if TYPE_CHECKING:
    from airflow_provider_bkitsm.collectors.row import CollectorRow
    from airflow_provider_bkitsm.tickets.approval import ApprovalRecord

_TITLE = "title"
# Of the digest of what runs, among the differences.
_DIGEST_KEY = "digest"


class Match(StrEnum):
    """Whether what runs is what people read."""

    SAME = "same"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class RoundRecords:
    """The records of a task's round.

    :param own: of the task's own round; None for a task that only waits, such as a sensor.
    :param source: of the ticket's opening, which may be another task's.
    """

    own: ApprovalRecord | None
    source: ApprovalRecord


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked, and how it compares with what runs.

    :param digest: of what was sent; ``runs_digest`` of what the task would run, as it was rendered last.
    :param item: what of a shared approval's items the task would do.
    :param fields: what was sent.
    :param requester: who asked, in ITSM; ``run_by`` is who started the run, in Airflow.
    :param round_number: counts how often the task has asked.
    """

    title: str
    digest: str
    runs_digest: str
    item: str
    item_digest: str
    fields: tuple[FormRow, ...]
    match: Match
    differences: tuple[FieldDifference, ...]
    requester: str
    run_by: str
    round_number: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {"match": str(self.match)}


def asked_of(records: RoundRecords, differences: Sequence[FieldDifference] | None) -> Asked:
    """Return what a task asked.

    :param differences: in what the ticket differs from what was sent; None: that is not known now.
    """
    own, source = records.own or records.source, records.source
    sent, mine = source.request, own.request
    fields = sent.get("fields")
    form: Mapping[str, Any] = fields if isinstance(fields, Mapping) else {}
    runs = _runs_digest(own)
    other = _other_digest(source.asked_digest, runs)
    found = (*(differences or ()), *other)
    is_known = differences is not None and bool(runs) and bool(form)
    return Asked(
        title=unmarked_title(str(form.get(_TITLE) or ""), is_ours=True),
        digest=source.asked_digest,
        runs_digest=runs,
        item=str(mine.get(ITEM) or ""),
        item_digest=str(mine.get(ITEM_DIGEST) or ""),
        fields=tuple(_sent_rows(form)),
        match=Match.DIFFERS if found else Match.SAME if is_known else Match.UNKNOWN,
        differences=found,
        requester=str(mine.get(REQUESTER) or sent.get(REQUESTER) or sent.get("creator") or ""),
        run_by=str(mine.get(RUN_BY) or ""),
        round_number=own.round_number,
    )


def asked_of_application(row: CollectorRow, differences: Sequence[FieldDifference] | None) -> Asked | None:
    """Return what an application for a collector asked; None where an earlier version did not store that.

    :param differences: as for ``asked_of``.
    """
    sent = row.request
    if sent is None or row.etl_digest is None:
        return None
    fields = sent.get("fields")
    form: Mapping[str, Any] = fields if isinstance(fields, Mapping) else {}
    digests = sorted(digests_in(form.get(str(sent.get("detail_field")))))
    asked = digests[0] if len(digests) == 1 else ""
    other = _other_digest(asked, row.etl_digest) if asked else ()
    found = (*(differences or ()), *other)
    is_known = differences is not None and bool(asked)
    return Asked(
        title=unmarked_title(str(form.get(_TITLE) or ""), is_ours=True),
        digest=asked,
        runs_digest=row.etl_digest,
        item="",
        item_digest="",
        fields=tuple(_sent_rows(form)),
        match=Match.DIFFERS if found else Match.SAME if is_known else Match.UNKNOWN,
        differences=found,
        requester=str(sent.get(REQUESTER) or sent.get("creator") or ""),
        run_by="",
        round_number=row.application,
    )


def _runs_digest(own: ApprovalRecord) -> str:
    """Return the digest of what a round's task would run; empty where no task is named."""
    subject = own.subject
    if not subject.task_id:
        return ""
    key = {name: getattr(subject, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
    at_start = own.request.get(RUNS) or own.asked_digest
    return runs_digest(key, waits=(own.verdict or {}).get("waits"), at_start=at_start)


def _other_digest(digest: str, runs: str) -> tuple[FieldDifference, ...]:
    if not runs or runs == digest:
        return ()
    return (FieldDifference(key=_DIGEST_KEY, sent=digest, now=runs),)


def _sent_rows(form: Mapping[str, Any]) -> Iterable[FormRow]:
    return (form_row(FormField(key=key, value=value)) for key, value in form.items() if key != _TITLE)


def decision_of(verdict: Mapping[str, Any] | None, *, opened_at: datetime | None) -> dict[str, Any] | None:
    """Return what people decided, and on which lines of the log that rests; None while nothing is decided."""
    if not verdict:
        return None
    read = Verdict.from_dict(verdict)
    if not read.outcome.is_final:
        return None
    seconds = seconds_between(opened_at, moment(read.decided_at))
    stored = read.as_dict()
    answers = [{**one, "automatic": one.get("automatic", False)} for one in stored["approvers"]]
    return {
        "outcome": stored["outcome"],
        "answers": answers,
        "evidence": stored["evidence"],
        "evidence_required": read.evidence_required,
        "seconds": None if seconds is None else round(seconds),
        "airflow_url": read.airflow_url,
    }
