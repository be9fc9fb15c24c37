# SPDX-License-Identifier: Apache-2.0
"""What ``check`` concludes from what it saw: a level, a sentence, and what to do. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from urllib.parse import urlsplit

from airflow_provider_bkitsm.callback.messages import Result, answer
from airflow_provider_bkitsm.cli.fetch import Answer
from airflow_provider_bkitsm.hooks.route import Route
from airflow_provider_bkitsm.itsm.errors import (
    CollectItsmNotExists,
    ItsmAuthenticationError,
    ItsmConfigurationError,
    ItsmCrashError,
    ItsmEndpointNotFoundError,
    ItsmError,
    ItsmPermissionError,
    ItsmUnavailableError,
)
from airflow_provider_bkitsm.itsm.verdict_source import VerdictSource

_CLOCK_WARNING, _CLOCK_WRONG = 60.0, 300.0
_REDIRECTS = range(300, 400)
_REFUSED_METHODS = frozenset({405, 501})


class Level(StrEnum):
    """How well something is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of ``check``.

    :param cure: what to do about it; empty where all is well.
    """

    check: str
    level: Level
    text: str
    cure: str = ""

    def __str__(self) -> str:
        cure = f". WHAT TO DO: {self.cure}" if self.cure else ""
        return f"{self.level:<8}{self.check}: {self.text.rstrip('.')}{cure}"

    def as_row(self) -> dict[str, str]:
        """Return the row that is printed."""
        return {"check": self.check, "level": str(self.level), "finding": self.text, "what_to_do": self.cure}


def ok(check: str, text: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(check=check, level=Level.OK, text=text)


def warning(check: str, text: str, cure: str) -> Finding:
    """Return a finding that works, with a weakness."""
    return Finding(check=check, level=Level.WARNING, text=text, cure=cure)


def wrong(check: str, text: str, cure: str) -> Finding:
    """Return a finding that has to be mended."""
    return Finding(check=check, level=Level.WRONG, text=text, cure=cure)


# -- the connection and the way to ITSM ----------------------------------------------------------------------

_TYPE = "bkitsm"
_SOURCES = {
    "EnvironmentVariablesBackend": "an environment variable of this process",
    "MetastoreBackend": "Airflow's database, which all processes read",
}


def judge_connection(conn_id: str, *, conn_type: str, source: str, root: str) -> Finding:
    """Judge where a connection comes from.

    :param source: class of the secrets backend that has it.
    """
    if conn_type != _TYPE:
        return wrong(
            "connection",
            f"{conn_id} is of type {conn_type!r}; callbacks are believed on connections of type {_TYPE} only",
            f"set the connection's type to {_TYPE}",
        )
    place = _SOURCES.get(source, f"the secrets backend {source}")
    note = "; worker, triggerer and API server each need it in their own" if source in _SOURCES else ""
    note = "" if source == "MetastoreBackend" else note
    return ok("connection", f"{conn_id} leads to {root}; read from {place}{note}")


def judge_route(route: Route) -> list[Finding]:
    """Judge certificates and proxy of the route to ITSM, as this process has it."""
    text = f"{route}; as this process sees it: worker, triggerer and API server go by their own environment"
    if not route.tls:
        cure = "use the gateway's https:// address as the connection's host"
        return [warning("tls and proxy", f"the app secret is sent in the clear: {text}", cure)]
    if not route.verify:
        cure = "set the connection's extra verify to true, or to the path of a CA bundle"
        return [warning("tls and proxy", f"anybody may pose as ITSM: {text}", cure)]
    return [ok("tls and proxy", text)]


def judge_itsm_error(error: ItsmError, *, message: str, route: Route) -> Finding:
    """Judge why ITSM did not answer as it should.

    :param message: the reason, as the Test button gives it.
    """
    return wrong("itsm", message, _cure_of(error, route))


def _cure_of(error: ItsmError, route: Route) -> str:
    cures: Mapping[type[ItsmError], str] = {
        ItsmAuthenticationError: (
            "compare login (app code) and password (app secret) with the application's page in the gateway; where"
            " the message says that the user is not verified, put an access_token into the connection's extra, or"
            " have the gateway's administrator exempt the app"
        ),
        ItsmPermissionError: "have the gateway's administrator grant the app the call that the message names",
        ItsmEndpointNotFoundError: "set the connection's host to the gateway's root, with its path and stage",
        CollectItsmNotExists: "name a service or workflow that exists: airflow bkitsm services lists them",
        ItsmConfigurationError: "mend the connection's field or the variable that the message names",
        ItsmUnavailableError: _cure_of_silence(route),
    }
    return next(
        (cure for kind, cure in cures.items() if isinstance(error, kind)),
        "see the page Troubleshooting by message",
    )


def _cure_of_silence(route: Route) -> str:
    way = (
        f"whether the proxy {route.proxy.url} ({route.proxy_reason}) is up and lets it through, "
        if route.proxy
        else ""
    )
    scheme = "" if route.tls else "whether the address has to be https://, "
    return (
        f"look {way}{scheme}whether host and port of the connection are the gateway's; curl -i from this machine"
        " shows who answers there. For a certificate, set the extra verify to the path of its CA bundle"
    )


def judge_post_eaten(error: ItsmError) -> Finding:
    """Return the finding where GET is answered by ITSM, and POST by somebody else."""
    return wrong(
        "itsm",
        f"GET is answered by ITSM, POST is not: {error}",
        "something in between (a proxy, a firewall) lets no POST through: have it pass POST to that host",
    )


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A read that the provider makes.

    :param purpose: what it is for.
    :param needed: whether approvals do not work without it.
    :param lacking: what is lost without it.
    """

    purpose: str
    needed: bool
    lacking: str


