# SPDX-License-Identifier: Apache-2.0
"""``check``: is everything set up, from the connection to the callback? It changes nothing, unless ``--ticket``.

Each check stands for itself and has its time: what one of them cannot do is its own line.
"""

from __future__ import annotations

import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from functools import partial

from airflow_provider_bkitsm.cli.airflow_check import check_callback, check_plugin, check_roles, check_store
from airflow_provider_bkitsm.cli.console import NOT_DONE, command, print_rows, write_line
from airflow_provider_bkitsm.cli.cures import NOT_DEFINED, cure_of
from airflow_provider_bkitsm.cli.findings import Finding, Level, ok, wrong
from airflow_provider_bkitsm.cli.itsm_check import ItsmCheck, Look, try_ticket
from airflow_provider_bkitsm.cli.itsm_findings import judge_connection
from airflow_provider_bkitsm.hooks.bklog import BkLogHook
from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.hooks.connection_lookup import find_connection
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.translation import Text, reader_language, verbatim
from airflow_provider_bkitsm.version_compat import AirflowNotFoundException

_CHECK_SECONDS = 45.0
"""How long one check may take."""

_LOG_PLATFORM = Text("log platform")


@command
def check(args: Namespace) -> None:
    """Print a line for each finding; exit with 1 if one is wrong."""
    findings = []
    for one in _check_all(
        args.bkitsm_conn_id, with_ticket=args.ticket, approver=args.approver, bklog_conn_id=args.bklog_conn_id
    ):
        findings.append(one)
        if args.output == "lines":
            write_line(one.line(reader_language()))
    if args.output != "lines":
        print_rows([one.as_row() for one in findings], output=args.output)
    if any(one.level is Level.WRONG for one in findings):
        sys.exit(NOT_DONE)


def _check_all(
    conn_id: str, *, with_ticket: bool = False, approver: str | None = None, bklog_conn_id: str | None = None
) -> Iterator[Finding]:
    """Yield the findings about a connection, about the log platform's and about this Airflow."""
    for name, look in _looks(conn_id, bklog_conn_id, with_ticket=with_ticket, approver=approver):
        yield from bounded(name, look)


def _looks(
    conn_id: str, bklog_conn_id: str | None, *, with_ticket: bool, approver: str | None
) -> Iterator[tuple[Text, Look]]:
    """Yield each check with its name. Which ones come depends on what the earlier ones found."""
    connection = ConnectionCheck(conn_id)
    yield Text("connection"), connection.look
    if connection.gateway is not None:
        itsm = ItsmCheck(connection.gateway)
        yield from itsm.looks()
        if with_ticket and itsm.answers:
            yield Text("test ticket"), partial(try_ticket, itsm.hook, approver)
    yield _LOG_PLATFORM, partial(_check_log_platform, bklog_conn_id)
    yield Text("store"), check_store
    yield Text("plugin"), partial(check_plugin, connection.gateway)
    yield Text("callback"), partial(check_callback, connection.gateway)
    yield Text("roles"), check_roles


def _check_log_platform(conn_id: str | None) -> list[Finding]:
    """Let the log platform answer a read, as the connection's Test button does.

    :param conn_id: None for the default, which a site without log collectors does not have.
    """
    named = conn_id or BkLogHook.default_conn_name
    try:
        find_connection(named)
    except AirflowNotFoundException:
        if conn_id:
            raise
        return []
    answers, sentence = BkLogHook(named).test_connection()
    if answers:
        return [ok(_LOG_PLATFORM, verbatim(sentence))]
    return [wrong(_LOG_PLATFORM, verbatim(sentence), Text("mend what the message names in that connection"))]


def bounded(name: Text, look: Look, seconds: float = _CHECK_SECONDS) -> list[Finding]:
    """Return what a check finds; one that fails or takes too long is a finding itself.

    The thread is not waited for at the end of the process: a driver may hang for as long as it likes.
    """
    found: list[Finding] = []
    thread = threading.Thread(target=lambda: found.extend(_caught(name, look)), daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        cure = Text("look at whoever is asked here: it accepts connections and does not answer")
        return [wrong(name, Text("no answer in {seconds} s", seconds=f"{seconds:g}"), cure)]
    return found


def _caught(name: Text, look: Look) -> list[Finding]:
    try:
        return list(look())
    except ItsmError as error:
        return [wrong(name, verbatim(error), cure_of(error))]
    except AirflowNotFoundException as error:
        return [wrong(name, verbatim(error), NOT_DEFINED)]
    except Exception as error:
        # The text of a foreign error may hold a secret: only its class is named.
        text = Text("it could not be checked ({kind})", kind=type(error).__name__)
        return [wrong(name, text, Text("mend what else is wrong, and check again"))]


class ConnectionCheck:
    """The check of the connection; ``gateway`` is what was read of it."""

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self.gateway: Gateway | None = None

    def look(self) -> list[Finding]:
        """Read the connection, and look which secrets backend has it."""
        found = find_connection(self._conn_id)
        self.gateway = read_gateway(found)
        source = _backend_of(self._conn_id)
        kind, root = str(found.conn_type or ""), self.gateway.root
        return [judge_connection(self._conn_id, conn_type=kind, source=source, root=root)]


def _backend_of(conn_id: str) -> str:
    """Return the class of the first secrets backend that has a connection."""
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    for backend in ensure_secrets_backend_loaded():
        try:
            if backend.get_connection(conn_id) is not None:
                return type(backend).__name__
        except Exception:  # noqa: S112 - the next one is asked, as Airflow does
            continue
    return "of Airflow"
