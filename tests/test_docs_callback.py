"""The reverse proxy of the documentation lets callbacks through, and nothing else of Airflow."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.sandbox.receiver import Receiver

DOCS = Path(__file__).parents[1] / "docs" / "callback.md"
(SNIPPET,) = re.findall(r"```nginx\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
CALLBACK = "/bkitsm/callback/bkitsm_default/0123456789abcdef/1800000000"
CONFIG = """
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {snippet}
    }}
}}
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    while True:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)


@pytest.fixture
def airflow() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture
def proxy(airflow: Receiver, tmp_path: Path) -> Iterator[str]:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    snippet = SNIPPET.replace("airflow-api-server:8080", airflow.netloc)
    config = tmp_path / "nginx.conf"
    config.write_text(CONFIG.format(home=tmp_path, port=port, snippet=snippet))
    running = subprocess.Popen([nginx, "-c", str(config), "-p", str(tmp_path), "-e", str(tmp_path / "error.log")])
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait()


def test_a_callback_comes_through_with_its_signature(proxy, airflow):
    answer = requests.post(
        f"{proxy}{CALLBACK}", json={"sn": "REQ1"}, headers={"X-Bkitsm-Signature": "v1=abc"}, timeout=10
    )
    assert answer.json()["code"] == 0
    (got,) = airflow.received
    assert (got.path, got.body, got.headers["X-Bkitsm-Signature"]) == (CALLBACK, {"sn": "REQ1"}, "v1=abc")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", CALLBACK, 403),
        ("PUT", CALLBACK, 403),
        ("GET", "/", 404),
        ("POST", "/api/v2/dags", 404),
        ("POST", "/auth/token", 404),
        ("GET", "/bkitsm/approvals", 404),
        ("POST", "/bkitsm/callback/../../api/v2/dags", 404),
    ],
)
def test_nothing_else_does(proxy, airflow, method, path, status):
    request = requests.Request(method, proxy).prepare()
    request.url = proxy + path
    with requests.Session() as session:
        assert session.send(request, timeout=10).status_code == status
    assert airflow.received == []


def test_a_body_that_is_too_large_does_not(proxy, airflow):
    assert requests.post(f"{proxy}{CALLBACK}", data=b"x" * 70_000, timeout=10).status_code == 413
    assert airflow.received == []