def judge_grant(grant: Grant, error: ItsmError | None, *, app_code: str) -> Finding | None:
    """Judge whether a read is allowed by its answer; None where this version of ITSM has no such read."""
    check = f"grant: {grant.purpose}"
    if isinstance(error, ItsmConfigurationError):
        return None
    if isinstance(error, ItsmPermissionError | ItsmAuthenticationError | ItsmEndpointNotFoundError):
        ask = f"have the gateway's administrator grant app {app_code!r} the call that the message names"
        if isinstance(error, ItsmAuthenticationError):
            ask = f"put an access_token into the connection's extra, or {ask} without a verified user"
        if isinstance(error, ItsmEndpointNotFoundError):
            ask = "have the gateway's administrator publish this call; the connection's host has other calls"
        found = wrong if grant.needed else warning
        return found(check, f"{grant.lacking}: {error}", ask)
    if isinstance(error, ItsmUnavailableError) and not isinstance(error, ItsmCrashError):
        found = wrong if grant.needed else warning
        return found(
            check, f"no usable answer: {error}", "repeat the check; look in the gateway's log for the call"
        )
    # What is asked about does not exist: whatever else ITSM says, it was let through.
    return ok(check, "allowed")


def judge_service(name: str, source: VerdictSource, unread: str) -> list[Finding]:
    """Judge whether a service's verdict can be read.

    :param unread: why its flow could not be read; empty where it was.
    """
    if source.problem:
        return [
            wrong(
                "verdict",
                f"{name}: {source.problem}",
                "give its flow an approval step in ITSM, or name another service_id (airflow bkitsm services)",
            )
        ]
    found = [ok("verdict", f"{name}: {source.reason}")]
    if unread:
        cure = "have the app granted get_workflow_detail; until then each ticket's own log decides"
        found.append(warning("service's flow", f"{name}: its flow cannot be read: {unread}", cure))
    return found


def judge_clock(check: str, date: str | None, now: datetime) -> Finding:
    """Judge this machine's clock by the header ``Date`` of an answer."""
    try:
        offset = (now - parsedate_to_datetime(date or "")).total_seconds()
    except (TypeError, ValueError):
        return warning(check, "its answers have no time, so the clocks were not compared", "compare them by hand")
    ahead = f"this machine's clock is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the other's"
    if abs(offset) < _CLOCK_WARNING:
        return ok(check, f"less than {_CLOCK_WARNING:.0f} s apart")
    found = wrong if abs(offset) >= _CLOCK_WRONG else warning
    return found(check, ahead, "have both machines take their time by NTP; deadlines are wrong by as much")


# -- this Airflow --------------------------------------------------------------------------------------------


def judge_store(
    place: str, *, version: int, newest: int, is_file: bool, elsewhere: Collection[str]
) -> list[Finding]:
    """Judge the store's schema, and whether every process reads the same store.

    :param elsewhere: executors that may run tasks on other machines.
    """
    found = [_judge_schema(place, version, newest)]
    if is_file and elsewhere:
        found.append(
            warning(
                "store is shared",
                f"{place} is a file of this machine, and tasks may run on several ({', '.join(elsewhere)}): a"
                " retry elsewhere may open a second ticket",
                "set [bkitsm] store_conn_id to a PostgreSQL or MySQL connection that all processes reach",
            )
        )
    return found


