# SPDX-License-Identifier: Apache-2.0
"""What Airflow learns about this provider without importing its hooks and operators."""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.hooks.connection_form import FIELDS, field_behaviour

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


def _option(
    description: str, *, default: str = "", example: str | None = None, kind: str = "string"
) -> dict[str, Any]:
    return {
        "description": description,
        "version_added": "0.1.0",
        "type": kind,
        "example": example,
        "default": default,
    }


_OPTIONS = {
    "callback": _option(
        "Ask ITSM to call back when a ticket has ended, so that the DAG goes on at once. "
        "Decisions whose callback does not arrive are found by polling.",
        kind="boolean",
        default="True",
    ),
    "callback_base_url": _option(
        "Address of Airflow's API server as ITSM reaches it, a path prefix included. "
        "Empty: [api] base_url. ITSM posts to /bkitsm/callback/... below it.",
        example="https://airflow.example.com",
    ),
    "collect_itsm": _option(
        "Whether a log collector needs an approval in ITSM before it goes live: on or off. "
        "Where it is off, CollectorApplyOperator opens no ticket, and the audit says so. "
        "Anything else is an error, never off.",
        default="on",
        example="off",
    ),
    "collect_itsm_businesses": _option(
        "Businesses (bk_biz_id) for which collect_itsm is otherwise, each on or off, with commas between.",
        example="2=off, 5=on",
    ),
    "user_mapping": _option(
        "JSON object of people's names, in Airflow to in ITSM, for what they do to a ticket "
        "from Airflow's pages. Who is not in it has the same name in both.",
        example='{"alice@example.com": "alice"}',
    ),
    "remind": _option(
        "Function that sends a reminder about an open ticket, as package.module.function, "
        "importable by the API server. It is called with the keyword arguments sn, title, "
        "ticket_url, approvers, waiting_since and by. Empty: there is only a text to copy.",
        example="company.chat.remind",
    ),
    "itsm_frame_origin": _option(
        "Origin of ITSM's own pages, to show a ticket's page in a frame. Empty, or no "
        "http(s) origin: no frame. ITSM has to allow that Airflow frames it.",
        example="https://itsm.example.com",
    ),
    "store_conn_id": _option(
        "Connection of the database that keeps the records of approvals and the collectors' "
        "approval state (PostgreSQL or MySQL). Empty: a SQLite file bkitsm.db below AIRFLOW_HOME, "
        "enough where workers, triggerer and API server share one machine.",
        example="bkitsm_store",
    ),
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
        "hooks": _modules("hooks", "itsm", "bklog"),
        "operators": _modules("operators", "ticket", "collector"),
        "sensors": _modules("sensors", "ticket"),
        "triggers": _modules("triggers", "ticket"),
        "task-decorators": [
            {"class-name": f"{_PACKAGE}.decorators.approval.bkitsm_approval_task", "name": "bkitsm_approval"}
        ],
        "notifications": [
            f"{_PACKAGE}.notifications.ticket.{name}" for name in ("ItsmTicketNotifier", "ItsmCommentNotifier")
        ],
        "extra-links": [f"{_PACKAGE}.links.ticket.ItsmTicketLink"],
        "connection-types": [
            _connection_type("bkitsm", "itsm.ItsmHook", "BlueKing ITSM"),
            _connection_type("bklog", "bklog.BkLogHook", "BlueKing Log"),
        ],
        # Airflow 3.2 and later.
        "cli": [f"{_PACKAGE}.cli.definition.get_bkitsm_cli_commands"],
        "config": {
            "bkitsm": {
                "description": "BlueKing ITSM provider.",
                "options": _OPTIONS,
            }
        },
    }
