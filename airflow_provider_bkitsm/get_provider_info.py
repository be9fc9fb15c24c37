# SPDX-License-Identifier: Apache-2.0
"""What Airflow learns about this provider without importing its hooks and operators."""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.hooks.connection_form import FIELDS, field_behaviour
from airflow_provider_bkitsm.settings import OPTIONS, SECTION

_NAME = "BlueKing ITSM"
_PACKAGE = "airflow_provider_bkitsm"


def _modules(room: str, *names: str) -> list[dict[str, Any]]:
    return [{"integration-name": _NAME, "python-modules": [f"{_PACKAGE}.{room}.{name}" for name in names]}]


def _connection_type(kind: str, hook: str, name: str) -> dict[str, Any]:
    behaviour = field_behaviour(kind)
    return {
        "connection-type": kind,
        "hook-class-name": f"{_PACKAGE}.hooks.{hook}",
        "hook-name": name,
        "ui-field-behaviour": {key.replace("_", "-"): value for key, value in behaviour.items()},
        "conn-fields": FIELDS[kind],
    }


def get_provider_info() -> dict[str, Any]:
    """Provider metadata; Airflow validates it against ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-bkitsm",
        "name": _NAME,
        "description": "Gates operations behind a human approval in BlueKing ITSM (BK-ITSM).",
        "integrations": [
            {
                "integration-name": _NAME,
                "external-doc-url": "https://github.com/TencentBlueKing/bk-itsm",
                "tags": ["service"],
            }
        ],
        "hooks": _modules("hooks", "itsm", "bklog", "cmsi"),
        "operators": _modules("operators", "ticket", "collector"),
        "sensors": _modules("sensors", "ticket"),
        "triggers": _modules("triggers", "ticket"),
        "task-decorators": [
            {"class-name": f"{_PACKAGE}.decorators.approval.bkitsm_approval_task", "name": "bkitsm_approval"}
        ],
        "notifications": [
            f"{_PACKAGE}.notifications.{name}"
            for name in ("ticket.ItsmTicketNotifier", "ticket.ItsmCommentNotifier", "cmsi.BkCmsiNotifier")
        ],
        "extra-links": [f"{_PACKAGE}.links.ticket.ItsmTicketLink"],
        "connection-types": [
            _connection_type("bkitsm", "itsm.ItsmHook", "BlueKing ITSM"),
            _connection_type("bklog", "bklog.BkLogHook", "BlueKing Log"),
        ],
        # Airflow 3.2 and later.
        "cli": [f"{_PACKAGE}.cli.definition.get_bkitsm_cli_commands"],
        "config": {
            SECTION: {
                "description": "BlueKing ITSM provider.",
                "options": dict(OPTIONS),
            }
        },
    }
