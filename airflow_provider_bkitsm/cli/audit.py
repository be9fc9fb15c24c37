# SPDX-License-Identifier: Apache-2.0
"""``audit``: every approval round since a day, as a file that an auditor can keep; ``history``: one collector's.

CSV and JSON are written row by row, and end with their SHA-256 on the standard error. The sum shows whether a file
was changed since somebody noted it. It does not show that the store was not changed before.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.approvals.csv_export import harmless
from airflow_provider_bkitsm.cli.console import (
    NOT_DONE,
    STRUCTURED,
    command,
    end,
    print_data,
    print_line,
    print_rows,
)
from airflow_provider_bkitsm.collectors.history import SHORT
from airflow_provider_bkitsm.collectors.history import audit_rows as history_rows
from airflow_provider_bkitsm.hooks.store import open_store, store_engine, store_path
from airflow_provider_bkitsm.itsm.errors import printable
from airflow_provider_bkitsm.itsm.verdict import answer_text
from airflow_provider_bkitsm.translation import Text, reader_language

_TABLE = {
    "asked_at": Text("asked at"),
    "dag_id": Text("dag_id"),
    "run_id": Text("run_id"),
    "task": Text("task"),
    "ticket": Text("ticket"),
    "title": Text("title"),
    "requester": Text("requester"),
    "result": Text("result"),
    "decisions": Text("decisions"),
    "decided_at": Text("decided at"),
}
_HISTORY = {
    "when": Text("when"),
    "event": Text("event"),
    "from": Text("from"),
    "to": Text("to"),
    "ticket": Text("ticket"),
    "owner": Text("owner"),
    "actor": Text("actor"),
    "details": Text("details"),
}


@command
def audit(args: Namespace) -> None:
    """Print the rounds that were asked for in a period, and how each ended."""
    from airflow_provider_bkitsm.tickets.approval_store import executors_elsewhere
    from airflow_provider_bkitsm.tickets.audit import AuditPeriod, audit_rows

    until = None if args.until is None else moment_of(args.until, "--until", is_end=True)
    period = AuditPeriod(
        since=moment_of(args.since, "--since"), until=until, dag_id=args.dag_id, conn_id=args.bkitsm_conn_id
    )
    if not (args.store_conn_id or settings.store_conn_id()):
        _check_file(executors_elsewhere())
    rows = audit_rows(store_engine(args.store_conn_id), period)
    if args.output in ("csv", "json"):
        _write(csv_lines(rows) if args.output == "csv" else json_lines(rows))
    elif args.output in STRUCTURED:
        print_data([_plain(row) for row in rows], output=args.output)
    else:
        print_rows([_table_row(row) for row in rows], output=args.output)


def _check_file(elsewhere: tuple[str, ...]) -> None:
    """End the command where there is no store; say what a store that is one machine's file leaves out."""
    if not store_path().exists():
        text = Text(
            "there is no store at {path}: nothing was asked on this machine. Name the database with"
            " --store-conn-id",
            path=str(store_path()),
        )
        end(text, NOT_DONE)
    if elsewhere:
        text = Text(
            "{path} is a file of this machine, and tasks may run on several ({executors}): what was asked there is"
            " not in this export",
            path=str(store_path()),
            executors=", ".join(elsewhere),
        )
        print_line(text, to=sys.stderr)


