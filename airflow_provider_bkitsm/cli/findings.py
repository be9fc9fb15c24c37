# SPDX-License-Identifier: Apache-2.0
"""What ``check`` concludes from what it saw: a level, a sentence, and what to do. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from urllib.parse import urlsplit

from airflow_provider_bkitsm.callback.messages import Result, answer
from airflow_provider_bkitsm.cli.cures import cure_of, with_cure
from airflow_provider_bkitsm.cli.fetch import Answer
from airflow_provider_bkitsm.hooks.route import Route
from airflow_provider_bkitsm.itsm.errors import (
    ItsmAuthenticationError,
    ItsmConfigurationError,
    ItsmCrashError,
    ItsmEndpointNotFoundError,
    ItsmError,
    ItsmPermissionError,
    ItsmUnavailableError,
)
from airflow_provider_bkitsm.itsm.verdict_source import VerdictSource
from airflow_provider_bkitsm.translation import Language, Text, verbatim

_CLOCK_WARNING, _CLOCK_WRONG = 60.0, 300.0
_REDIRECTS = range(300, 400)
_REFUSED_METHODS = frozenset({405, 501})


class Level(StrEnum):
    """How well something is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


_WORDS = {Level.OK: Text("ok"), Level.WARNING: Text("warning"), Level.WRONG: Text("wrong")}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of ``check``.

    :param cure: what to do about it; None where all is well.
    """

    check: Text
    level: Level
    text: Text
    cure: Text | None = None

    def line(self, language: Language) -> str:
        """Return the line that a person reads."""
        finding = Text("{check}: {text}", check=self.check, text=with_cure(self.text, self.cure, language))
        return f"{_WORDS[self.level].into(language):<8}{finding.into(language)}"

    def as_row(self) -> dict[Text, Text]:
        """Return the row of a table."""
        return {
            Text("check"): self.check,
            Text("level"): _WORDS[self.level],
            Text("finding"): self.text,
            Text("what_to_do"): self.cure or Text(""),
        }


def ok(check: Text, text: Text) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(check=check, level=Level.OK, text=text)


def warning(check: Text, text: Text, cure: Text) -> Finding:
    """Return a finding that works, with a weakness."""
    return Finding(check=check, level=Level.WARNING, text=text, cure=cure)


def wrong(check: Text, text: Text, cure: Text) -> Finding:
    """Return a finding that has to be mended."""
    return Finding(check=check, level=Level.WRONG, text=text, cure=cure)


# -- the connection and the way to ITSM ----------------------------------------------------------------------

_TYPE = "bkitsm"
_CONNECTION, _TLS, _ITSM, _VERDICT = Text("connection"), Text("tls and proxy"), Text("itsm"), Text("verdict")
_STORE, _PLUGIN, _CALLBACK = Text("store"), Text("plugin"), Text("callback")
_KEYS, _ROLES = Text("signing keys"), Text("roles")


def judge_connection(conn_id: str, *, conn_type: str, source: str, root: str) -> Finding:
    """Judge where a connection comes from.

    :param source: class of the secrets backend that has it.
    """
    if conn_type != _TYPE:
        text = Text(
            "{connection} is of type {type}; callbacks are believed on connections of type bkitsm only",
            connection=conn_id,
            type=repr(conn_type),
        )
        return wrong(_CONNECTION, text, Text("set the connection's type to bkitsm"))
    return ok(_CONNECTION, _place_of(source, conn_id, root))


def _place_of(source: str, conn_id: str, root: str) -> Text:
    given: dict[str, object] = {"connection": conn_id, "root": root}
    if source == "EnvironmentVariablesBackend":
        return Text(
            "{connection} leads to {root}; read from an environment variable of this process; worker, triggerer"
            " and API server each need it in their own",
            **given,
        )
    if source == "MetastoreBackend":
        return Text(
            "{connection} leads to {root}; read from Airflow's database, which all processes read", **given
        )
    return Text("{connection} leads to {root}; read from the secrets backend {backend}", **given, backend=source)


def judge_route(route: Route) -> list[Finding]:
    """Judge certificates and proxy of the route to ITSM, as this process has it."""
    text = Text(
        "{route}; as this process sees it: worker, triggerer and API server go by their own environment",
        route=route.describe(),
    )
    if not route.tls:
        text = Text("the app secret is sent in the clear: {route}", route=text)
        return [warning(_TLS, text, Text("use the gateway's https:// address as the connection's host"))]
    if not route.verify:
        text = Text("anybody may pose as ITSM: {route}", route=text)
        cure = Text("set the connection's extra verify to true, or to the path of a CA bundle")
        return [warning(_TLS, text, cure)]
    return [ok(_TLS, text)]


def judge_itsm_error(error: ItsmError, *, message: str, route: Route, check: Text = _ITSM) -> Finding:
    """Judge why ITSM did not answer as it should.

    :param message: the reason, as the Test button gives it.
    """
    return wrong(check, verbatim(message), cure_of(error, route))


def with_scheme(finding: Finding, address: str | None, place: Text) -> Finding:
    """Return a finding with another cure, where an address speaks only the other of http and https.

    :param address: with that scheme; None: the scheme is right.
    :param place: where the address is set.
    """
    if address is None or finding.level is not Level.WRONG:
        return finding
    cure = (
        Text("{place} has to be {address}: TLS is spoken there", place=place, address=address)
        if address.startswith("https:")
        else Text(
            "no TLS is spoken there: write the port of https into {place}, or, if there is none, {address} (all"
            " that is sent is then readable on its way)",
            place=place,
            address=address,
        )
    )
    return replace(finding, cure=cure)


def judge_post_eaten(error: ItsmError) -> Finding:
    """Return the finding where GET is answered by ITSM, and POST by somebody else."""
    return wrong(
        _ITSM,
        Text("GET is answered by ITSM, POST is not: {error}", error=error),
        Text("something in between (a proxy, a firewall) lets no POST through: have it pass POST to that host"),
    )


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A read that the provider makes.

    :param purpose: what it is for.
    :param needed: whether approvals do not work without it.
    :param lacking: what is lost without it.
    """

    purpose: Text
    needed: bool
    lacking: Text

    @property
    def check(self) -> Text:
        """What its finding is called."""
        return Text("grant: {purpose}", purpose=self.purpose)


