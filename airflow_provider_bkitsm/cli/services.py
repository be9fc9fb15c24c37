# SPDX-License-Identifier: Apache-2.0
"""``import-service`` and ``check-service``: the shipped ITSM service, and which operators a service fits.

Exit codes: 0 done, or all that was checked fits; 1 not done, or something does not fit; 2 ITSM or the connection
cannot be used.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import wraps
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TextIO

from airflow.utils.cli import suppress_logs_and_warning
from airflow.utils.providers_configuration_loader import providers_configuration_loaded

from airflow_provider_bkitsm.collectors.service_check import Keys, plan_fields
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import ItsmError, ItsmInvalidRequestError, printable
from airflow_provider_bkitsm.itsm.verdict_source import VerdictSource, verdict_source, withdrawal_note
from airflow_provider_bkitsm.version_compat import AirflowException

if TYPE_CHECKING:
    from airflow_provider_bkitsm.itsm.models import FlowStep, Service
    from airflow_provider_bkitsm.itsm.v2.models import ServiceCatalog

NOT_DONE, UNUSABLE = 1, 2
SHIPPED = "collector_service.json"
# ITSM's own catalogue of the built-in approval, hidden from people.
_HIDDEN_CATALOG = "approve_service_catalog"
# A stand-in for the application that a plan is made for.
_ANY_APPLICATION: dict[str, Any] = {
    "payload": {"retention": 7, "allocation_min_days": 0},
    "opened": date(2026, 1, 1),
}
_WITHDRAWAL_UNKNOWN = (
    "ITSM says so of open tickets only, not of services: see WITHDRAW among the operations of get_ticket_status"
)
_FILLED_BY_OPERATOR = frozenset({"title"})


class Command(Protocol):
    """A function that Airflow's command line calls."""

    def __call__(self, args: Namespace) -> None:
        """Run the command."""


def _command(function: Command) -> Command:
    """Read connections as Airflow's own commands do, and end with a line and an exit code, not a traceback."""

    @suppress_logs_and_warning
    @providers_configuration_loaded
    @wraps(function)
    def run(args: Namespace) -> None:
        os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
        try:
            function(args)
        except (ItsmError, AirflowException, OSError, ValueError) as error:
            _end(f"{error}", UNUSABLE)

    return run


@_command
def import_service(args: Namespace) -> None:
    """Create a service from its export and print its number; one of that name is left as it is."""
    service = _service_to_import(args)
    hook = ItsmHook(args.bkitsm_conn_id)
    _stop_if_there(hook, service["name"])
    service["catalog_id"] = args.catalog_id or _only_catalog(hook.get_service_catalogs())
    try:
        made = hook.import_service(service)
    except ItsmInvalidRequestError as error:
        # Somebody may have made one at the same moment, or one may be hidden from this application.
        _stop_if_there(hook, service["name"])
        _end(f"ITSM did not import {service['name']!r}: {error}. Nothing was changed", NOT_DONE)
    _print(str(made.id))
    _print(
        f"service {made.id} ({made.name}) was created: put service_id {made.id} into the extra of connection"
        f" {args.bkitsm_conn_id!r}, or give it to the task",
        to=sys.stderr,
    )


@_command
def check_service(args: Namespace) -> None:
    """Print which operators a service fits, with notes; exit with 1 if one does not fit."""
    hook = ItsmHook(args.bkitsm_conn_id)
    service = hook.run(ask(lambda itsm: itsm.service(args.service)))
    steps, unread = hook.run(ask(lambda itsm: itsm.flow_steps(service)))
    source = verdict_source(service, steps, hook.verdict_policy())
    _print(f"service {service.service_id} ({service.name})")
    _print(f"  verdict: {source.reason}")
    _print(f"  withdrawal: {withdrawal_note(service) or _WITHDRAWAL_UNKNOWN}")
    if steps is None:
        _print(f"  its flow cannot be read: {unread}")
    checks = {"collector": _for_collectors, "approval": _for_approvals}
    wanted = [one for one in checks if args.purpose in (one, "all")]
    results = [checks[one](service, steps, source) for one in wanted]
    if not all(results):
        sys.exit(NOT_DONE)


def _service_to_import(args: Namespace) -> dict[str, Any]:
    """Return the shipped export, or another one, under the name it is to have.

    :raises ValueError: the file holds no service.
    """
    service = shipped_service() if args.file is None else json.loads(Path(args.file).read_text("utf-8"))
    name = str((args.name or service.get("name") or "") if isinstance(service, dict) else "").strip()
    if not name:
        raise ValueError(
            f"{args.file or args.name!r} is no service to import: an export is a JSON object that has a name"
        )
    return {**service, "name": name}


def shipped_service() -> dict[str, Any]:
    """Return the shipped service's export."""
    file = resources.files("airflow_provider_bkitsm.itsm").joinpath(SHIPPED)
    return dict(json.loads(file.read_text("utf-8")))


def _for_collectors(service: Service, steps: Sequence[FlowStep] | None, source: VerdictSource) -> bool:
    plan = plan_fields(
        service, keys=Keys(), approvers="the approvers named", steps=steps, own={}, **_ANY_APPLICATION
    )
    taken = {plan.approvers, *(one.key for one in (plan.reason, plan.detail) if one), "bk_biz_id", *plan.filled}
    missing = _required(service, _FILLED_BY_OPERATOR | taken)
    problems = [*plan.problems, *([source.problem] if source.problem else [])]
    if missing:
        problems.append(f"required fields nobody fills in: {missing}; give them as fields")
    return _report("CollectorApplyOperator", problems, plan.notes)


def _for_approvals(service: Service, _steps: Sequence[FlowStep] | None, source: VerdictSource) -> bool:
    fields = _required(service, _FILLED_BY_OPERATOR)
    notes = [f"fields to give: {fields}"] if fields else []
    return _report("ItsmApprovalOperator", [source.problem] if source.problem else [], notes)


def _report(operator: str, problems: Iterable[str], notes: Iterable[str]) -> bool:
    found = list(problems)
    _print(f"  {operator}: {'does not fit' if found else 'fits'}")
    for line in (*found, *notes):
        _print(f"    - {line}")
    return not found


def _required(service: Service, filled: Iterable[str | None]) -> str:
    keys = set(filled)
    needed = (one for one in service.fields if one.is_required and one.key not in keys)
    return ", ".join(f"{one.key} ({one.type})" for one in needed)


def _stop_if_there(hook: ItsmHook, name: str) -> None:
    for one in hook.get_services():
        if one.name.strip() == name:
            _end(f"ITSM has service {one.id} ({one.name}) already; nothing was changed", NOT_DONE)


def _only_catalog(tree: Iterable[ServiceCatalog]) -> int:
    """Return the only catalogue that people see; ITSM's root holds no service."""
    catalogs = [one for one in _flat(tree) if one.level > 0 and one.key != _HIDDEN_CATALOG]
    if len(catalogs) != 1:
        listed = ", ".join(f"{one.id} ({one.name})" for one in catalogs) or "none"
        _end(f"name the catalogue with --catalog-id: ITSM has {listed}. Nothing was changed", NOT_DONE)
    return catalogs[0].id


def _flat(tree: Iterable[ServiceCatalog]) -> Iterator[ServiceCatalog]:
    for one in tree:
        yield one
        yield from _flat(one.children)


def _end(message: str, code: int) -> NoReturn:
    _print(message, to=sys.stderr)
    sys.exit(code)


def _print(line: str, *, to: TextIO | None = None) -> None:
    (to or sys.stdout).write(f"{printable(line)}\n")
