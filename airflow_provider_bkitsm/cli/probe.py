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
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_bkitsm.callback.signature import callback_base
from airflow_provider_bkitsm.cli.console import command, print_line
from airflow_provider_bkitsm.cli.trial_ticket import keep_as_known
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.transport import SyncTransport
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import ItsmError, ItsmOutcomeUnknownError, kind_and_code
from airflow_provider_bkitsm.itsm.idempotency import find_opened, marked_title
from airflow_provider_bkitsm.itsm.models import TicketAction
from airflow_provider_bkitsm.tickets.callback_tokens import with_kept_callback
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
    more = Text("Open further tickets, whose forms ITSM may refuse, and end them too: --create is implied")
    approver = Text("Whom these tickets ask (default: the connection's user)")
    parser = ArgumentParser(prog="python -m airflow_provider_bkitsm.cli.probe", description=about.into(language))
    parser.add_argument("--bkitsm-conn-id", default="bkitsm_default", help=conn_id.into(language))
    parser.add_argument("--create", action="store_true", help=create.into(language))
    parser.add_argument("--more", action="store_true", help=more.into(language))
    parser.add_argument("--approver", help=approver.into(language))
    # Airflow's commands log to their standard output where this says so, among the JSON.
    parser.set_defaults(verbose=False)
    _run(parser.parse_args(argv))


@command
def _run(args: Namespace) -> None:
    hook = ItsmHook(args.bkitsm_conn_id)
    found = probe(hook, create=args.create, more=args.more, approver=args.approver)
    print(json.dumps(found, indent=2, sort_keys=True))  # noqa: T201 - this is a command's output


def probe(
    hook: ItsmHook,
    *,
    create: bool,
    more: bool = False,
    approver: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Return what was seen, which facts it shows to be right or wrong, and what is left to look at by hand.

    :param create: open one ticket and withdraw it.
    :param more: open that one, and further ones, and end them all.
    """
    dialect, nobody = hook.gateway.dialect, secrets.token_hex(8)
    found: dict[str, Any] = {"dialect": dialect.name, **hook.run(ask(lambda itsm: itsm.probe(nobody)))}
    found |= _without_secret(hook, nobody)
    trial = _Trial(hook=hook, approver=approver or hook.gateway.username, sleep=sleep)
    if create or more:
        found |= _with_a_ticket(trial)
    if more and "create" not in found:
        found |= {"forms": _with_odd_forms(trial), "terminated": _with_an_end(trial)}
    return {**found, "facts": dialect.judge_probe(found), "questions": dialect.open_questions(found)}


def _without_secret(hook: ItsmHook, nobody: str) -> dict[str, Any]:
    """Look whether ITSM asks for the secret that the connection has for it."""
    bare = hook.gateway.dialect.without_secret()
    if bare is None:
        return {}
    transport = SyncTransport(replace(hook.gateway, dialect=bare))
    try:
        read: dict[str, Any] = ItsmHook.over(transport).run(ask(lambda itsm: itsm.probe(nobody)))
    finally:
        transport.close()
    return {"without_secret": read}


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """Opens tickets of the probe.

    :param approver: whom they ask.
    """

    hook: ItsmHook
    approver: str
    sleep: Callable[[float], None]

    @property
    def creator(self) -> str:
        return self.hook.gateway.username

    def open(self, change: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> tuple[str, str, datetime]:
        """Open a ticket; return its number, its tag and when its opening began.

        :param change: changes the form behind the check whether its workflow takes it.
        :raises ItsmError: none was opened, or it is not there (yet): then the message names its title.
        """
        tag, began, gateway = secrets.token_hex(16), datetime.now(UTC), self.hook.gateway
        form = {"title": marked_title(TITLE, tag), "APPROVER": self.approver, "APPROVAL_CONTENT": TITLE}
        names: dict[str, Any] = {"service_id": gateway.service, "fast_approval": False}
        key, checked = self.hook.run(ask(lambda itsm: itsm.service_for(form, **names)))
        request = {"service_id": key, "fields": change(checked)}
        request["meta"] = with_kept_callback(None, gateway=gateway, tag=tag)
        try:
            sn = self.hook.run(ask(lambda itsm: itsm.create(tag=tag, creator=self.creator, **request))).sn
        except ItsmOutcomeUnknownError as lost:
            sn = _opened(self.hook, tag, began, self.sleep, lost)
        keep_as_known(self.hook, sn, tag=tag, creator=self.creator, began=began)
        return sn, tag, began

    def shown(self, sn: str, *, until: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Return how a ticket is shown, as soon as there is something to see."""
        seen = _shown(self.hook, sn)
        for _ in range(_LOOKS):
            if until(seen):
                break
            self.sleep(_SECONDS)
            seen = _shown(self.hook, sn)
        return seen


def _with_odd_forms(trial: _Trial) -> dict[str, Any]:
    """Open tickets with forms that ITSM may refuse; withdraw those that it opened."""
    odd: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "unknown_key": lambda form: {**form, "no_such_key": "x"},
        "no_approver": lambda form: {key: [] if isinstance(value, list) else value for key, value in form.items()},
        "unknown_approver": lambda form: {
            key: [secrets.token_hex(8)] if isinstance(value, list) else value for key, value in form.items()
        },
    }
    return {name: _with_odd_form(trial, change) for name, change in odd.items()}