def judge_grant(grant: Grant, error: ItsmError | None, *, app_code: str) -> Finding | None:
    """Judge whether a read is allowed by its answer; None where this version of ITSM has no such read."""
    found = wrong if grant.needed else warning
    if isinstance(error, ItsmConfigurationError):
        return None
    if isinstance(error, ItsmPermissionError | ItsmAuthenticationError | ItsmEndpointNotFoundError):
        text = Text("{lacking}: {error}", lacking=grant.lacking, error=error)
        return found(grant.check, text, _cure_of_refusal(error, app_code))
    if isinstance(error, ItsmUnavailableError) and not isinstance(error, ItsmCrashError):
        cure = Text("repeat the check; look in the gateway's log for the call")
        return found(grant.check, Text("no usable answer: {error}", error=error), cure)
    # What is asked about does not exist: whatever else ITSM says, it was let through.
    return ok(grant.check, Text("allowed"))


def _cure_of_refusal(error: ItsmError, app_code: str) -> Text:
    if isinstance(error, ItsmEndpointNotFoundError):
        return Text("have the gateway's administrator publish this call; the connection's host has other calls")
    app = repr(app_code)
    if isinstance(error, ItsmAuthenticationError):
        return Text(
            "put an access_token into the connection's extra, or have the gateway's administrator grant app {app}"
            " the call that the message names without a verified user",
            app=app,
        )
    return Text("have the gateway's administrator grant app {app} the call that the message names", app=app)


