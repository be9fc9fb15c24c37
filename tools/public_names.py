# SPDX-License-Identifier: Apache-2.0
"""The public names of the package, in the order and under the headings of ``docs/api.md``.

A new public name is added here, and ``make api`` writes it into the page.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

PACKAGE = "airflow_provider_bkitsm"
CALLS = (
    "create_ticket",
    "get_ticket_status",
    "get_ticket_info",
    "get_ticket_logs",
    "get_tickets",
    "ticket_approval_result",
    "token_verify",
    "operate_ticket",
    "get_tickets_by_user",
    "callback_failed_ticket",
    "operate_node",
    "approve",
    "comment_ticket",
    "get_approver",
    "get_approve_node_result",
    "get_services",
    "get_service_detail",
    "get_service_catalogs",
    "get_service_roles",
    "get_workflow_detail",
    "import_service",
    "update_service",
    "create_service_catalog",
)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading of the page with the names below it.

    :param names: import paths below the package. ``module.*`` is all that ``__all__`` has, ``*path`` a class
        with its public methods, ``path:one,two`` a class that others make, with these methods.
    :param as_table: one line for each name, with the class it is derived from, in place of a heading for each.
    """

    title: str
    text: str
    names: tuple[str, ...]
    as_table: bool = False


SECTIONS = (
    Section(
        title="Operators for any ticket",
        text="How they work together: [Operators and sensors](operators.md).",
        names=("operators.ticket.*",),
    ),
    Section(
        title="Decorators",
        text="`@task.bkitsm_approval` is the first of these under Airflow's name, see [Recipes](dags.md).",
        names=("decorators.approval.bkitsm_approval_task", "decorators.approval.ItsmApprovalDecoratedOperator"),
    ),
    Section(
        title="Operators for log collectors",
        text="How they work together: [Log collectors](collectors.md).",
        names=("operators.collector.*", "operators.collector_base.CollectorOperator"),
    ),
    Section(
        title="Sensor and trigger",
        text="See [Waiting](waiting.md).",
        names=("sensors.ticket.ItsmTicketSensor", "triggers.ticket.ItsmTicketTrigger"),
    ),
    Section(
        title="Notifiers",
        text="See [Notifier](notifier.md) and [Reminders](reminders.md).",
        names=(
            "notifications.ticket.ItsmTicketNotifier",
            "notifications.ticket.ItsmCommentNotifier",
            "notifications.cmsi.BkCmsiNotifier",
            "itsm.reminders.WorkingHours",
        ),
    ),
    Section(
        title="Links and plugin",
        text="Airflow finds both by itself.",
        names=("links.ticket.ItsmTicketLink", "plugins.bkitsm.BkItsmPlugin"),
    ),
    Section(
        title="Hooks",
        text="`ItsmHook` and `ItsmAsyncHook` also have a method for each of [ITSM's calls](#itsms-calls).",
        names=(
            "*hooks.itsm.ItsmHook",
            "*hooks.itsm.ItsmAsyncHook",
            "*hooks.bklog.BkLogHook",
            "*hooks.cmsi.CmsiHook",
            "hooks.bklog.provision",
        ),
    ),
    Section(
        title="ITSM's calls",
        text="Each is a method of both hooks, with these parameters. It returns what its `Call` is for:\n"
        "`ItsmHook().get_ticket_status(sn)` returns a `TicketStatus`.",
        names=(
            *(f"itsm.v2.calls.{name}" for name in CALLS),
            "itsm.models.TicketAction",
            "itsm.v2.calls.UserView",
            "itsm.v2.validation.TicketFilters",
        ),
    ),
    Section(
        title="Verdicts",
        text="What a wait returns: the fields of `Verdict` as a JSON object.",
        names=(
            "itsm.outcome.Outcome",
            "itsm.outcome.Reason",
            "*itsm.verdict.Verdict",
            "itsm.verdict.Decision",
            "itsm.verdict.VerdictPolicy",
        ),
    ),
    Section(
        title="Stores and forms",
        text="For tasks of your own, as in [Recipes](dags.md).",
        names=(
            "tickets.approval_store.open_approval_store",
            "tickets.approval_store.ApprovalStore:asked_by,by_ticket,of_run",
            "hooks.store.open_store",
            "collectors.store.CollectorStore:get,by_ticket,applying,latest,history",
            "collectors.clean_config.validate_clean_config",
            "collectors.clean_config.digest",
            "collectors.form.detail_text",
            "itsm.v2.html_filter.as_stored",
            "itsm.v2.html_filter.as_shown",
            "itsm.v2.html_filter.stored_title",
        ),
    ),
    Section(
        title="The callback's signature",
        text="For a receiver, a proxy or a test of your own: how a [callback](callback.md) is signed and checked.",
        names=(
            "callback.signature.Claim",
            "callback.signature.HEADER",
            "callback.signature.PREFIX",
            "callback.signature.ROUTE",
            "callback.signature.LIFE",
            "callback.signature.signing_keys",
            "callback.signature.sign",
            "callback.signature.is_signed",
            "callback.signature.read_claim",
            "callback.signature.callback_meta",
        ),
    ),
    Section(
        title="Errors",
        text="All below `ItsmError`; import them from `airflow_provider_bkitsm.exceptions`. What each message\n"
        "means for the ticket and for a retry: [Troubleshooting](troubleshooting.md).",
        names=("exceptions.*",),
        as_table=True,
    ),
    Section(
        title="Testing",
        text="pytest finds the fixtures by itself once the provider is installed, see"
        " [Testing your DAGs](testing-your-dags.md).",
        names=(
            "testing.plugin.bkitsm_dialect",
            "testing.plugin.bkitsm_sandbox",
            "testing.plugin.bkitsm_connections",
            "testing.plugin.bkitsm_run",
            "*testing.sandbox.BkItsmSandbox",
            "sandbox.settings.Settings",
        ),
    ),
    Section(
        title="For Airflow",
        text="Airflow finds them by the package's entry points.",
        names=("get_provider_info.get_provider_info", "cli.definition.get_bkitsm_cli_commands"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Name:
    """A public name.

    :param module: the module to import it from.
    :param thing: what it names.
    :param methods: its public methods; None means that all but the private ones are.
    :param is_made_by_callers: whether its constructor is public.
    """

    module: str
    name: str
    thing: Any
    methods: frozenset[str] | None = frozenset()
    is_made_by_callers: bool = True

    @property
    def path(self) -> str:
        """Full import path."""
        return f"{self.module}.{self.name}"


def names_of(section: Section) -> Iterator[Name]:
    """Yield a section's names."""
    for entry in section.names:
        path, _, methods = entry.removeprefix("*").partition(":")
        module_path, _, last = path.rpartition(".")
        module = import_module(f"{PACKAGE}.{module_path}")
        for name in sorted(module.__all__) if last == "*" else [last]:
            yield Name(
                module=module.__name__,
                name=name,
                thing=getattr(module, name),
                methods=None if entry.startswith("*") else frozenset(filter(None, methods.split(","))),
                is_made_by_callers=not methods,
            )


def own_members(cls: type) -> list[str]:
    """Return the public names that our own classes give a class, and Airflow's do not."""
    package = cls.__module__.partition(".")[0]
    ours = [one for one in cls.__mro__ if one.__module__.partition(".")[0] == package]
    return sorted({name for one in ours for name in vars(one) if not name.startswith("_")})
