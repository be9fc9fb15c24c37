# SPDX-License-Identifier: Apache-2.0
"""``python -m airflow_provider_bkitsm.cli.probe``: ask a site's ITSM which assumptions about its version hold.

It only reads, unless ``--create`` is given. What it prints holds no name, title, id, address or secret.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from airflow.utils.providers_configuration_loader import providers_configuration_loaded

from airflow_provider_bkitsm.cli.console import UNUSABLE, end, print_line
from airflow_provider_bkitsm.cli.cures import cure_of
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import ItsmError, ItsmOutcomeUnknownError, kind_and_code
from airflow_provider_bkitsm.itsm.idempotency import find_opened, marked_title
from airflow_provider_bkitsm.itsm.models import TicketAction
from airflow_provider_bkitsm.translation import Text, reader_language, spell_what_output_lacks, verbatim

TITLE = "Probe of a connection: please leave it, it is withdrawn at once"
_LOOKS, _SECONDS = 15, 2.0


def main(argv: Sequence[str] | None = None) -> None:
    """Ask and print.

    :raises SystemExit: the connection cannot be used.
    """
    spell_what_output_lacks()
    language = reader_language()
    about = Text(
        "Ask a site's ITSM which assumptions about its version hold. It only reads, unless --create is given. What"
        " it prints holds no name, title, id, address or secret."
    )
    conn_id = Text("Connection of ITSM (default: bkitsm_default)")
    create = Text("Open a real ticket as well, and withdraw it")
    approver = Text("Whom that ticket asks (default: the connection's user)")
    parser = ArgumentParser(prog="python -m airflow_provider_bkitsm.cli.probe", description=about.into(language))
    parser.add_argument("--bkitsm-conn-id", default="bkitsm_default", help=conn_id.into(language))
    parser.add_argument("--create", action="store_true", help=create.into(language))
    parser.add_argument("--approver", help=approver.into(language))
    _run(parser.parse_args(argv))


@providers_configuration_loaded
def _run(given: Namespace) -> None:
    hook = ItsmHook(given.bkitsm_conn_id)
    try:
        found = probe(hook, create=given.create, approver=given.approver)
    except ItsmError as error:
        end(verbatim(error), UNUSABLE, cure=cure_of(error))
    print(json.dumps(found, indent=2, sort_keys=True))  # noqa: T201 - this is a command's output


def probe(
    hook: ItsmHook, *, create: bool, approver: str | None = None, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """Return what was seen, and which facts it shows to be right or wrong.

    :param create: open one ticket and withdraw it.
    """
    dialect, nobody = hook.gateway.dialect, secrets.token_hex(8)
    found: dict[str, Any] = {"dialect": dialect.name, **hook.run(ask(lambda itsm: itsm.probe(nobody)))}
    if create:
        found |= _with_a_ticket(hook, approver or hook.gateway.username, sleep)
    return {**found, "facts": dialect.judge_probe(found)}


def _with_a_ticket(hook: ItsmHook, approver: str, sleep: Callable[[float], None]) -> dict[str, Any]:
    tag, creator, began = secrets.token_hex(16), hook.gateway.username, datetime.now(UTC)
    form = {"title": marked_title(TITLE, tag), "APPROVER": approver, "APPROVAL_CONTENT": TITLE}
    service = hook.gateway.service
    try:
        key, fields = hook.run(ask(lambda itsm: itsm.service_for(form, service_id=service, fast_approval=False)))
        sn = hook.run(ask(lambda itsm: itsm.create(tag=tag, creator=creator, service_id=key, fields=fields))).sn
    except ItsmOutcomeUnknownError as lost:
        sn = _opened(hook, tag, began, sleep, lost)
    except ItsmError as refused:
        # What was read is worth printing all the same.
        print_line(verbatim(refused), to=sys.stderr)
        return {"create": kind_and_code(refused)}
    seen: dict[str, Any] = {}
    try:
        seen["created"] = seen["asks"] = _shown(hook, sn)
        for _ in range(_LOOKS):
            if seen["asks"].get("steps"):
                break
            sleep(_SECONDS)
            seen["asks"] = _shown(hook, sn)
        # Only where there are tickets it is seen whether a filter leaves them out.
        seen |= hook.run(ask(lambda itsm: itsm.probe(secrets.token_hex(8))))
        with suppress(ItsmError):
            seen["found_by_title"] = bool(hook.run(find_opened(tag, creator=creator, since=began)))
    finally:
        seen["withdrawn_once"] = _withdrawn(hook, sn, creator)
    seen["withdrawn"] = _shown(hook, sn)
    seen["withdrawn_twice"] = _withdrawn(hook, sn, creator)
    return seen


def _opened(
    hook: ItsmHook, tag: str, began: datetime, sleep: Callable[[float], None], lost: ItsmOutcomeUnknownError
) -> str:
    """Return the number of a ticket whose create answer was lost: it has to be withdrawn all the same.

    :raises ItsmOutcomeUnknownError: the ticket does not appear.
    """
    for _ in range(_LOOKS):
        # ITSM may be down just now: the next look may find the ticket.
        with suppress(ItsmError):
            for ticket in hook.run(find_opened(tag, creator=hook.gateway.username, since=began)):
                return ticket.sn
        sleep(_SECONDS)
    raise ItsmOutcomeUnknownError(f"{lost}. A ticket titled {marked_title(TITLE, tag)!r} MAY BE OPEN") from None


def _shown(hook: ItsmHook, sn: str) -> dict[str, Any]:
    return hook.run(ask(lambda itsm: itsm.probe_ticket(sn, datetime.now(UTC))))


def _withdrawn(hook: ItsmHook, sn: str, creator: str) -> dict[str, Any]:
    wish: dict[str, Any] = {"sn": sn, "action": TicketAction.WITHDRAW, "operator": creator, "message": TITLE}
    try:
        hook.run(ask(lambda itsm: itsm.operate(**wish)))
    except ItsmError as error:
        return kind_and_code(error)
    return {"answered": True}


if __name__ == "__main__":
    main()