def judge_service(name: Text, source: VerdictSource, unread: str) -> list[Finding]:
    """Judge whether a service's verdict can be read.

    :param unread: why its flow could not be read; empty where it was.
    """
    if source.problem:
        text = Text("{service}: {reason}", service=name, reason=source.problem)
        cure = Text("give its flow an approval step in ITSM, or name another service_id (airflow bkitsm services)")
        return [wrong(_VERDICT, text, cure)]
    found = [ok(_VERDICT, Text("{service}: {reason}", service=name, reason=source.reason))]
    if unread:
        text = Text("{service}: its flow cannot be read: {reason}", service=name, reason=unread)
        cure = Text("have the app granted get_workflow_detail; until then each ticket's own log decides")
        found.append(warning(Text("service's flow"), text, cure))
    return found


def judge_clock(check: Text, date: str | None, now: datetime) -> Finding:
    """Judge this machine's clock by the header ``Date`` of an answer."""
    try:
        offset = (now - parsedate_to_datetime(date or "")).total_seconds()
    except (TypeError, ValueError):
        text = Text("its answers have no time, so the clocks were not compared")
        return warning(check, text, Text("compare them by hand"))
    if abs(offset) < _CLOCK_WARNING:
        return ok(check, Text("less than {seconds} s apart", seconds=f"{_CLOCK_WARNING:.0f}"))
    seconds = f"{abs(offset):.0f}"
    text = (
        Text("this machine's clock is {seconds} s ahead of the other's", seconds=seconds)
        if offset > 0
        else Text("this machine's clock is {seconds} s behind the other's", seconds=seconds)
    )
    found = wrong if abs(offset) >= _CLOCK_WRONG else warning
    return found(check, text, Text("have both machines take their time by NTP; deadlines are wrong by as much"))


# -- this Airflow --------------------------------------------------------------------------------------------


def judge_store(
    place: Text, *, version: int, newest: int, is_file: bool, elsewhere: Collection[str]
) -> list[Finding]:
    """Judge the store's schema, and whether every process reads the same store.

    :param elsewhere: executors that may run tasks on other machines.
    """
    found = [_judge_schema(place, version, newest)]
    if is_file and elsewhere:
        text = Text(
            "{place} is a file of this machine, and tasks may run on several ({executors}): a retry elsewhere may"
            " open a second ticket",
            place=place,
            executors=", ".join(elsewhere),
        )
        cure = Text("set [bkitsm] store_conn_id to a PostgreSQL or MySQL connection that all processes reach")
        found.append(warning(Text("store is shared"), text, cure))
    return found


def _judge_schema(place: Text, version: int, newest: int) -> Finding:
    given: dict[str, object] = {"place": place, "version": version, "newest": newest}
    if version > newest:
        return wrong(
            _STORE,
            Text("{place} has schema version {version}, and this provider knows versions up to {newest}", **given),
            Text("upgrade airflow-provider-bkitsm on this machine to the version of the others"),
        )
    if version < newest:
        text = (
            Text("{place} is reachable and has schema version {version} of {newest}", **given)
            if version
            else Text("{place} is reachable and has no tables yet", place=place)
        )
        cure = Text("nothing, if its user may create and alter tables: the first use by this version migrates it")
        return warning(_STORE, text, cure)
    return ok(_STORE, Text("{place} is reachable, schema version {version}", place=place, version=version))


def judge_plugin(address: str, got: Answer) -> Finding:
    """Judge whether the API server has the plugin, by its answer to a GET where only it takes POST alone."""
    if got.status == 405 and got.headers.get("allow", "").upper() == "POST":  # noqa: PLR2004
        return ok(_PLUGIN, Text("the API server at {address} has it", address=address))
    if got.status in _REDIRECTS:
        return _redirected(_PLUGIN, address, got)
    return wrong(
        _PLUGIN,
        Text("at {address} there is no /bkitsm ({answer})", address=address, answer=got.describe()),
        Text(
            "install airflow-provider-bkitsm in the API server's environment and restart it; airflow plugins there"
            " lists bkitsm. If another server answers, mend [api] base_url"
        ),
    )


