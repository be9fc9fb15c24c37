# SPDX-License-Identifier: Apache-2.0
"""``services``, ``check-service``, ``import-service``: which services there are, what they ask, what they fit."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from datetime import date
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.cli.console import NOT_DONE, command, end, print_line, print_rows, write_line
from airflow_provider_bkitsm.collectors.service_check import Keys, plan_fields
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.dialect import ask
from airflow_provider_bkitsm.itsm.errors import ItsmConflictError, ItsmError, printable
from airflow_provider_bkitsm.itsm.verdict import VerdictPolicy
from airflow_provider_bkitsm.itsm.verdict_source import VerdictSource, verdict_source, withdrawal_note
from airflow_provider_bkitsm.translation import Text, verbatim

if TYPE_CHECKING:
    from airflow_provider_bkitsm.itsm.models import FlowStep, ListedService, Service, ServiceField

_SHIPPED = "collector_service.json"
# A stand-in for the application that a plan is made for.
_ANY_APPLICATION: dict[str, Any] = {
    "payload": {"retention": 7, "allocation_min_days": 0},
    "opened": date(2026, 1, 1),
}
_WITHDRAWAL_UNKNOWN = Text(
    "ITSM says so of open tickets only, not of services: see WITHDRAW among the operations of get_ticket_status"
)
_IMPORT = "from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator"
_FILLED_BY_OPERATOR = frozenset({"title"})


@command
def services(args: Namespace) -> None:
    """Print the services, or one of them with its form and an operator call to paste."""
    hook = ItsmHook(args.bkitsm_conn_id)
    if args.service is None:
        listed = hook.run(ask(lambda itsm: itsm.services()))
        wanted = [one for one in listed if (args.name or "").casefold() in one.name.casefold()]
        print_rows([_listed_row(hook, one) for one in wanted], output=args.output)
        return
    service = hook.run(ask(lambda itsm: itsm.service(args.service)))
    print_rows([_field_row(one) for one in service.fields], output=args.output)
    if args.output in ("table", "plain"):
        call = operator_call(service, bkitsm_conn_id=args.bkitsm_conn_id)
        for line in [_IMPORT, "", "", *call.splitlines()]:
            write_line(line)


def _listed_row(hook: ItsmHook, listed: ListedService) -> dict[Text, Any]:
    row = {Text("id"): listed.service_id, Text("name"): listed.name, Text("catalogue"): listed.catalog}
    try:
        service = hook.run(ask(lambda itsm: itsm.service(listed.service_id)))
        steps, unread = hook.run(ask(lambda itsm: itsm.flow_steps(service)))
    except ItsmError as error:
        return {**row, Text("approval_steps"): Text("not read: {reason}", reason=error)}
    return {**row, Text("approval_steps"): _deciding_steps(service, steps, unread)}


def _deciding_steps(service: Service, steps: tuple[FlowStep, ...] | None, unread: str) -> str:
    """Return a service's approval steps; of one without, how it decides all the same, or that nobody decides."""
    if steps is None:
        return Text("not read: {reason}", reason=unread)
    if names := [one.name for one in steps if one.approves]:
        return ", ".join(names)
    source = verdict_source(service, steps, VerdictPolicy())
    return Text("none") if source.problem else source.reason


def _field_row(field: ServiceField) -> dict[Text, Any]:
    return {
        Text("key"): field.key,
        Text("name"): field.name,
        Text("type"): field.type,
        Text("required"): Text("yes") if field.is_required else Text("no"),
        Text("choices"): _choices(field),
    }


def operator_call(service: Service, *, bkitsm_conn_id: str) -> str:
    """Return Python that asks in a service, with every field that has to be given, to be pasted into a DAG.

    Whoever may edit the service writes its names: they stay inside of string literals and comments.
    """
    lines = ["ItsmApprovalOperator(", '    task_id="ask",', f"    title={service.name!r},"]
    if bkitsm_conn_id != ItsmHook.default_conn_name:
        lines.append(f"    bkitsm_conn_id={bkitsm_conn_id!r},")
    lines.append(f"    service_id={service.service_id!r},  # {printable(service.name)}")
    lines.append("    fields={")
    for one in service.fields:
        if one.key not in _FILLED_BY_OPERATOR:
            optional = "" if one.is_required else "# "
            lines.append(f"        {optional}{one.key!r}: {_example(one)!r},  # {printable(_about(one))}")
    return "\n".join([*lines, "    },", ")"])


