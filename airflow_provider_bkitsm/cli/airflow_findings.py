# SPDX-License-Identifier: Apache-2.0
"""What ``check`` concludes of this Airflow: its store, its API server, the callback and the roles. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from shlex import quote
from urllib.parse import urlsplit

from airflow_provider_bkitsm.callback.messages import Result, answer
from airflow_provider_bkitsm.cli.fetch import Answer
from airflow_provider_bkitsm.cli.findings import Finding, ok, warning, wrong
from airflow_provider_bkitsm.translation import Text, verbatim

_STORE, _PLUGIN, _CALLBACK = Text("store"), Text("plugin"), Text("callback")
_KEYS, _ROLES = Text("signing keys"), Text("roles")
_REDIRECTS = range(300, 400)
_REFUSED_METHODS = frozenset({405, 501})


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
    quoted = " ".join(map(quote, roles))
    return warning(
        _ROLES,
        Text("Airflow shows these roles neither menu entries nor tabs: {roles}", roles=", ".join(roles)),
        verbatim(f"airflow roles add-perms {quoted} -a can_read -r Plugins"),
    )