def _with_odd_form(trial: _Trial, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    try:
        sn, *_ = trial.open(change)
    except ItsmOutcomeUnknownError:
        raise
    except ItsmError as refused:
        return kind_and_code(refused)
    try:
        seen = trial.shown(sn, until=lambda shown: shown.get("steps") or shown.get("has_end"))
    finally:
        done = _withdrawn(trial.hook, sn, trial.creator)
    return {"answered": True, "status": seen.get("status"), "steps": seen.get("steps"), "withdrawn": done}


def _with_an_end(trial: _Trial) -> dict[str, Any]:
    """Open a ticket and terminate it; withdraw it where that is refused."""
    sn, *_ = trial.open()
    trial.shown(sn, until=lambda shown: shown.get("steps"))
    done = _ended(trial.hook, sn, trial.approver, TicketAction.TERMINATE)
    seen = trial.shown(sn, until=lambda shown: shown.get("has_end") or "error" in done)
    if not seen.get("has_end"):
        _withdrawn(trial.hook, sn, trial.creator)
    return {**done, "status": seen.get("status"), "has_end": seen.get("has_end")}


def _with_a_ticket(trial: _Trial) -> dict[str, Any]:
    hook, creator = trial.hook, trial.creator
    try:
        sn, tag, began = trial.open()
    except ItsmOutcomeUnknownError:
        raise
    except ItsmError as refused:
        # What was read is worth printing all the same.
        print_line(verbatim(refused), to=sys.stderr)
        return {"create": kind_and_code(refused)}
    seen: dict[str, Any] = {}
    try:
        seen["created"] = _shown(hook, sn)
        seen["asks"] = trial.shown(sn, until=lambda shown: shown.get("steps"))
        # Only where there are tickets it is seen whether a filter leaves them out.
        seen |= hook.run(ask(lambda itsm: itsm.probe(secrets.token_hex(8))))
        with suppress(ItsmError):
            seen["found_by_title"] = bool(hook.run(find_opened(tag, creator=creator, since=began)))
    finally:
        seen["withdrawn_once"] = _withdrawn(hook, sn, creator)
    calls_back = callback_base() is not None
    seen["withdrawn"] = trial.shown(sn, until=lambda one: not calls_back or one.get("called_back") is not None)
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
    return _ended(hook, sn, creator, TicketAction.WITHDRAW)


def _ended(hook: ItsmHook, sn: str, operator: str, action: TicketAction) -> dict[str, Any]:
    wish: dict[str, Any] = {"sn": sn, "action": action, "operator": operator, "message": TITLE}
    try:
        hook.run(ask(lambda itsm: itsm.operate(**wish)))
    except ItsmError as error:
        return kind_and_code(error)
    return {"answered": True}


if __name__ == "__main__":
    main()