def _example(field: ServiceField) -> str:
    return "alice,bob" if field.names_people else next(iter(field.choices), "")


def _about(field: ServiceField) -> str:
    choices = _choices(field)
    kind = field.type if field.is_required else f"{field.type}, optional"
    return f"{field.name} ({kind})" + (f": {choices}" if choices else "")


def _choices(field: ServiceField) -> str:
    return ", ".join(f"{key}={name}" for key, name in field.choices.items())


@command
def import_service(args: Namespace) -> None:
    """Create a service from its export and print its number; one of that name is left as it is."""
    service = _service_to_import(args)
    hook = ItsmHook(args.bkitsm_conn_id)
    try:
        made = hook.run(ask(lambda itsm: itsm.import_service(service, catalog_id=args.catalog_id)))
    except ItsmConflictError as error:
        end(verbatim(error.message), NOT_DONE)
    write_line(str(made.service_id))
    print_line(
        Text(
            "service {id} ({name}) was created: put service_id {id} into the extra of connection {connection}, or"
            " give it to the task",
            id=made.service_id,
            name=made.name,
            connection=repr(args.bkitsm_conn_id),
        ),
        to=sys.stderr,
    )


@command
def check_service(args: Namespace) -> None:
    """Print which operators a service fits, with notes; exit with 1 if one does not fit."""
    hook = ItsmHook(args.bkitsm_conn_id)
    service = hook.run(ask(lambda itsm: itsm.service(args.service)))
    steps, unread = hook.run(ask(lambda itsm: itsm.flow_steps(service)))
    source = verdict_source(service, steps, hook.verdict_policy())
    print_line(Text("service {id} ({name})", id=service.service_id, name=service.name))
    print_line(Text("  verdict: {reason}", reason=source.reason))
    print_line(Text("  withdrawal: {reason}", reason=withdrawal_note(service) or _WITHDRAWAL_UNKNOWN))
    if steps is None:
        print_line(Text("  its flow cannot be read: {reason}", reason=unread))
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
            Text(
                "{file} is no service to import: an export is a JSON object that has a name",
                file=args.file or repr(args.name),
            )
        )
    return {**service, "name": name}


def shipped_service() -> dict[str, Any]:
    """Return the shipped service's export."""
    file = resources.files("airflow_provider_bkitsm.itsm").joinpath(_SHIPPED)
    return dict(json.loads(file.read_text("utf-8")))


def _for_collectors(service: Service, steps: Sequence[FlowStep] | None, source: VerdictSource) -> bool:
    plan = plan_fields(
        service, keys=Keys(), approvers=Text("the approvers named"), steps=steps, own={}, **_ANY_APPLICATION
    )
    taken = {plan.approvers, *(one.key for one in (plan.reason, plan.detail) if one), "bk_biz_id", *plan.filled}
    missing = _required(service, _FILLED_BY_OPERATOR | taken)
    problems = [*plan.problems, *([source.problem] if source.problem else [])]
    if missing:
        problems.append(Text("required fields nobody fills in: {fields}; give them as fields", fields=missing))
    return _report("CollectorApplyOperator", problems, plan.notes)


def _for_approvals(service: Service, _steps: Sequence[FlowStep] | None, source: VerdictSource) -> bool:
    fields = _required(service, _FILLED_BY_OPERATOR)
    notes = [Text("fields to give: {fields}", fields=fields)] if fields else []
    return _report("ItsmApprovalOperator", [source.problem] if source.problem else [], notes)


def _report(operator: str, problems: Iterable[str], notes: Iterable[str]) -> bool:
    found = list(problems)
    fits = Text("does not fit") if found else Text("fits")
    print_line(Text("  {operator}: {fits}", operator=operator, fits=fits))
    for line in (*found, *notes):
        print_line(Text("    - {line}", line=line))
    return not found


def _required(service: Service, filled: Iterable[str | None]) -> str:
    keys = set(filled)
    needed = (one for one in service.fields if one.is_required and one.key not in keys)
    return ", ".join(f"{one.key} ({one.type})" for one in needed)
