"""What Airflow learns about this provider without importing any of it."""

from __future__ import annotations

from typing import Any

_NAME = "BlueKing ITSM"
_PACKAGE = "airflow_provider_bkitsm"


def _modules(room: str, *names: str) -> list[dict[str, Any]]:
    return [{"integration-name": _NAME, "python-modules": [f"{_PACKAGE}.{room}.{name}" for name in names]}]


def _field(label: str, kind: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


_GATEWAY_FIELDS = {
    "bk_username": _field(
        "BlueKing user name",
        "string",
        "The person calls are made as; for ITSM also the creator of tickets. Default: admin",
    ),
    "access_token": _field(
        "Access token",
        "string",
        "A user's OAuth token. Calls that demand a verified user need it at the API gateway",
        format="password",
    ),
    "verify": _field(
        "Verify TLS",
        "string",
        "true, false or the path of a CA bundle. Default: true",
    ),
    "tenant_id": _field("Tenant id", "string", "Multi-tenant deployments only"),
    "proxy": _field("Proxy", "string", "URL of a proxy. Default: the environment's"),
    "client_cert": _field("Client certificate", "string", "Path of a PEM file, together with its key"),
    "client_key": _field("Client key", "string", "Path of the certificate's key"),
    "headers": _field("Further headers", "object", "A JSON object of texts, sent with every call"),
    "connect_timeout": _field("Connect timeout", "number", "Seconds. Default: 5", minimum=0),
    "read_timeout": _field("Read timeout", "number", "Seconds. Default: 30", minimum=0),
}


def _connection_type(kind: str, hook: str, name: str, gateway: str, **fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "connection-type": kind,
        "hook-class-name": f"{_PACKAGE}.hooks.{hook}",
        "hook-name": name,
        "ui-field-behaviour": {
            "hidden-fields": ["port", "schema"],
            "relabeling": {"host": "Gateway URL", "login": "App code", "password": "App secret"},
            "placeholders": {"host": gateway},
        },
        "conn-fields": {**_GATEWAY_FIELDS, **fields},
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
        "extra-links": [f"{_PACKAGE}.links.ticket.ItsmTicketLink"],
        "connection-types": [
            _connection_type(
                "bkitsm",
                "itsm.ItsmHook",
                "BlueKing ITSM",
                "https://bkapi.example.com/api/bk-itsm/prod/v2/itsm",
                service_id=_field("Service id", "string", "ITSM service tickets are opened in by default"),
                front=_field(
                    "Front",
                    "string",
                    "gateway or esb. Default: known by the address",
                    enum=["gateway", "esb", None],
                ),
                bk_token=_field("bk_token", "string", "A user's login token, for the ESB", format="password"),
                bk_ticket=_field("bk_ticket", "string", "A user's login ticket, for the ESB", format="password"),
                read_retries=_field(
                    "Read retries", "integer", "How often a read is repeated. Default: 2", minimum=0
                ),
                verdict_field=_field(
                    "Verdict field", "string", "Form field that holds the verdict. Default: ITSM's approve_result"
                ),
                verdict_value=_field("Verdict value", "string", "What it holds when approved. Default: true"),
                require_evidence=_field(
                    "Require evidence",
                    "boolean",
                    "Accept an approval only with a visible approval step behind it. Default: true",
                ),
                settle_seconds=_field(
                    "Settle seconds", "number", "How long a lost create_ticket may take to appear. Default: 120"
                ),
            ),
            _connection_type(
                "bklog",
                "bklog.BkLogHook",
                "BlueKing Log",
                "https://bkapi.example.com/api/bk-log-search/prod",
            ),
        ],
        "config": {
            "bkitsm": {
                "description": "BlueKing ITSM provider.",
                "options": {
                    "callback": {
                        "description": (
                            "Ask ITSM to call back when a ticket has ended, so that the DAG goes on at once. "
                            "Decisions whose callback does not arrive are found by polling."
                        ),
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "True",
                    },
                    "callback_base_url": {
                        "description": (
                            "Address of Airflow's API server as ITSM reaches it, a path prefix included. "
                            "Empty: [api] base_url. ITSM posts to /bkitsm/callback/... below it."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "https://airflow.example.com",
                        "default": "",
                    },
                    "store_conn_id": {
                        "description": (
                            "Connection of the database that keeps the collectors' approval state "
                            "(PostgreSQL or MySQL). Empty: a SQLite file bkitsm.db below AIRFLOW_HOME, "
                            "enough where all workers share one machine."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "bkitsm_store",
                        "default": "",
                    },
                },
            }
        },
    }