def moment_of(text: str, option: str, *, is_end: bool = False) -> datetime:
    """Return a day or a time as an aware time; without a zone it is UTC's.

    :param is_end: whether a day alone stands for its end.
    :raises ValueError: it is neither.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        # The calendar's last day, which stands for no end, has no day after it.
        return start + timedelta(days=1) if is_end and day < date.max else start
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            Text(
                "{option} {text}: give a day or a time, such as 2026-11-01 or 2026-11-01T08:00:00+08:00",
                option=option,
                text=repr(text),
            )
        ) from None


# -- files ---------------------------------------------------------------------------------------------------


def csv_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """Return the lines of a CSV file, and how many rows each has. No cell is a formula, or has a line end."""
    from airflow_provider_bkitsm.tickets.audit import COLUMNS

    yield _csv_line(COLUMNS), 0
    for row in rows:
        yield _csv_line([_cell(row[name], name) for name in COLUMNS]), 1


def json_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """Return the lines of a JSON file, a list with an object on each line, and how many rows each has."""
    before = "[\n"
    for row in rows:
        yield before + _escaped(json.dumps(_plain(row), ensure_ascii=False)), 1
        before = ",\n"
    yield ("[]\n" if before == "[\n" else "\n]\n"), 0


def _write(lines: Iterable[tuple[str, int]]) -> None:
    """Write lines as UTF-8, whatever the locale, then their SHA-256 to the standard error."""
    total, digest = 0, hashlib.sha256()
    for line, rows in lines:
        written = line.encode()
        digest.update(written)
        total += rows
        if (binary := getattr(sys.stdout, "buffer", None)) is None:
            sys.stdout.write(line)
        else:
            binary.write(written)
    sys.stdout.flush()
    text = Text("{rows} rows, SHA-256 {digest}", rows=total, digest=digest.hexdigest())
    print_line(text, to=sys.stderr)


def _csv_line(cells: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _cell(value: object, name: str) -> object:
    """Return a value as a cell: texts of others cannot begin a formula."""
    if value is None or isinstance(value, bool | int):
        return "" if value is None else value
    return harmless(printable(_words(value, name)))


def _words(value: object, name: str) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if not isinstance(value, list):
        return str(value)
    return "; ".join(_SENTENCES[name](one) for one in value)


def _decision(one: Mapping[str, Any]) -> str:
    by_itself = " automatically" if one.get("automatic") else ""
    remark = f": {one['remark']}" if one.get("remark") else ""
    return f"{_answer(one)}{by_itself} at {one.get('decided_at') or '?'}{remark}"


def _evidence(one: Mapping[str, Any]) -> str:
    by_itself = " automatically" if one.get("automatic") else ""
    return f"{one.get('step') or '?'}: {_answer(one)}{by_itself} at {one.get('at') or '?'}"


def _answer(one: Mapping[str, Any]) -> str:
    approved = one.get("approved")
    return answer_text(str(one.get("operator") or ""), approved if isinstance(approved, bool) else None)


def _wait(one: Mapping[str, Any]) -> str:
    how = f"{one.get('outcome')} ({one.get('reason_code')}) at {one.get('at')}"
    return f"{_task(one)}, run {one.get('run_id')}: {how}"


_SENTENCES = {"decisions": _decision, "evidence": _evidence, "waits": _wait}


def _task(one: Mapping[str, Any]) -> str:
    return f"{one.get('dag_id')}.{one.get('task_id')}{_index(one)}"


def _index(one: Mapping[str, Any]) -> str:
    index = one.get("map_index")
    return f"[{index}]" if isinstance(index, int) and index >= 0 else ""


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def _escaped(text: str) -> str:
    """Return JSON in which every character without a shape of its own is spelled, such as marks of direction."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def _table_row(row: Mapping[str, Any]) -> dict[Text, Any]:
    task = f"{row['task_id']}{_index(row)}" if row["task_id"] else row["subject"]
    cells = {name: "" if value is None else value for name, value in row.items()} | {"task": task}
    return {heading: _words(_to_the_second(cells[name]), name) for name, heading in _TABLE.items()}


def _to_the_second(value: object) -> object:
    return value.replace(microsecond=0) if isinstance(value, datetime) else value


@command
def history(args: Namespace) -> None:
    """Print everything that happened to a collector's applications, oldest first."""
    entries = open_store(args.store_conn_id).history(args.bklog_conn_id, args.collector_config_id)
    limit = SHORT if args.output == "table" else None
    rows = history_rows(entries, limit=limit, language="en" if args.output in STRUCTURED else reader_language())
    print_rows([{_HISTORY[name]: text for name, text in row.items()} for row in rows], output=args.output)
