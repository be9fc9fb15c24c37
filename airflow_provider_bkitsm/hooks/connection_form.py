# SPDX-License-Identifier: Apache-2.0
"""The form fields of both connection types: one table for the forms of every Airflow version.

Airflow 3.2 and later read it from the provider info. Airflow 3.1 reads wtforms fields from the hook class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Fields = dict[str, dict[str, Any]]


def _field(label: str, kind: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [kind, "null"]} | schema}


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return _field(label, "string", description, **schema)


def _secret(label: str, description: str) -> dict[str, Any]:
    return _text(label, description, format="password")


# The keys that sign callbacks: first the name of the form's field, then the one that is taken as well.
SIGNING_KEYS = ("callback_signing_secret", "callback_signing_keys")

_CALLER: Fields = {
    "bk_username": _text(
        "BlueKing user", "The person calls are made as; for ITSM also the creator of tickets. Default: admin"
    ),
    "access_token": _secret(
        "Access token", "A user's OAuth token. Calls that demand a verified user need it at the API gateway"
    ),
}
_TRANSPORT: Fields = {
    "verify": _text(
        "Verify TLS",
        "true, false or the path of a CA bundle on the machine that calls. Default: true, by the environment's"
        " CA bundle or the machine's",
        examples=["true", "false"],
    ),
    "tenant_id": _text("Tenant ID", "Multi-tenant deployments only"),
    "proxy": _text("Proxy", "http(s) URL of a proxy. Default: the environment's"),
    "client_cert": _text("Client certificate", "Path of a PEM file, together with its key"),
    "client_key": _text("Client key", "Path of the certificate's key"),
    # Text or object: the editor of an object field rewrites the text during typing.
    "headers": _text(
        "Further headers",
        'A JSON object of texts, sent with every call, such as {"X-Env": "test"}',
        type=["string", "object", "null"],
    ),
    "connect_timeout": _field("Connect timeout", "number", "Seconds to connect. Default: 5", minimum=0),
    "read_timeout": _field(
        "Read timeout",
        "number",
        "Seconds without a piece of an answer; a request takes this and the connect timeout at most. Default: 30",
        minimum=0,
    ),
}
_ITSM: Fields = {
    "service_id": _text("Service", "v2: number or name of the ITSM service tickets are opened in by default"),
    "front": _text("Front", "gateway or esb. Default: known by the URL", enum=["gateway", "esb"]),
    "esb_url": _text(
        "ESB URL",
        "The ESB's address, for the one call that ITSM's gateway definition misspells."
        " Default: /api/c/compapi/v2/itsm at the gateway's host",
    ),
    "bk_token": _secret("bk_token", "A user's login token, for the ESB"),
    # Airflow masks an entry of the extra by words in its name; "ticket" is not one of these words.
    "bk_ticket_secret": _secret("bk_ticket", "A user's login ticket, for the ESB"),
    # "keys" is not one of these words either.
    SIGNING_KEYS[0]: _secret(
        "Callback signing keys",
        "Texts of 16 characters or more with commas between; the first signs, all are believed. Default: one"
        " derived from the app secret",
    ),
    "dialect": _text(
        "Dialect",
        "The version of ITSM behind the address; v4 is experimental. Default: v2",
        enum=["v2", "v4"],
    ),
    "workflow_key": _text("Workflow (v4)", "Key of the workflow that tickets are opened in by default"),
    "system_id": _text("System (v4)", "Code of the system that the workflow is registered for"),
    "system_token": _secret("System token (v4)", "The system's secret, if it has one"),
    "form_title": _text("Title key (v4)", "Key of the workflow's form for the title. Default: ticket__title"),
    "form_content": _text("Content key (v4)", "Likewise for what is asked. Default: content"),
    "form_approvers": _text("Approvers key (v4)", "Likewise for who is asked. Default: approvers"),
    "form_client_ref": _text(
        "Reference key (v4)", "Likewise for a mark by which a lost ticket is recognised. Default: client_ref"
    ),
    "sign_callback_url": _text(
        "Sign the callback's address (v4)",
        "false only where the site refuses an address with a query, or drops the query. Default: true",
        enum=["true", "false"],
    ),
    "time_zone": _text("Time zone (v4)", "Of times that ITSM writes without an offset. Default: Asia/Shanghai"),
    "batch_size": _field(
        "Batch size", "integer", "How many tickets are asked for in one call. Default: 50", minimum=1
    ),
    "read_retries": _field("Read retries", "integer", "How often a read is repeated. Default: 2", minimum=0),
    "verdict_field": _text("Verdict field", "Form field that holds the verdict. Default: ITSM's approve_result"),
    "verdict_value": _text("Verdict value", "What the verdict field holds when approved. Default: true"),
    # A list, not a switch: a switch would show an empty value as "off", although the default is on.
    "require_evidence": _text(
        "Require evidence",
        "Accept an approval only with a visible approval step behind it. Default: true",
        enum=["true", "false"],
    ),
    "accept_automatic": _text(
        "Accept automatic approvals",
        "Accept an approval that ITSM gave by itself, no person. Default: false",
        enum=["true", "false"],
    ),
    "settle_seconds": _field(
        "Settle seconds", "number", "How long a lost create_ticket may take to appear. Default: 120", minimum=0
    ),
    "four_byte": _text(
        "Four-byte characters",
        "Emoji and rare Han, which ITSM's database may not store. escape: sent as [U+1F680] and shown as"
        " themselves in Airflow; refuse: an error; send: as they are. Default: escape",
        enum=["escape", "refuse", "send"],
    ),
}
_BKLOG: Fields = {
    "bk_biz_id": _text(
        "Business",
        "A business the user may see: the Test button then lists its collectors. Default: none is asked",
    ),
}
FIELDS: Mapping[str, Fields] = {
    "bkitsm": {**_CALLER, **_ITSM, **_TRANSPORT},
    "bklog": {**_CALLER, **_BKLOG, **_TRANSPORT},
}
_OTHER_NAMES = {"bk_ticket_secret": "bk_ticket", SIGNING_KEYS[0]: SIGNING_KEYS[1]}
# The form shows it, since a path is no secret; but a key pasted in its place is.
_PATHS = ("client_key",)
GATEWAY_URLS = {
    "bkitsm": "https://bkapi.example.com/api/bk-itsm/prod/v2/itsm",
    "bklog": "https://bkapi.example.com/api/bk-log-search/prod",
    "bkitsm, dialect v4": "https://bkapi.example.com/api/cw-aitsm/prod",
}


def secret_extras() -> frozenset[str]:
    """Return the entries of an extra that no log may show: the passwords of both forms, under all their names."""
    fields = (item for form in FIELDS.values() for item in form.items())
    names = {name for name, field in fields if field["schema"].get("format") == "password"}
    return frozenset({*names, *_PATHS, *(other for name, other in _OTHER_NAMES.items() if name in names)})


def field_behaviour(conn_type: str) -> dict[str, Any]:
    """Return how Airflow's own fields look, in the format of a hook's ``get_ui_field_behaviour``.

    The port is shown although a URL can hold it: the Test button of some Airflow releases, 3.3.2 among them,
    refuses every saved connection without one (apache/airflow, pull request 73298).
    """
    return {
        "hidden_fields": ["schema"],
        "relabeling": {"host": "Gateway URL", "login": "App code", "password": "App secret"},
        "placeholders": {"host": GATEWAY_URLS[conn_type], "port": "443; the Test button needs it"},
    }


def form_widgets(conn_type: str) -> dict[str, Any]:
    """Return the fields as wtforms fields, for Airflow 3.1.

    :raises ImportError: wtforms is not installed; Airflow then does without the form's extra fields.
    """
    return {name: _widget(field) for name, field in FIELDS[conn_type].items()}


def _widget(field: dict[str, Any]) -> Any:
    # Airflow reads these classes only; whole numbers are its only number field.
    from wtforms import IntegerField, PasswordField, StringField  # type: ignore[import-untyped,unused-ignore]
    from wtforms.validators import Optional, any_of  # type: ignore[import-untyped,unused-ignore]

    schema = field["schema"]
    choice = [any_of(schema["enum"])] if "enum" in schema else []
    widget = IntegerField if "integer" in schema["type"] else StringField
    if schema.get("format") == "password":
        widget = PasswordField
    return widget(field["label"], validators=[Optional(), *choice], description=field["description"])
