# SPDX-License-Identifier: Apache-2.0
"""``tickets``: what waits for whom, one ticket's story, the end of a ticket, and a test ticket."""

from __future__ import annotations

import asyncio
import re
from argparse import Namespace
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.approvals.rows import ApprovalWait, Row, Status, row_of
from airflow_provider_bkitsm.approvals.ticket_detail import Kind, TicketDetail, ticket_detail
from airflow_provider_bkitsm.cli.console import (
    NOT_DONE,
    STRUCTURED,
    UNUSABLE,
    command,
    end,
    print_data,
    print_line,
    print_rows,
    write_line,
)
from airflow_provider_bkitsm.cli.trial_ticket import is_trial_ticket, open_trial_ticket
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.store import has_store
from airflow_provider_bkitsm.itsm.actions import read_status
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import (
    ItsmConflictError,
    ItsmError,
    ItsmInvalidRequestError,
    ItsmNotFoundError,
)
from airflow_provider_bkitsm.translation import Text, verbatim

if TYPE_CHECKING:
    from airflow_provider_bkitsm.approvals.rows import Ticket
    from airflow_provider_bkitsm.approvals.snapshot import TicketSnapshot
    from airflow_provider_bkitsm.tickets.opening_records import SentTicket

_RECENT = timedelta(days=30)
# Open tickets of which no triggerer has noted who is asked: so many are read from ITSM.
_MOST_LIVE = 50
_AGE = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_STATUSES: Mapping[str, Text] = {
    Status.WAITING: Text("waiting"),
    Status.SUSPENDED: Text("suspended"),
    Status.RESUMING: Text("resuming"),
}
_KINDS: Mapping[str, Text] = {
    Kind.EVENT: Text("event"),
    Kind.APPROVED: Text("approved"),
    Kind.REFUSED: Text("refused"),
    Kind.ANSWERED: Text("answered"),
    Kind.PENDING: Text("pending"),
}
_USAGE = "tickets [SN] | tickets withdraw SN --reason TEXT | tickets open"


@command
def tickets(args: Namespace) -> None:
    """List the waiting tickets, or do to one what the words say."""
    match args.words:
        case []:
            _list(args)
        case ["open"]:
            _open(args)
        case ["withdraw", sn]:
            _withdraw(args, sn)
        case [sn] if sn != "withdraw":
            _show(args, sn)
        case _:
            raise ValueError(Text("give one of: {usage}", usage=_USAGE))


# -- the list ------------------------------------------------------------------------------------------------


def _list(args: Namespace) -> None:
    now = datetime.now(UTC)
    oldest = now - age_of(args.older_than) if args.older_than else None
    waits = [wait for wait in _waits() if wait.verdict is None and _is_wanted(wait, args)]
    sent = _sent({wait.ticket for wait in waits if wait.sn})
    live = _live(wait for wait in waits if wait.sn and (wait.noted is None or not wait.noted.approvers))
    rows = [row_of(wait, live.get(wait.ticket), sent=sent.get(wait.ticket)) for wait in waits]
    listed = [
        row
        for row in rows
        if row.is_open
        and (not args.approver or args.approver in row.approvers)
        and (oldest is None or (row.since is not None and row.since <= oldest))
    ]
    listed.sort(key=lambda row: row.since or now)
    print_rows([_listed_row(row, now, args.output) for row in listed], output=args.output)


def _is_wanted(wait: ApprovalWait, args: Namespace) -> bool:
    return (not args.bkitsm_conn_id or args.bkitsm_conn_id == wait.conn_id) and (
        not args.dag_id or args.dag_id == wait.task.dag_id
    )


