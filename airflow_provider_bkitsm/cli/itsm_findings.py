# SPDX-License-Identifier: Apache-2.0
"""What ``check`` concludes of a connection, the way to ITSM, and what ITSM answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_bkitsm.cli.cures import cure_of
from airflow_provider_bkitsm.cli.findings import Finding, ok, warning, wrong
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
from airflow_provider_bkitsm.translation import Text, verbatim

_TYPE = "bkitsm"
_CONNECTION, _TLS, _ITSM, _VERDICT = Text("connection"), Text("tls and proxy"), Text("itsm"), Text("verdict")


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
