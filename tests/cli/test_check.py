# SPDX-License-Identifier: Apache-2.0
"""Each planted mistake of a set-up is found, and its cure named."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import text

from airflow_provider_bkitsm.cli.__main__ import main
from airflow_provider_bkitsm.cli.check import bounded
from airflow_provider_bkitsm.cli.findings import ok
from airflow_provider_bkitsm.collectors.migrations import migrate
from airflow_provider_bkitsm.hooks.store import store_engine
from airflow_provider_bkitsm.plugins.callback_route import create_app
from airflow_provider_bkitsm.plugins.security import Secured
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from airflow_provider_bkitsm.version_compat import AIRFLOW_V_3_3_PLUS
from tests.callback.conftest import FakeMetadata, gateway_of
from tests.collectors.servers import own_database
from tests.forwarding import Forwarder
from tests.hooks.network import Authority, itsm_server, nginx_like_server, raw_server
from tests.serving import serving

CLOSED = "http://127.0.0.1:9"
SECRET = "sandbox-secret"


@dataclass
class Site:
    """A whole set-up that is in order, and what a test changes of it."""

    sandbox: SandboxServer
    metadata: FakeMetadata
    airflow: str
    folder: Path
    setenv: Callable[[str, str], None]
    stack: ExitStack
    fields: dict[str, Any] = field(default_factory=dict)

    def connection(self, *, extra: dict[str, Any] | None = None, **fields: Any) -> None:
        """Change the connection of the process that checks; the API server keeps its own."""
        usual = {"conn_type": "bkitsm", "host": self.sandbox.itsm_url, "login": "sandbox", "password": SECRET}
        given = {"read_timeout": 2, "connect_timeout": 1} | (extra or {})
        self.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", json.dumps(usual | fields | {"extra": given}))

    def base(self, url: str) -> None:
        """Change where this process takes the API server to be."""
        self.setenv("AIRFLOW__API__BASE_URL", url)

    def in_front(self, url: str, handler: type[Forwarder]) -> str:
        """Put something between this process and a server; return its address."""
        return self.stack.enter_context(_forwarding(url, handler))

    def authority(self) -> Authority:
        """Make a CA that nobody knows."""
        return Authority.make(self.folder, "nobody")


@contextmanager
def _forwarding(url: str, handler: type[Forwarder]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Front", (handler,), {"upstream": url})) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def site(sandbox, monkeypatch, tmp_path) -> Iterator[Site]:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)
    metadata = FakeMetadata(gateways={"bkitsm_default": gateway_of(sandbox)})
    root = FastAPI()
    root.mount("/bkitsm", Secured(create_app(metadata)))
    with ExitStack() as stack:
        airflow = stack.enter_context(serving(root))
        made = Site(sandbox, metadata, airflow, tmp_path, monkeypatch.setenv, stack)
        made.connection()
        made.base(airflow)
        migrate(store_engine())
        yield made


@pytest.fixture
def run(site, capsys):
    def ran(*arguments: str) -> tuple[int, list[dict[str, str]]]:
        code = 0
        try:
            main(["check", "-o", "json", *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        return code, json.loads(capsys.readouterr().out)

    return ran


def test_a_site_in_order_has_nothing_wrong(site, run):
    code, rows = run()
    assert code == 0
    assert {one["level"] for one in rows if one["check"] != "tls and proxy"} == {"ok"}
    assert {one["check"] for one in rows if not one["check"].startswith("grant")} == {
        "connection",
        "tls and proxy",
        "itsm",
        "clock of ITSM",
        "verdict",
        "store",
        "plugin",
        "clock of the API server",
        "callback",
        "signing keys",
        "roles",
    }
    assert sum(one["check"].startswith("grant") for one in rows) == 7


@pytest.mark.parametrize(
    ("root", "level", "words"),
    [(None, "ok", "the log platform answers"), (CLOSED, "wrong", "Connection refused")],
    ids=["answers", "dead"],
)
def test_the_log_platform_is_asked_where_it_has_a_connection(site, run, root, level, words):
    fields = {"conn_type": "bklog", "host": root or site.sandbox.bklog_url, "login": "sandbox", "password": SECRET}
    site.setenv("AIRFLOW_CONN_BKLOG_DEFAULT", json.dumps(fields))
    (found,) = [one for one in run()[1] if one["check"] == "log platform"]
    assert found["level"] == level
    assert words in found["finding"]


def test_a_log_platform_that_was_named_and_has_no_connection_is_wrong(run):
    (found,) = [one for one in run("--bklog-conn-id", "bklog_of_nobody")[1] if one["check"] == "log platform"]
    assert (found["level"], "define it" in found["what_to_do"]) == ("wrong", True)


def test_p4_it_changes_nothing(site, run):
    run()
    writes = {"create_ticket", "operate_ticket", "import_service"}
    assert not [one for one in site.sandbox.requests() if any(name in one["path"] for name in writes)]
    assert site.sandbox.tickets() == []
    assert site.metadata.resumed == []


def test_p8_no_secret_is_printed_or_sent_to_airflow(site, run, capsys):
    seen = []

    class Keeping(Forwarder):
        def do_GET(self) -> None:
            seen.append(str(self.headers))
            super().do_GET()

        do_POST = do_GET

    site.base(site.in_front(site.airflow, Keeping))
    printed = json.dumps(run()) + capsys.readouterr().err
    assert len(seen) == 2
    assert SECRET not in printed + "".join(seen)


def test_p5_a_ticket_is_opened_and_withdrawn_when_it_is_asked_for(site, run):
    code, rows = run("--ticket", "--approver", "alice")
    (ticket,) = site.sandbox.tickets()
    assert (code, ticket["status"]) == (0, "REVOKED")
    assert [one["level"] for one in rows if one["check"] == "test ticket"] == ["ok", "ok"]
    assert "TEST" in ticket["title"]


def test_a_ticket_that_cannot_be_withdrawn_is_wrong(site, run, monkeypatch):
    monkeypatch.setattr("airflow_provider_bkitsm.tickets.withdrawal.ATTEMPTS", 1)
    site.sandbox.fault("operate_ticket", "app_refused", times=100)
    code, rows = run("--ticket", "--approver", "alice")
    (found,) = [one for one in rows if one["level"] == "wrong"]
    assert code == 1
    assert "STAYS OPEN" in found["finding"]
    assert "operate_ticket" in found["what_to_do"]


# -- planted mistakes ----------------------------------------------------------------------------------------


def _wrong_secret(site: Site) -> None:
    site.connection(password="another")


def _wrong_app(site: Site) -> None:
    site.connection(login="nobody")


def _undefined(site: Site) -> None:
    site.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", json.dumps({"conn_type": "bkitsm", "host": "http://x"}))


def _other_type(site: Site) -> None:
    site.connection(conn_type="http")


def _http_for_https(site: Site) -> None:
    url = site.stack.enter_context(itsm_server(site.authority().server)).url
    site.connection(host=url.replace("https", "http") + "/v2/itsm")


def _http_for_https_of_nginx(site: Site) -> None:
    url = site.stack.enter_context(nginx_like_server(site.authority().server)).url
    site.connection(host=url.replace("https", "http") + "/v2/itsm")


def _https_for_http_of_airflow(site: Site) -> None:
    site.base(site.airflow.replace("http", "https"))


def _http_for_https_of_airflow(site: Site) -> None:
    url = site.stack.enter_context(nginx_like_server(site.authority().server)).url
    site.base(url.replace("https", "http"))


def _https_for_http(site: Site) -> None:
    site.connection(host=site.sandbox.itsm_url.replace("http", "https"))


def _unknown_ca(site: Site) -> None:
    site.connection(host=site.stack.enter_context(itsm_server(site.authority().server)).url)


def _ca_of_extra_is_missing(site: Site) -> None:
    site.connection(host="https://127.0.0.1:9", extra={"verify": "/nowhere/ca.pem"})


def _ca_of_environment_is_missing(site: Site) -> None:
    site.connection(host="https://127.0.0.1:9")
    site.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")


def _not_verified(site: Site) -> None:
    site.connection(host="https://127.0.0.1:9", extra={"verify": "false"})


def _proxy_is_down(site: Site) -> None:
    site.connection(extra={"proxy": CLOSED})


def _proxy_is_no_url(site: Site) -> None:
    site.setenv("http_proxy", "socks5://127.0.0.1:9")


class _NoPost(Forwarder):
    def do_POST(self) -> None:
        self.asked()
        self.send_error(405)


def _itsm_proxy_eats_post(site: Site) -> None:
    front = site.in_front(site.sandbox.url, _NoPost)
    site.connection(host=site.sandbox.itsm_url.replace(site.sandbox.url, front))


def _airflow_proxy_eats_post(site: Site) -> None:
    site.base(site.in_front(site.airflow, _NoPost))


class _Login(Forwarder):
    def do_POST(self) -> None:
        self.asked()
        self.answer(_page(302, {"Location": "https://login.example.com/?next=x"}))


def _page(status: int, headers: dict[str, str]) -> requests.Response:
    page = requests.Response()
    page.status_code, page._content = status, b"<html>"
    page.headers.update({"Content-Type": "text/html", **headers})
    return page


def _login_before_airflow(site: Site) -> None:
    site.base(site.in_front(site.airflow, _Login))


class _Late(Forwarder):
    """Ten minutes late."""

    def send_header(self, keyword: str, value: str) -> None:
        late = format_datetime(datetime.now(UTC) - timedelta(minutes=10), usegmt=True)
        super().send_header(keyword, late if keyword == "Date" else value)

    def answer(self, said: requests.Response) -> None:
        said.headers.pop("date", None)
        super().answer(said)


def _clock_of_itsm(site: Site) -> None:
    front = site.in_front(site.sandbox.url, _Late)
    site.connection(host=site.sandbox.itsm_url.replace(site.sandbox.url, front))


def _clock_of_airflow(site: Site) -> None:
    site.base(site.in_front(site.airflow, _Late))


def _wrong_path(site: Site) -> None:
    site.connection(host=site.sandbox.itsm_url.replace("/prod/", "/stag/"))


def _wrong_port(site: Site) -> None:
    site.connection(host=f"{CLOSED}/v2/itsm")


def _hangs(site: Site) -> None:
    stop = threading.Event()
    site.stack.callback(stop.set)
    url = site.stack.enter_context(raw_server(lambda _: stop.wait(20) and None))
    site.connection(host=url, extra={"read_timeout": 0.2})


def _no_such_service(site: Site) -> None:
    site.connection(extra={"service_id": "999"})


def _no_approval_step(site: Site) -> None:
    site.connection(extra={"service_id": "无审批节点"})


def _verdict_field_of_no_step(site: Site) -> None:
    site.connection(extra={"service_id": "12", "verdict_field": "approver"})


def _v4_called_v2(site: Site) -> None:
    site.connection(host=site.sandbox.itsm_v4_url)


def _v2_called_v4(site: Site) -> None:
    site.connection(extra={"dialect": "v4"})


def _no_grant(call: str) -> Callable[[Site], None]:
    return lambda site: site.sandbox.fault(call, "app_refused", times=1000)


def _store_is_older(site: Site) -> None:
    with store_engine().begin() as connection:
        connection.execute(text("DELETE FROM bkitsm_schema WHERE version > 3"))


def _store_is_newer(site: Site) -> None:
    with store_engine().begin() as connection:
        connection.execute(text("INSERT INTO bkitsm_schema VALUES (99, '2026-01-01 00:00:00')"))


def _store_is_down(site: Site) -> None:
    down = {
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": 9,
        "login": "u",
        "password": SECRET,
        "schema": "s",
    }
    site.setenv("AIRFLOW_CONN_STORE", json.dumps(down))
    site.setenv("AIRFLOW__BKITSM__STORE_CONN_ID", "store")


def _store_has_no_driver(site: Site) -> None:
    """Airflow says the same of PostgreSQL where its provider is not installed."""
    site.setenv("AIRFLOW_CONN_STORE", json.dumps({"conn_type": "postgres_of_nobody", "host": "127.0.0.1"}))
    site.setenv("AIRFLOW__BKITSM__STORE_CONN_ID", "store")


def _store_is_undefined(site: Site) -> None:
    site.setenv("AIRFLOW__BKITSM__STORE_CONN_ID", "nowhere")


def _store_is_a_file_and_workers_are_elsewhere(site: Site) -> None:
    site.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")


def _airflow_without(page: Response) -> Callable[[Site], None]:
    def plant(site: Site) -> None:
        app = FastAPI()
        app.add_route("/{path:path}", lambda _request: page, methods=["GET"])
        site.base(site.stack.enter_context(serving(app)))

    return plant


def _redirects_to_https(site: Site) -> None:
    app = FastAPI()
    to = "https://airflow.example.com"
    app.add_route(
        "/{path:path}", lambda request: RedirectResponse(to + request.url.path, 308), methods=["GET", "POST"]
    )
    site.base(site.stack.enter_context(serving(app)))


def _nobody_at_base(site: Site) -> None:
    site.base(CLOSED)


def _callback_base_is_wrong(site: Site) -> None:
    site.setenv("AIRFLOW__BKITSM__CALLBACK_BASE_URL", CLOSED)


def _prefix_is_missing(site: Site) -> None:
    site.base(f"{site.airflow}/airflow")


def _no_base(site: Site) -> None:
    site.base("")


def _callback_is_off(site: Site) -> None:
    site.setenv("AIRFLOW__BKITSM__CALLBACK", "False")


def _other_secret_at_airflow(site: Site) -> None:
    theirs = site.metadata.gateways["bkitsm_default"]
    site.metadata.gateways["bkitsm_default"] = replace(theirs, app_secret="older")


def _other_keys_here(site: Site) -> None:
    site.connection(extra={"callback_signing_secret": "a key of this process alone"})


def _undefined_at_airflow(site: Site) -> None:
    site.metadata.gateways.clear()


class _DropsHeader(Forwarder):
    def forward(self, body: bytes) -> requests.Response:
        del self.headers["X-Bkitsm-Signature"]
        return super().forward(body)


def _header_is_dropped(site: Site) -> None:
    site.base(site.in_front(site.airflow, _DropsHeader))


def _short_key(site: Site) -> None:
    site.connection(extra={"callback_signing_secret": "short"})


# The mistake, the check that finds it, its level, and words of the finding or of the cure.
PLANTED: list[tuple[Callable[[Site], None], str, str, tuple[str, ...]]] = [
    (_wrong_secret, "itsm", "wrong", ("app secret", "password (app secret)")),
    (_wrong_app, "itsm", "wrong", ("login (app code)",)),
    (_undefined, "connection", "wrong", ("login", "app code")),
    (_other_type, "connection", "wrong", ("'http'", "set the connection's type to bkitsm")),
    (_http_for_https, "itsm", "wrong", ("has to be https://",)),
    (lambda site: site.connection(), "tls and proxy", "warning", ("NO TLS", "https://")),
    (_http_for_https_of_nginx, "itsm", "wrong", ("host has to be https://127.0.0.1:",)),
    (_https_for_http, "itsm", "wrong", ("no TLS is spoken there", "port of https", "http://127.0.0.1:")),
    (_https_for_http_of_airflow, "plugin", "wrong", ("no TLS is spoken there", "[api] base_url")),
    (_https_for_http_of_airflow, "callback", "wrong", ("no TLS is spoken there", "callback_base_url")),
    (_http_for_https_of_airflow, "plugin", "wrong", ("[api] base_url has to be https://",)),
    (_http_for_https_of_airflow, "callback", "wrong", ("callback_base_url has to be https://",)),
    (_unknown_ca, "itsm", "wrong", ("certificate verify failed", "verify")),
    (_ca_of_extra_is_missing, "connection", "wrong", ("'verify'", "path of a file")),
    (_ca_of_environment_is_missing, "tls and proxy", "wrong", ("/nowhere/ca.pem", "REQUESTS_CA_BUNDLE")),
    (_not_verified, "tls and proxy", "warning", ("NOT verified", "set the connection's extra verify to true")),
    (_proxy_is_down, "itsm", "wrong", (f"the proxy {CLOSED}", "extra proxy")),
    (_proxy_is_no_url, "tls and proxy", "wrong", ("http_proxy", "http(s) URL of a proxy")),
    (_itsm_proxy_eats_post, "itsm", "wrong", ("GET is answered", "pass POST")),
    (_airflow_proxy_eats_post, "callback", "wrong", ("HTTP 405", "pass POST to /bkitsm/callback")),
    (_login_before_airflow, "callback", "wrong", ("login.example.com", "without signing in")),
    (_clock_of_itsm, "clock of ITSM", "wrong", ("s ahead of", "NTP")),
    (_clock_of_airflow, "clock of the API server", "wrong", ("s ahead of", "NTP")),
    (_wrong_path, "itsm", "wrong", ("gateway's root, with its path",)),
    (_wrong_port, "itsm", "wrong", ("Connection refused", "host and port")),
    (_hangs, "itsm", "wrong", ("no answer", "curl -i")),
    (_no_such_service, "service", "wrong", ("999", "airflow bkitsm services")),
    (_no_approval_step, "verdict", "wrong", ("nobody approves", "approval step")),
    (_verdict_field_of_no_step, "verdict", "wrong", ("submit form",)),
    (_v4_called_v2, "itsm", "wrong", ("set it to v4",)),
    (_v2_called_v4, "itsm", "wrong", ("set it to v2",)),
    (
        _no_grant("ticket_approval_result"),
        "grant: read verdicts",
        "wrong",
        ("ticket_approval_result", "'sandbox'"),
    ),
    (
        _no_grant("get_ticket_logs"),
        "grant: read a ticket's log",
        "wrong",
        ("get_ticket_logs", "grant app 'sandbox'"),
    ),
    (_no_grant("get_ticket_info"), "grant: read a ticket's form", "wrong", ("get_ticket_info", "grant app")),
    (_no_grant("get_ticket_status"), "grant: read a ticket's status", "wrong", ("get_ticket_status", "grant app")),
    (_no_grant("get_tickets/"), "grant: search tickets", "wrong", ("get_tickets", "grant app")),
    (_no_grant("token/verify"), "grant: verify a callback's token", "wrong", ("token/verify", "grant app")),
    (_no_grant("get_services"), "grant: list services", "warning", ("get_services", "grant app")),
    (_store_is_older, "store", "warning", ("schema version 3", "migrates it")),
    (_store_is_newer, "store", "wrong", ("schema version 99", "upgrade airflow-provider-bkitsm")),
    (_store_is_down, "store", "wrong", ("Connection refused", "store_conn_id")),
    (_store_has_no_driver, "store", "wrong", ("airflow-provider-bkitsm[postgres]", "install the extra")),
    (_store_is_undefined, "store", "wrong", ("nowhere", "airflow connections add")),
    (
        _store_is_a_file_and_workers_are_elsewhere,
        "store is shared",
        "warning",
        ("CeleryExecutor", "store_conn_id"),
    ),
    (
        _airflow_without(Response(status_code=404)),
        "plugin",
        "wrong",
        ("HTTP 404", "install airflow-provider-bkitsm"),
    ),
    (_airflow_without(HTMLResponse("<html>")), "plugin", "wrong", ("text/html", "restart it")),
    (_airflow_without(HTMLResponse("<html>")), "callback", "wrong", ("405", "callback")),
    (_redirects_to_https, "callback", "wrong", ("redirects", "write https://airflow.example.com")),
    (_nobody_at_base, "plugin", "wrong", ("no answer", "base_url")),
    (_callback_base_is_wrong, "callback", "wrong", ("no answer", "callback_base_url")),
    (_prefix_is_missing, "plugin", "wrong", ("HTTP 404", "base_url")),
    (_no_base, "callback", "wrong", ("cannot call back", "callback_base_url")),
    (_callback_is_off, "callback", "warning", ("polling", "set [bkitsm] callback to True")),
    (_other_secret_at_airflow, "signing keys", "wrong", ("does not believe", "another app secret")),
    (_other_keys_here, "signing keys", "wrong", ("does not believe", "callback_signing_secret")),
    (_undefined_at_airflow, "signing keys", "wrong", ("does not believe", "not defined there")),
    (_header_is_dropped, "signing keys", "wrong", ("X-Bkitsm-Signature",)),
    (_short_key, "signing keys", "wrong", ("fewer than 16", "callback_signing_secret")),
]


@pytest.mark.parametrize(
    ("plant", "name", "level", "words"), PLANTED, ids=[f"{plant.__name__}-{name}" for plant, name, *_ in PLANTED]
)
def test_a_planted_mistake_is_found_and_its_cure_named(site, run, plant, name, level, words):
    plant(site)
    code, rows = run()
    found = [one for one in rows if one["check"] == name and one["level"] == level]
    assert found, rows
    assert code == (1 if any(one["level"] == "wrong" for one in rows) else 0)
    line = " ".join(f"{one['finding']} {one['what_to_do']}" for one in found)
    assert [word for word in words if word not in line] == [], line
    assert all(one["what_to_do"] for one in rows if one["level"] != "ok")
    assert SECRET not in json.dumps(rows)


def test_a_user_who_is_not_verified_is_found(connections, connect, capsys):
    with SandboxServer(Settings(demand_verified_user=True)) as strict:
        connect("strict", conn_type="bkitsm", host=strict.itsm_url, login="sandbox", password=SECRET)
        with pytest.raises(SystemExit) as end:
            main(["check", "--conn-id", "strict"])
    lines = capsys.readouterr().out.splitlines()
    (grant,) = [one for one in lines if one.startswith("wrong   grant: read verdicts")]
    assert end.value.code == 1
    assert "put an access_token into the connection's extra" in grant


def test_a_connection_that_is_not_there_is_a_line_and_the_rest_is_checked(site, run):
    code, rows = run("--conn-id", "nowhere")
    found = {one["check"]: one for one in rows}
    assert code == 1
    assert "airflow connections add" in found["connection"]["what_to_do"]
    assert found["plugin"]["level"] == "ok"


def test_each_line_begins_with_its_level(site, capsys):
    main(["check"])
    lines = capsys.readouterr().out.splitlines()
    assert {one.split()[0] for one in lines} == {"ok", "warning"}
    assert all(("WHAT TO DO" in one) is one.startswith("warning") for one in lines)


def test_v4_is_checked_likewise(site, run, sandbox):
    with SandboxServer(Settings(start_delay=0.02), dialect="v4") as server:
        site.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", server.connection("bkitsm"))
        from airflow.sdk import Connection

        from airflow_provider_bkitsm.hooks.connection import read_gateway

        there = Connection.from_json(server.connection("bkitsm"), conn_id="bkitsm_default")
        site.metadata.gateways["bkitsm_default"] = read_gateway(there)
        code, rows = run("--ticket", "--approver", "bob")
    assert (code, {one["level"] for one in rows if one["check"] != "tls and proxy"}) == (0, {"ok"})
    checks = {one["check"] for one in rows}
    assert "signing keys" in checks
    assert "grant: verify a callback's token" not in checks, "ITSM v4 has no such call, so nothing grants it"


def test_a_store_on_a_server_is_looked_at_and_not_migrated(site, run, postgres_url):
    with own_database(postgres_url) as url:
        site.setenv("AIRFLOW_CONN_STORE", url.replace("postgresql+psycopg2", "postgres"))
        site.setenv("AIRFLOW__BKITSM__STORE_CONN_ID", "store")
        for _ in range(2):
            _, rows = run()
            (found,) = [one for one in rows if one["check"] == "store"]
            assert "no tables yet" in found["finding"]


def test_who_never_answers_is_a_finding():
    stop = threading.Event()
    (found,) = bounded("store", lambda: [ok("store", "late")] if stop.wait(60) else [], seconds=0.05)
    stop.set()
    assert (found.check, found.level) == ("store", "wrong")


def test_p8_the_text_of_a_foreign_error_is_not_printed():
    (found,) = bounded("store", lambda: [ok("store", str({}["p4ss"]))])
    assert "KeyError" in found.text
    assert "p4ss" not in found.text


DOORS = [["airflow_provider_bkitsm.cli"], *([["airflow", "bkitsm"]] if AIRFLOW_V_3_3_PLUS else [])]


@pytest.mark.parametrize("door", DOORS, ids=" ".join)
def test_it_is_there_on_the_command_line(site, door):
    command = [sys.executable, "-m", *door, "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok      signing keys" in done.stdout


def test_every_line_is_in_chinese_under_a_chinese_locale(site, run, capsys, monkeypatch):
    rows = run()[1]
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert run()[1] == rows
    main(["check"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(rows)
    assert {line.split()[0] for line in lines} == {"正常", "警告"}
    # A name of a part of the set-up, or a word of English left over.
    assert [line for line in lines if re.search(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}", line)] == []


def test_the_message_of_an_error_is_not_translated_and_its_cure_is(site, run, capsys, monkeypatch):
    site.connection(password="wrong")
    (row,) = [one for one in run()[1] if one["check"] == "itsm"]
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    with pytest.raises(SystemExit):
        main(["check"])
    (line,) = [one for one in capsys.readouterr().out.splitlines() if row["finding"] in one]
    assert line.startswith("错误")
    assert "处理建议：对照网关上的应用页面" in line