def _judge_schema(place: str, version: int, newest: int) -> Finding:
    if version > newest:
        return wrong(
            "store",
            f"{place} has schema version {version}, and this provider knows versions up to {newest}",
            "upgrade airflow-provider-bkitsm on this machine to the version of the others",
        )
    if version < newest:
        state = f"schema version {version} of {newest}" if version else "no tables yet"
        return warning(
            "store",
            f"{place} is reachable and has {state}",
            "nothing, if its user may create and alter tables: the first use by this version migrates it",
        )
    return ok("store", f"{place} is reachable, schema version {version}")


def judge_plugin(address: str, got: Answer) -> Finding:
    """Judge whether the API server has the plugin, by its answer to a GET where only it takes POST alone."""
    if got.status == 405 and got.headers.get("allow", "").upper() == "POST":  # noqa: PLR2004
        return ok("plugin", f"the API server at {address} has it")
    if got.status in _REDIRECTS:
        return _redirected("plugin", address, got)
    return wrong(
        "plugin",
        f"at {address} there is no /bkitsm ({got})",
        "install airflow-provider-bkitsm in the API server's environment and restart it; airflow plugins there"
        " lists bkitsm. If another server answers, mend [api] base_url",
    )


def unreachable(check: str, address: str, reason: str) -> Finding:
    """Return the finding of an address at which nobody answers."""
    return wrong(
        check,
        f"no answer at {address} ({reason})",
        "is the API server up? Set [api] base_url, and [bkitsm] callback_base_url where ITSM needs another"
        " address, to what reaches it, with scheme, port and path prefix",
    )


def judge_callback(address: str, got: Answer) -> list[Finding]:
    """Judge the answer to a signed callback about a ticket that nobody waits for."""
    checks = ("callback", "signing keys")
    for result in (Result.UNKNOWN, Result.REFUSED_SIGNATURE, Result.BUSY):
        status, body = answer(result)
        if got.status == status and _json(got.body) == body:
            return _of_receiver(checks, address, result)
    if got.status in _REDIRECTS:
        return [_redirected("callback", address, got)]
    if got.status in _REFUSED_METHODS or got.status == 403:  # noqa: PLR2004
        text = f"a POST to {address} does not reach Airflow: somebody else answers {got}"
        return [
            wrong("callback", text, "let the proxy or firewall in front of Airflow pass POST to /bkitsm/callback")
        ]
    return [
        wrong(
            "callback",
            f"a POST to {address} is not answered by the plugin ({got})",
            "let whatever signs people in (or the proxy) in front of Airflow pass /bkitsm/callback without; if"
            " another server answers, mend [bkitsm] callback_base_url",
        )
    ]


def _of_receiver(checks: tuple[str, str], address: str, result: Result) -> list[Finding]:
    callback, keys = checks
    reached = ok(callback, f"a signed POST to {address} arrives, as seen from here; ITSM has to reach it as well")
    if result is Result.UNKNOWN:
        return [reached, ok(keys, "the API server believes this process's signature")]
    if result is Result.BUSY:
        text = "the API server answered 'not now': it is busy, or cannot read the connection"
        return [
            reached,
            warning(keys, text, "repeat the check; look in the API server's log for 'callback: failed'"),
        ]
    return [
        reached,
        wrong(
            keys,
            "the API server does not believe this process's signature",
            "give both the same connection: it has another app secret or other callback_signing_secret there,"
            " another dialect or type, or is not defined there; or a proxy drops the header X-Bkitsm-Signature",
        ),
    ]


def _redirected(check: str, address: str, got: Answer) -> Finding:
    to = urlsplit(got.headers.get("location", ""))
    place = f"{to.scheme}://{to.netloc}" if to.netloc else "another path"
    cure = "let the proxy pass /bkitsm/callback without signing in: ITSM follows no redirect and signs in nowhere"
    if "/bkitsm/" in to.path:
        cure = f"ITSM follows no redirect: write {place} with its path prefix into [bkitsm] callback_base_url"
    return wrong(check, f"{address} redirects to {place}", cure)


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def judge_roles(manager: str, blind: Iterable[str] | None) -> Finding:
    """Judge which roles see the pages.

    :param manager: class of the auth manager.
    :param blind: FAB's roles that may read task instances and not plugins; None: the roles are not FAB's.
    """
    if blind is None:
        return ok("roles", f"{manager} decides who sees the pages: whoever may read task instances and plugins")
    roles = sorted(blind)
    if not roles:
        return ok("roles", "every role that reads task instances sees the pages")
    return warning(
        "roles",
        f"Airflow shows these roles neither menu entries nor tabs: {', '.join(roles)}",
        f"airflow roles add-perms {' '.join(_quoted(role) for role in roles)} -a can_read -r Plugins",
    )


def _quoted(name: str) -> str:
    from shlex import quote

    return quote(name)