def age_of(text: str) -> timedelta:
    """Return a length of time written as ``30m``, ``12h`` or ``3d``.

    :raises ValueError: it is written otherwise.
    """
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            Text("--older-than {text}: give a number with s, m, h or d behind it, such as 12h", text=repr(text))
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _waits() -> list[ApprovalWait]:
    """Return the waits of every DAG.

    :raises OSError: Airflow's database cannot be read.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from airflow_provider_bkitsm.plugins.metadata import AirflowTickets

    try:
        return AirflowTickets().waits(None, since=datetime.now(UTC) - _RECENT)
    except SQLAlchemyError as error:
        # Its text may hold the database's URL.
        raise OSError(
            Text(
                "Airflow's database cannot be read ({kind}): see airflow db check, airflow db migrate",
                kind=type(error).__name__,
            )
        ) from None


def _sent(of: Collection[Ticket]) -> Mapping[Ticket, SentTicket]:
    """Return what the records say of tickets; nothing while the store is down, and the store is never made."""
    from airflow_provider_bkitsm.tickets.opening_records import read_sent_tickets

    if not has_store():
        return {}
    try:
        return read_sent_tickets(of)
    except ItsmError:
        return {}


def _live(waits: Iterable[ApprovalWait]) -> Mapping[Ticket, TicketSnapshot]:
    """Return some tickets as ITSM shows them now; those that it does not answer about in a moment are left out."""
    wanted = list(dict.fromkeys(wait.ticket for wait in waits))[:_MOST_LIVE]
    return asyncio.run(_read_live(wanted)) if wanted else {}


async def _read_live(wanted: Sequence[Ticket]) -> Mapping[Ticket, TicketSnapshot]:
    from airflow_provider_bkitsm.plugins.concurrency import in_thread
    from airflow_provider_bkitsm.plugins.itsm_reader import ItsmReader, TicketCache
    from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata

    metadata = AirflowMetadata()
    cache = TicketCache(ItsmReader(gateway=lambda conn_id: in_thread(partial(metadata.gateway, conn_id))))
    await cache.refresh(wanted)
    return {ticket: seen for ticket in wanted if (seen := cache.snapshot(ticket)) is not None}


def _listed_row(row: Row, now: datetime, output: str) -> dict[Text, Any]:
    is_structured = output in STRUCTURED
    age = None if row.since is None else max(int((now - row.since).total_seconds()), 0)
    task = row.task.task_id if row.task.map_index < 0 else f"{row.task.task_id}[{row.task.map_index}]"
    return {
        Text("ticket"): row.sn,
        Text("title"): row.title,
        Text("status"): _STATUSES[row.status],
        Text("age"): age if is_structured else _in_words(age),
        Text("deadline"): row.deadline.isoformat(timespec="seconds") if row.deadline else "",
        Text("approvers"): list(row.approvers) if is_structured else ", ".join(row.approvers),
        Text("dag_id"): row.task.dag_id,
        Text("run_id"): row.task.run_id,
        Text("task_id"): task,
        Text("connection"): row.conn_id,
    }


def _in_words(seconds: int | None) -> str:
    if seconds is None:
        return ""
    minutes = seconds // 60
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return Text("{days}d {hours}h", days=days, hours=hours)
    if hours:
        return Text("{hours}h {minutes}m", hours=hours, minutes=minutes % 60)
    return Text("{minutes}m", minutes=minutes)


# -- one ticket ----------------------------------------------------------------------------------------------


def _show(args: Namespace, sn: str) -> None:
    hook = ItsmHook(_connection_of(args, sn))
    _refuse_foreign(hook, sn, is_awaited=_is_awaited(hook, sn))
    info = hook.run(ask(lambda itsm: itsm.info(sn)))
    log = hook.run(ask(lambda itsm: itsm.log(sn)))
    detail = ticket_detail(info, log, hook.run(read_status(sn)))
    if args.output in STRUCTURED:
        print_data([{"sn": sn, "connection": hook.bkitsm_conn_id, **detail.as_dict()}], output=args.output)
        return
    write_line(f"{sn} {detail.title}")
    print_line(
        Text(
            "{status}, opened by {person} at {time}",
            status=detail.current_status,
            person=detail.creator,
            time=detail.created_at.isoformat(),
        )
    )
    write_line(detail.ticket_url)
    print_rows(_form_rows(detail), output=args.output)
    print_rows([_entry_row(one) for one in detail.as_dict()["entries"]], output=args.output)


def _form_rows(detail: TicketDetail) -> list[dict[Text, str]]:
    return [
        {
            Text("field"): row.name,
            Text("value"): row.text or "; ".join(f"{label}: {text}" for label, text in row.rows),
        }
        for row in detail.form
    ]


def _entry_row(entry: Mapping[str, Any]) -> dict[Text, str]:
    return {
        Text("when"): entry["at"] or "",
        Text("what"): _KINDS[entry["kind"]],
        Text("who"): ", ".join(entry["people"]),
        Text("step"): entry["message"],
        Text("remark"): entry["remark"],
    }


def _withdraw(args: Namespace, sn: str) -> None:
    from airflow_provider_bkitsm.tickets.withdrawal import withdraw_if_open

    if not (args.reason or "").strip():
        raise ValueError(Text("give --reason: ITSM's log shows it to the approvers"))
    hook = ItsmHook(_connection_of(args, sn))
    _refuse_foreign(hook, sn)
    try:
        was_open = withdraw_if_open(hook, sn=sn, why=args.reason)
    except ItsmConflictError as error:
        end(Text("ticket {sn} stays open: {error}", sn=sn, error=error), NOT_DONE)
    status = hook.run(read_status(sn)).current_status
    if not was_open:
        text = Text("ticket {sn} had ended already: it is {status}; nothing was done", sn=sn, status=status)
        end(text, NOT_DONE)
    print_line(
        Text(
            "ticket {sn} is {status}; a task that waits for it ends as it does for a withdrawn ticket",
            sn=sn,
            status=status,
        )
    )


def _open(args: Namespace) -> None:
    hook = ItsmHook(args.bkitsm_conn_id or ItsmHook.default_conn_name)
    given = dict(_key_value(text) for text in args.field or ())
    try:
        opened = open_trial_ticket(hook, approver=args.approver or hook.gateway.username, given=given)
    except ItsmInvalidRequestError as error:
        cure = Text("give what the form needs with --field KEY=VALUE; airflow bkitsm services lists the keys")
        end(verbatim(error), UNUSABLE, cure=cure)
    address = opened.ticket_url or hook.run(read_status(opened.sn)).ticket_url
    row = {Text("ticket"): opened.sn, Text("address"): address, Text("connection"): hook.bkitsm_conn_id}
    print_rows([row], output=args.output)


def _key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ValueError(Text("--field {text}: give KEY=VALUE", text=repr(text)))
    return key, value


def _connection_of(args: Namespace, sn: str) -> str:
    """Return the connection of a ticket: the one that is named, that of the task which waits for it, the default.

    :raises ValueError: tasks wait for tickets of this number on several connections.
    """
    if args.bkitsm_conn_id:
        return str(args.bkitsm_conn_id)
    found = sorted({wait.conn_id for wait in _waits() if wait.sn == sn and wait.conn_id})
    if len(found) > 1:
        raise ValueError(
            Text(
                "there are tickets {sn} on {connections}: name one with --bkitsm-conn-id",
                sn=sn,
                connections=", ".join(found),
            )
        )
    return found[0] if found else ItsmHook.default_conn_name


def _is_awaited(hook: ItsmHook, sn: str) -> bool:
    return any(wait.ticket == (hook.bkitsm_conn_id, sn) for wait in _waits())


def _refuse_foreign(hook: ItsmHook, sn: str, *, is_awaited: bool = False) -> None:
    """End the command for a ticket that this Airflow has not opened (promise P6).

    :param is_awaited: a task waits for it, which is enough to read it: XComs can be written by others.
    """
    from airflow_provider_bkitsm.tickets.ownership_records import read_request
    from airflow_provider_bkitsm.tickets.withdrawal import refuse_another_dialect

    has_record = has_store() and read_request(sn, hook.bkitsm_conn_id) is not None
    if has_record:
        refuse_another_dialect(hook, sn)
    if has_record or is_awaited or _is_trial(hook, sn):
        return
    text = Text(
        "ticket {sn} is none that a record of this Airflow says was opened on connection {connection}: it was left"
        " alone. Is it of another connection (--bkitsm-conn-id)?",
        sn=sn,
        connection=repr(hook.bkitsm_conn_id),
    )
    end(text, NOT_DONE)


def _is_trial(hook: ItsmHook, sn: str) -> bool:
    try:
        title = hook.run(ask(lambda itsm: itsm.info(sn))).title
    except (ItsmNotFoundError, ItsmInvalidRequestError):
        return False
    return is_trial_ticket(hook.gateway, title)
