# SPDX-License-Identifier: Apache-2.0
"""The proxy of docs/callback.md, run by a real nginx: it lets the callback through and nothing else."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from airflow_provider_bkitsm.callback.messages import Result, answer
from airflow_provider_bkitsm.callback.signature import HEADER, LIFE
from airflow_provider_bkitsm.hooks.connection_form import SIGNING_KEYS
from demo.processes import free_ports
from tests.collectors.servers import find_binary, served, temporary_home

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "callback.md").read_text()
CALLBACK = "/bkitsm/callback/bkitsm_default/0123456789abcdef/1900000000"
AROUND = """
pid nginx.pid;
daemon off;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {server}
}}
"""


class Upstream(ThreadingHTTPServer):
    """Airflow, as far as the proxy can tell; remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked: list[tuple[str, str, str | None, bytes]] = []


class _Answers(BaseHTTPRequestHandler):
    server: Upstream

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, self.headers.get(HEADER), body))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_POST

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@contextmanager
def nginx(configuration: str, port: int) -> Iterator[None]:
    """Run nginx, not as root, in a directory of its own."""
    program = find_binary("nginx")
    if program is None:
        pytest.skip("no nginx on this machine")
    with temporary_home("www-data") as (home, user):
        (home / "nginx.conf").write_text(configuration)
        command = [program, "-p", str(home), "-e", "stderr", "-c", str(home / "nginx.conf")]
        with served(command, home, user, port):
            yield


@pytest.fixture(scope="module")
def proxy(upstream: Upstream) -> Iterator[str]:
    """Serve the page's example, on this machine's addresses and without TLS."""
    (port,) = free_ports(1)
    (server,) = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)
    ours = {
        "listen 443 ssl;": f"listen 127.0.0.1:{port};",
        "airflow-api-server.internal:8080": f"127.0.0.1:{upstream.server_address[1]}",
    }
    for written, here in ours.items():
        assert server.count(written) == 1
        server = server.replace(written, here)
    server = re.sub(r"ssl_certificate\S* .*;", "", server)
    with nginx(AROUND.format(server=server), port):
        yield f"http://127.0.0.1:{port}"


def sent_raw(proxy: str, method: str, path: str) -> int:
    """Send a request whose path no client would leave as it is, and return the answer's status."""
    host, _, port = proxy.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        return int(line.makefile("rb").readline().split()[1])


@pytest.mark.parametrize("path", [CALLBACK, CALLBACK.replace("bkitsm_default", "a%20b%23c%3Fd%25e")])
def test_a_callback_passes_with_its_signature(proxy, upstream, path):
    upstream.asked.clear()
    said = requests.post(proxy + path, json={"sn": "REQ1"}, headers={HEADER: "v1=ab"}, timeout=10)
    assert said.status_code == 200
    assert upstream.asked == [("POST", path, "v1=ab", b'{"sn": "REQ1"}')]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_p4_no_other_method_passes(proxy, upstream, method):
    upstream.asked.clear()
    assert requests.request(method, proxy + CALLBACK, timeout=10).status_code in (403, 405)
    assert upstream.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/auth/token",
        "/api/v2/dags",
        "/bkitsm",
        "/bkitsm/",
        "/bkitsm/callback",
        "/bkitsm/approvals",
        "/execution/",
        "//bkitsm/../api/v2/dags",
        "/bkitsm/callback/../../api/v2/dags",
        "/bkitsm/callback/%2e%2e/%2e%2e/api/v2/dags",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_p4_nothing_else_of_airflow_is_reached(proxy, upstream, method, path):
    upstream.asked.clear()
    assert sent_raw(proxy, method, path) in (301, 404)
    assert upstream.asked == []


def test_p4_what_leads_back_to_the_callback_arrives_as_the_callback(proxy, upstream):
    upstream.asked.clear()
    assert sent_raw(proxy, "POST", f"/api/v2/dags/../../..{CALLBACK}") == 200
    assert [path for _, path, *_ in upstream.asked] == [CALLBACK]


def test_a_body_that_is_too_long_does_not_pass(proxy, upstream):
    upstream.asked.clear()
    assert requests.post(proxy + CALLBACK, data=b" " * 70_000, timeout=10).status_code == 413
    assert upstream.asked == []


def test_the_page_tells_of_every_result_as_itsm_reads_it():
    told = re.findall(r"^\| `([a-z_]+)` \| .* \| (delivered|failed \(\d+\)) \|$", PAGE, re.MULTILINE)
    statuses = {one: answer(one)[0] for one in Result}
    assert dict(told) == {
        one: "delivered" if status == 200 else f"failed ({status})" for one, status in statuses.items()
    }


def test_the_page_names_the_keys_and_how_long_a_signature_lives():
    assert all(f"`{name}`" in PAGE for name in SIGNING_KEYS)
    assert f"{LIFE.days} days" in PAGE
