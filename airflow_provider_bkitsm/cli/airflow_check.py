# SPDX-License-Identifier: Apache-2.0
"""The part of ``check`` that is about this Airflow: store, plugin, callback, roles. It changes nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from airflow_provider_bkitsm.callback.signature import LIFE, callback_base, callback_meta, callbacks_wanted
from airflow_provider_bkitsm.cli.airflow_findings import (
    judge_callback,
    judge_plugin,
    judge_roles,
    judge_store,
    unreachable,
)
from airflow_provider_bkitsm.cli.fetch import CONNECT_SECONDS, READ_SECONDS, fetch, other_scheme
from airflow_provider_bkitsm.cli.findings import Finding, Level, judge_clock, warning, with_scheme, wrong
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.store import store_engine
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.translation import Text, verbatim
from airflow_provider_bkitsm.version_compat import airflow_conf

# As long a signature of this command is believed: another clock may be wrong.
_SIGNED_FOR = timedelta(hours=1)


def check_store() -> Iterator[Finding]:
    """Look at the store's database; nothing is created or migrated."""
    from sqlalchemy.exc import SQLAlchemyError

    from airflow_provider_bkitsm.collectors.database import reason
    from airflow_provider_bkitsm.collectors.migrations import MIGRATIONS, schema_version
    from airflow_provider_bkitsm.tickets.approval_store import executors_elsewhere

    try:
        engine = store_engine()
    except ItsmConfigurationError as error:
        cure = Text("mend the connection that [bkitsm] store_conn_id names, or install the extra of its database")
        yield wrong(Text("store"), verbatim(error), cure)
        return
    is_file = engine.dialect.name == "sqlite"
    file = Path(str(engine.url.database))
    place = (
        Text("the file {file}", file=file)
        if is_file
        else Text("the {kind} database of [bkitsm] store_conn_id", kind=engine.dialect.name)
    )
    try:
        # SQLite makes a file by looking into it.
        version = 0 if is_file and not file.exists() else schema_version(engine)
    except SQLAlchemyError as error:
        text = Text("{place} cannot be used: {reason}", place=place, reason=reason(error, engine))
        cure = Text("start that database, or mend the connection that [bkitsm] store_conn_id names")
        yield wrong(Text("store"), text, cure)
        return
    yield from judge_store(
        place, version=version, newest=len(MIGRATIONS), is_file=is_file, elsewhere=executors_elsewhere()
    )


def check_plugin(gateway: Gateway | None) -> Iterator[Finding]:
    """Ask the API server for a route that only the plugin has, and compare its clock."""
    base = str(airflow_conf().get("api", "base_url", fallback="") or callback_base() or "").strip()
    if urlsplit(base).scheme not in ("http", "https"):
        text = Text(
            "[api] base_url is no http(s) address ({address}): where the API server is was not looked up",
            address=repr(base),
        )
        cure = Text("set [api] base_url to the API server's address, with its path prefix")
        yield warning(Text("plugin"), text, cure)
        return
    address = f"{base.rstrip('/')}/bkitsm"
    try:
        got = fetch(_of_airflow(gateway), f"{address}/callback/check/check/0")
    except OSError as error:
        silent = unreachable(Text("plugin"), base, str(error))
        yield _with_scheme(silent, gateway, base, verbatim("[api] base_url"))
        return
    yield _with_scheme(judge_plugin(address, got), gateway, base, verbatim("[api] base_url"))
    yield judge_clock(Text("clock of the API server"), got.headers.get("date"), datetime.now(UTC))


def check_callback(gateway: Gateway | None) -> Iterator[Finding]:
    """Post a signed callback about a ticket that nobody waits for: it changes nothing."""
    if not callbacks_wanted():
        text = Text("[bkitsm] callback is off: decisions are found by polling, a minute late")
        cure = Text("set [bkitsm] callback to True, unless ITSM cannot reach Airflow")
        yield warning(Text("callback"), text, cure)
        return
    base = callback_base()
    if base is None:
        text = Text(
            "ITSM cannot call back: neither [bkitsm] callback_base_url nor [api] base_url is an http(s) address"
        )
        cure = Text("set [bkitsm] callback_base_url to Airflow's address as ITSM reaches it")
        yield wrong(Text("callback"), text, cure)
        return
    if gateway is None:
        text = Text("not tried: without the connection nothing can be signed")
        yield warning(Text("callback"), text, Text("mend the connection"))
        return
    yield from _try_callback(base, gateway)


def _try_callback(base: str, gateway: Gateway) -> Iterator[Finding]:
    tag, sn = secrets.token_hex(16), f"check-{secrets.token_hex(8)}"
    expires = datetime.now(UTC) + _SIGNED_FOR
    try:
        meta = callback_meta(None, base=base, gateway=gateway, tag=tag, now=expires - LIFE)
    except ItsmConfigurationError as error:
        cure = Text("mend the connection's extra callback_signing_secret")
        yield wrong(Text("signing keys"), verbatim(error), cure)
        return
    if not gateway.dialect.capabilities.signed_address:
        text = Text("not tried: sign_callback_url is false, and only the token of a ticket is taken without it")
        yield warning(Text("callback"), text, Text("open a ticket, and look whether its callback arrives"))
        return
    body = gateway.dialect.write_callback(sn, str(meta.get("callback_token") or secrets.token_hex(16)))
    try:
        got = fetch(_of_airflow(gateway), meta["callback_url"], body=body, headers=meta.get("headers"))
    except OSError as error:
        found = [unreachable(Text("callback"), base, str(error))]
    else:
        found = judge_callback(f"{base.rstrip('/')}/bkitsm/callback", got)
    for one in found:
        # Only here may ITSM's address of Airflow differ from the one that browsers have.
        yield (
            _with_scheme(one, gateway, base, verbatim("[bkitsm] callback_base_url"))
            if one.check == "callback"
            else one
        )


def check_roles() -> Iterator[Finding]:
    """Look which roles see the pages."""
    manager = str(airflow_conf().get("core", "auth_manager", fallback="")).rpartition(".")[2]
    if manager != "FabAuthManager":
        yield judge_roles(manager or Text("the auth manager"), None)
        return
    from airflow_provider_bkitsm.plugins.metadata.queries import has_roles, roles_without_plugins

    if not has_roles():
        text = Text("the FAB auth manager has no roles yet: the first start of the API server makes them")
        yield warning(Text("roles"), text, Text("start the API server, or run airflow sync-perm, and check again"))
        return
    yield judge_roles(manager, roles_without_plugins())


def _with_scheme(found: Finding, gateway: Gateway | None, base: str, place: Text) -> Finding:
    """Return a finding with another cure where only the other of http and https is spoken at an address."""
    if found.level is not Level.WRONG:
        return found
    return with_scheme(found, other_scheme(_of_airflow(gateway), base), place)


def _of_airflow(gateway: Gateway | None) -> Gateway:
    """Return Airflow's own API server as a gateway, for its route: no credentials of ITSM go there."""
    timeouts = (CONNECT_SECONDS, READ_SECONDS)
    name = gateway.conn_id if gateway else "Airflow"
    return Gateway(conn_id=name, root="", app_code="", app_secret="", timeouts=timeouts)
