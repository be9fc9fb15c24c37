# SPDX-License-Identifier: Apache-2.0
"""A ticket that tries a connection: what it asks, and how it is recognised as one of ours.

No task waits for it, and no record says who opened it. So its title ends with a mark that only the key which signs
the connection's callbacks can make: whoever may withdraw such a ticket (promise P6) needs no more than the title.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.callback.signature import signing_keys
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import ItsmError, ItsmOutcomeUnknownError
from airflow_provider_bkitsm.itsm.idempotency import approval_tag, find_opened, is_marked, marked_title
from airflow_provider_bkitsm.itsm.models import CreatedTicket
from airflow_provider_bkitsm.tickets.approval import ApprovalRecord, Attempt, Subject, new_nonce
from airflow_provider_bkitsm.tickets.approval_store import installation, open_approval_store

if TYPE_CHECKING:
    from airflow_provider_bkitsm.hooks.connection import Gateway
    from airflow_provider_bkitsm.hooks.itsm import ItsmHook
    from airflow_provider_bkitsm.itsm.models import ServiceField

TITLE = "TEST of Airflow's connection to ITSM, nothing depends on it"
_TITLE = re.compile(re.escape(TITLE) + r" ([0-9a-f]{8}) \S+")


def open_trial_ticket(hook: ItsmHook, *, approver: str, given: Mapping[str, str] | None = None) -> CreatedTicket:
    """Open a ticket in the connection's service, or by fast approval where it names none.

    :param approver: whom it asks.
    :param given: values of the form by key; what else is required is filled in.
    :raises ItsmError: no ticket was opened, or its answer was lost and it is not there (yet).
    """
    nonce, creator, began = secrets.token_hex(4), hook.gateway.username, datetime.now(UTC)
    tag = _tags(hook.gateway, nonce)[0]
    form = {**_form(hook, approver), **(given or {}), "title": marked_title(f"{TITLE} {nonce}", tag)}
    service, is_fast = hook.gateway.service, _is_fast(hook)
    key, fields = hook.run(ask(lambda itsm: itsm.service_for(form, service_id=service, fast_approval=is_fast)))
    request: dict[str, Any] = {"fields": fields, "service_id": key, "fast_approval": is_fast}
    try:
        opened = hook.run(ask(lambda itsm: itsm.create(tag=tag, creator=creator, **request)))
    except ItsmOutcomeUnknownError:
        found = hook.run(find_opened(tag, creator=creator, since=began))
        if not found:
            raise
        opened = CreatedTicket(sn=found[0].sn)
    keep_as_known(hook, opened.sn, tag=tag, creator=creator, began=began)
    return opened


def keep_as_known(hook: ItsmHook, sn: str, *, tag: str, creator: str, began: datetime) -> None:
    """Record a ticket of a command: by a ticket that exists a search is tried that has found none.

    Where the store cannot be written nothing is lost but that.
    """
    record = ApprovalRecord(
        nonce=new_nonce(),
        subject=Subject(
            installation=installation(), bkitsm_conn_id=hook.bkitsm_conn_id, dag_id="", approval_key=f"trial {tag}"
        ),
        round_number=1,
        attempt=Attempt(ti_id=None, try_number=0, max_tries=0, retries=0),
        digest="",
        asked_digest="",
        tag=tag,
        request={"creator": creator, "dialect": hook.gateway.dialect.name, "fields": {}},
        create_started_at=began,
        sn=sn,
        opened_at=datetime.now(UTC),
    )
    with suppress(ItsmError):
        open_approval_store().begin(record)


def is_trial_ticket(gateway: Gateway, title: str) -> bool:
    """Whether a title is that of a ticket which ``open_trial_ticket`` opened on this connection."""
    found = _TITLE.fullmatch(title)
    return found is not None and any(is_marked(title, tag) for tag in _tags(gateway, found[1]))


def _tags(gateway: Gateway, nonce: str) -> list[str]:
    """Return the tag of a test ticket by each of the connection's keys, the one that signs first."""
    return [approval_tag(key, subject=TITLE, nonce=nonce, digest="") for key in signing_keys(gateway)]


def _is_fast(hook: ItsmHook) -> bool:
    return hook.gateway.service is None and hook.gateway.dialect.capabilities.fast_approval


def _form(hook: ItsmHook, approver: str) -> dict[str, str]:
    """Return what the form needs: of a service its required fields, in the types they have."""
    service_id = hook.gateway.service
    if service_id is None:
        return {"APPROVER": approver, "APPROVAL_CONTENT": TITLE}
    service = hook.run(ask(lambda itsm: itsm.service(service_id)))
    return {one.key: _value(one, approver) for one in service.fields if one.is_required and one.key != "title"}


def _value(field: ServiceField, approver: str) -> str:
    if field.names_people:
        return approver
    if field.default not in (None, ""):
        return str(field.default)
    return next(iter(field.choices), "") or _of_type(field.type, datetime.now(UTC))


def _of_type(kind: str, now: datetime) -> str:
    """Return a value that ITSM takes for a type of field; the other types take texts."""
    return {"INT": "1", "DATE": f"{now:%Y-%m-%d}", "DATETIME": f"{now:%Y-%m-%d %H:%M:%S}"}.get(kind, TITLE)
