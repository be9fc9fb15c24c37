# SPDX-License-Identifier: Apache-2.0
"""The state machine of a collector's application: a row and an event in, a new row or an error out.

Pure. Every event may be delivered twice: the second time returns the row unchanged (except ``recreate``, which is
a claim). Only the current application changes a row: events name its ticket (``sn``) or, without a ticket, its
creation marker (``tag``), and those of an older application are refused. The states are the log platform's; unlike
there, the ETL comes before success, and "approved" is no state.

An application goes on by an approval, which ``decided`` stores, or by a switch that makes approvals unnecessary,
which ``bypass`` stores when the application begins. There is no third way, and none from one to the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from airflow_provider_bkitsm.collectors.clean_config import digest
from airflow_provider_bkitsm.collectors.errors import (
    CollectItsmConflict,
    CollectItsmHasApply,
    CollectItsmNotFound,
)
from airflow_provider_bkitsm.collectors.row import CollectorRow, CollectorState, Owner, new_row
from airflow_provider_bkitsm.itsm.idempotency import TAG_LENGTH
from airflow_provider_bkitsm.itsm.outcome import Outcome

_REASON_LIMIT = 4000


def apply(
    row: CollectorRow,
    *,
    payload: Mapping[str, Any],
    tag: str,
    owner: Owner,
    verdict_settings: Mapping[str, Any] | None = None,
    request: Mapping[str, Any] | None = None,
    bkitsm_conn_id: str | None = None,
    now: datetime,
) -> CollectorRow:
    """Store the intent before the ticket exists (P7): what will be sent, and where the verdict will be read.

    A retry of the task that holds the application gets the stored row, with tag and payload of the first try (P2).
    The caller passes a random ``tag`` and compares it with ``row.tag`` to know which of the two happened.

    :raises CollectItsmHasApply: another task is applying.
    :raises ValueError: the tag is longer than ITSM keeps, or is the previous application's: a search by that tag
        would find the older ticket.
    """
    if row.is_applying:
        return _held(row, owner)
    kept = {"verdict_settings": verdict_settings, "request": request}
    more: dict[str, Any] = {name: None if one is None else dict(one) for name, one in kept.items()}
    more["bkitsm_conn_id"] = bkitsm_conn_id
    return _begun(row, payload=payload, tag=tag, owner=owner, now=now, create_started_at=now, **more)


def bypass(
    row: CollectorRow,
    *,
    payload: Mapping[str, Any],
    tag: str,
    owner: Owner,
    setting: str,
    request: Mapping[str, Any] | None = None,
    bkitsm_conn_id: str | None = None,
    now: datetime,
) -> CollectorRow:
    """Store the intent of an application that needs no approval, by ``setting``.

    If the same task has an application under way, that one goes on as it began, since its ticket may be open
    already: check ``is_bypassed`` of the result.

    :raises CollectItsmHasApply: another task is applying.
    :raises ValueError: as ``apply``; or no setting is named.
    """
    if not setting:
        raise ValueError("An application without an approval has to name which setting allows it")
    if row.is_applying:
        return _held(row, owner)
    more: dict[str, Any] = {"outcome_detail": {"setting": setting}, "bkitsm_conn_id": bkitsm_conn_id}
    more["request"] = None if request is None else dict(request)
    return _begun(row, payload=payload, tag=tag, owner=owner, now=now, bypassed_tag=tag, **more)


def recreate(
    row: CollectorRow, *, tag: str, seen: datetime, request: Mapping[str, Any] | None = None, now: datetime
) -> CollectorRow:
    """Claim the right to open the ticket again, after the answer was lost and no ticket was found.

    If two tries both searched and found nothing, one gets the claim and the other is refused: one ticket (P2).
    Therefore this event cannot be repeated.

    :param seen: the ``create_started_at`` up to which the caller has searched.
    :param request: what is sent, used if an older version stored the intent without it.
    :raises CollectItsmConflict: the ticket's number is stored by now, or another try is creating the ticket.
    """
    _check_tag(row, tag)
    _check_wants_ticket(row)
    if not row.is_applying or row.ticket_sn is not None or row.create_started_at != seen:
        raise CollectItsmConflict(
            f"{row.name}: the application is {row.state} and its ticket is "
            f"{row.ticket_sn or 'being opened by another try'}. No second ticket was opened; a retry looks "
            "for it again."
        )
    sent = row.request if row.request is not None or request is None else dict(request)
    return _changed(row, now, create_started_at=now, request=sent)


def ticket_opened(row: CollectorRow, *, tag: str, sn: str, url: str | None = None, now: datetime) -> CollectorRow:
    """Store the number ITSM gave the ticket that was opened with ``tag``.

    :raises CollectItsmConflict: the application has ended or was replaced, or already has another ticket.
        The ticket ``sn`` is then open in ITSM without an application: withdraw it.
    """
    _check_tag(row, tag, orphan=sn)
    _check_wants_ticket(row, orphan=sn)
    if row.ticket_sn == sn:
        return row
    if not sn or row.ticket_sn is not None or not row.is_applying:
        raise CollectItsmConflict(
            f"{row.name}: ticket {sn or '(no number)'} cannot be taken, the application is {row.state} and "
            f"its ticket is {row.ticket_sn or 'none'}. Nothing was changed. Withdraw ticket {sn}: no run "
            "waits for it."
        )
    return _changed(row, now, ticket_sn=sn, ticket_url=url, last_error=None)


def create_refused(row: CollectorRow, *, tag: str, reason: str, now: datetime) -> CollectorRow:
    """End an application whose ticket ITSM refused to open. A lost answer is no refusal.

    :raises CollectItsmConflict: a ticket's number is stored, or a newer application took over.
    """
    _check_tag(row, tag)
    _check_wants_ticket(row)
    if row.ticket_sn is not None:
        raise CollectItsmConflict(
            f"{row.name}: ITSM refused a ticket, but this application has {row.ticket_sn}. "
            "Nothing was changed; a retry goes on with that ticket."
        )
    return _failed(row, reason, now)


def decided(
    row: CollectorRow, *, sn: str, outcome: str, detail: Mapping[str, Any] | None = None, now: datetime
) -> CollectorRow:
    """Store the first verdict read on the ticket; a later one changes nothing.

    ITSM turns a rejected ticket into an approved one when its approval step is deleted from the live
    workflow (docs/itsm-behaviour.md#deleted-approval-step), so only the first one is what a person decided.

    :raises CollectItsmConflict: the verdict is about an older ticket.
    :raises ValueError: ``outcome`` does not end a wait.
    """
    final = Outcome(outcome)
    if not final.is_final:
        raise ValueError("A ticket that is still open has no verdict to store")
    _check_ticket(row, sn)
    if row.outcome is not None:
        return row
    return _changed(row, now, outcome=final, outcome_detail=dict(detail or {}))


def resume(row: CollectorRow, *, sn: str | None = None, tag: str | None = None, now: datetime) -> CollectorRow:
    """Continue an approved or bypassed application whose ETL failed, without a second approval.

    :raises CollectItsmConflict: the application named is not the current one, or was not approved.
    """
    _check_current(row, sn, tag)
    if row.state is not CollectorState.FAIL_APPLY:
        return row
    _check_may_go_on(row, "resumed")
    return _changed(row, now, state=CollectorState.APPLYING, last_error=None)


def provisioned(
    row: CollectorRow,
    *,
    sn: str | None = None,
    tag: str | None = None,
    result: Mapping[str, Any] | None = None,
    now: datetime,
) -> CollectorRow:
    """Store that the log platform applied the ETL payload (P7: before the collector counts as complete).

    :raises CollectItsmConflict: the application named is not the current one, was not approved, or failed.
    """
    _check_current(row, sn, tag)
    _check_may_go_on(row, "provisioned")
    _check_not_failed(row, "provisioned")
    answer = dict(result or {})
    if row.provisioned_at is not None and row.etl_result == answer:
        return row
    return _changed(row, now, provisioned_at=now, etl_result=answer, last_error=None)


def etl_failed(
    row: CollectorRow, *, sn: str | None = None, tag: str | None = None, reason: str, now: datetime
) -> CollectorRow:
    """Store why the ETL payload was not applied. The application goes on: a retry may succeed.

    :raises CollectItsmConflict: the application named is not the current one.
    """
    _check_current(row, sn, tag)
    if row.last_error == _storable(reason):
        return row
    return _changed(row, now, last_error=_storable(reason))


def complete(row: CollectorRow, *, sn: str | None = None, tag: str | None = None, now: datetime) -> CollectorRow:
    """Mark the collector complete; a second time is no error (docs/log-platform-behaviour.md#completed-twice).

    :raises CollectItsmConflict: the application named is not the current one, was not approved, its ETL was not
        applied (P7), or it failed.
    """
    _check_current(row, sn, tag)
    if row.has_success:
        return row
    _check_may_go_on(row, "completed")
    _check_not_failed(row, "completed")
    if row.provisioned_at is None:
        raise CollectItsmConflict(
            f"{row.name} cannot be completed: {row.standing}, but its ETL was not applied yet "
            f"({row.last_error or 'no attempt is recorded'}). Nothing was changed; provision first, then "
            "retry."
        )
    return _changed(row, now, state=CollectorState.SUCCESS_APPLY, last_error=None)


def fail(
    row: CollectorRow, *, sn: str | None = None, tag: str | None = None, reason: str, now: datetime
) -> CollectorRow:
    """End the application without success, so that a new one can begin.

    The application is named by its ticket (``sn``), or by its ``tag`` if no number was ever stored. Without a
    name, a late caller could end the application that came after its own.

    :raises CollectItsmConflict: the application named is not the current one, or has succeeded.
    """
    _check_current(row, sn, tag)
    return _failed(row, reason, now)


def _begun(
    row: CollectorRow, *, payload: Mapping[str, Any], tag: str, owner: Owner, now: datetime, **values: Any
) -> CollectorRow:
    """Return the row of a new application, without anything of the previous one."""
    if not 0 < len(tag) <= TAG_LENGTH or tag in (row.tag, row.bypassed_tag):
        raise ValueError(f"A new application needs a new tag of 1 to {TAG_LENGTH} characters, got {tag!r}")
    fresh = new_row(row.bklog_conn_id, row.collector_config_id, now=now)
    return replace(
        fresh,
        state=CollectorState.APPLYING,
        tag=tag,
        etl_payload=dict(payload),
        etl_digest=digest(payload),
        owner=owner,
        application=row.application + 1,
        version=row.version,
        created_at=row.created_at,
        **values,
    )


def _held(row: CollectorRow, owner: Owner) -> CollectorRow:
    if row.owner == owner:
        return row
    none = "none is needed" if row.is_bypassed else "not known yet"
    ticket = " ".join(filter(None, (row.ticket_sn, row.ticket_url))) or none
    raise CollectItsmHasApply(
        f"{row.name} is already applied for by {row.owner} (ticket: {ticket}). No second ticket was opened. "
        "A retry is refused until that application ends: when its ticket is refused or withdrawn, or when the "
        "last task of its run, cleared if need be, has completed or failed the collector."
    )


def _failed(row: CollectorRow, reason: str, now: datetime) -> CollectorRow:
    if row.has_success:
        raise CollectItsmConflict(
            f"{row.name} has completed ({row.standing}) and cannot fail any more. "
            "Nothing was changed; apply again for a change."
        )
    if row.state is CollectorState.FAIL_APPLY:
        return row
    return _changed(row, now, state=CollectorState.FAIL_APPLY, last_error=_storable(reason))


def _check_exists(row: CollectorRow) -> None:
    if not row.has_apply:
        raise CollectItsmNotFound(f"{row.name}: nobody has applied for it, so there is no ticket. Apply first.")


def _check_current(row: CollectorRow, sn: str | None, tag: str | None) -> None:
    """Refuse an event that does not name the current application, by its ticket or by its tag."""
    if sn is not None:
        _check_ticket(row, sn)
    else:
        _check_tag(row, tag)


def _check_wants_ticket(row: CollectorRow, *, orphan: str | None = None) -> None:
    if row.is_bypassed:
        advice = f" Withdraw ticket {orphan}: no run waits for it." if orphan else ""
        raise CollectItsmConflict(
            f"{row.name}: {row.standing}, so its application takes no ticket. Nothing was changed; a retry is "
            f"refused.{advice}"
        )


def _check_ticket(row: CollectorRow, sn: str) -> None:
    _check_exists(row)
    if not sn or row.ticket_sn != sn:
        raise CollectItsmConflict(
            f"{row.name}: ticket {sn or '(no number)'} is not the ticket of its current application "
            f"({row.ticket_sn or 'not known yet'}, held by {row.owner}). Nothing was changed; a retry is "
            "refused."
        )


def _check_tag(row: CollectorRow, tag: str | None, *, orphan: str | None = None) -> None:
    _check_exists(row)
    if tag is None or row.tag != tag:
        advice = f" Withdraw ticket {orphan}: no run waits for it." if orphan else ""
        raise CollectItsmConflict(
            f"{row.name}: the application marked {tag or '(nothing)'} is not the current one, which "
            f"{row.owner} holds. Nothing was changed; a retry is refused.{advice}"
        )


def _check_may_go_on(row: CollectorRow, doing: str) -> None:
    """Refuse an application that is neither approved nor bypassed: the one gate of promise P3."""
    if row.outcome is not Outcome.APPROVED and not row.is_bypassed:
        raise CollectItsmConflict(
            f"{row.name} cannot be {doing}: {row.standing}. "
            "Nothing was changed; a retry is refused unless the ticket is approved."
        )


def _check_not_failed(row: CollectorRow, doing: str) -> None:
    if row.state is CollectorState.FAIL_APPLY:
        raise CollectItsmConflict(
            f"{row.name} cannot be {doing}: its application ({row.standing}) has failed "
            f"({row.last_error}). Nothing was changed; resume it or apply again."
        )


def _changed(row: CollectorRow, now: datetime, **values: Any) -> CollectorRow:
    return replace(row, **values, updated_at=now)


def _storable(reason: str) -> str:
    """Return a text that every database takes: no NUL (PostgreSQL), no lone surrogates, limited length."""
    return reason.encode(errors="replace").decode().replace("\x00", "")[:_REASON_LIMIT]