def unreachable(check: Text, address: str, reason: str) -> Finding:
    """Return the finding of an address at which nobody answers."""
    return wrong(
        check,
        Text("no answer at {address} ({reason})", address=address, reason=reason),
        Text(
            "is the API server up? Set [api] base_url, and [bkitsm] callback_base_url where ITSM needs another"
            " address, to what reaches it, with scheme, port and path prefix"
        ),
    )


def judge_callback(address: str, got: Answer) -> list[Finding]:
    """Judge the answer to a signed callback about a ticket that nobody waits for."""
    for result in (Result.UNKNOWN, Result.REFUSED_SIGNATURE, Result.BUSY):
        status, body = answer(result)
        if got.status == status and _json(got.body) == body:
            return [_arrives(address), _judge_keys(result)]
    if got.status in _REDIRECTS:
        return [_redirected(_CALLBACK, address, got)]
    given: dict[str, object] = {"address": address, "answer": got.describe()}
    if got.status in _REFUSED_METHODS or got.status == 403:  # noqa: PLR2004
        text = Text("a POST to {address} does not reach Airflow: somebody else answers {answer}", **given)
        cure = Text("let the proxy or firewall in front of Airflow pass POST to /bkitsm/callback")
        return [wrong(_CALLBACK, text, cure)]
    text = Text("a POST to {address} is not answered by the plugin ({answer})", **given)
    cure = Text(
        "let whatever signs people in (or the proxy) in front of Airflow pass /bkitsm/callback without; if"
        " another server answers, mend [bkitsm] callback_base_url"
    )
    return [wrong(_CALLBACK, text, cure)]


def _arrives(address: str) -> Finding:
    text = Text(
        "a signed POST to {address} arrives, as seen from here; ITSM has to reach it as well", address=address
    )
    return ok(_CALLBACK, text)


def _judge_keys(result: Result) -> Finding:
    if result is Result.UNKNOWN:
        return ok(_KEYS, Text("the API server believes this process's signature"))
    if result is Result.BUSY:
        text = Text("the API server answered 'not now': it is busy, or cannot read the connection")
        cure = Text("repeat the check; look in the API server's log for 'callback: failed'")
        return warning(_KEYS, text, cure)
    return wrong(
        _KEYS,
        Text("the API server does not believe this process's signature"),
        Text(
            "give both the same connection: it has another app secret or other callback_signing_secret there,"
            " another dialect or type, or is not defined there; or a proxy drops the header X-Bkitsm-Signature"
        ),
    )


def _redirected(check: Text, address: str, got: Answer) -> Finding:
    to = urlsplit(got.headers.get("location", ""))
    place = verbatim(f"{to.scheme}://{to.netloc}") if to.netloc else Text("another path")
    cure = Text(
        "let the proxy pass /bkitsm/callback without signing in: ITSM follows no redirect and signs in nowhere"
    )
    if "/bkitsm/" in to.path:
        cure = Text(
            "ITSM follows no redirect: write {place} with its path prefix into [bkitsm] callback_base_url",
            place=place,
        )
    return wrong(check, Text("{address} redirects to {place}", address=address, place=place), cure)


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
        text = Text(
            "{manager} decides who sees the pages: whoever may read task instances and plugins", manager=manager
        )
        return ok(_ROLES, text)
    roles = sorted(blind)
    if not roles:
        return ok(_ROLES, Text("every role that reads task instances sees the pages"))
    quoted = " ".join(_quoted(role) for role in roles)
    return warning(
        _ROLES,
        Text("Airflow shows these roles neither menu entries nor tabs: {roles}", roles=", ".join(roles)),
        verbatim(f"airflow roles add-perms {quoted} -a can_read -r Plugins"),
    )


def _quoted(name: str) -> str:
    from shlex import quote

    return quote(name)
