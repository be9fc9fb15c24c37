# SPDX-License-Identifier: Apache-2.0
"""A page of another site, in the browser of who runs a sandbox, reaches nothing."""

from __future__ import annotations

import http.client

import pytest


@pytest.fixture
def status(sandbox):
    """Return what the sandbox answers to a request with these headers."""

    def ask(method: str = "GET", path: str = "/", **headers: str | None) -> int:
        given = {"host": f"127.0.0.1:{sandbox.port}", **headers}
        connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=10)
        connection.putrequest(method, path, skip_host=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        answer = connection.getresponse()
        connection.close()
        return answer.status

    return ask


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST", "[::1]:{port}", "10.1.2.3"])
def test_programs_and_its_own_pages_are_served(status, sandbox, host):
    name = host.format(port=sandbox.port)
    assert status(host=name) == 200
    assert status(host=name, origin=f"http://{name}") == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example.com", "127.0.0.1.evil.example.com:{port}", "localhost.evil.example.com", "", None, "[::1"],
)
def test_a_name_that_an_enemy_lets_lead_here_is_refused(status, sandbox, host):
    assert status(host=host and host.format(port=sandbox.port)) == 403


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.com",
        "null",
        "http://localhost:{port}",
        "http://127.0.0.1",
        "http://127.0.0.1:{port}.evil.example.com",
        "file://127.0.0.1:{port}",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/", "/sandbox/tickets", "/api/bk-itsm/prod/v2/itsm/get_services/"])
def test_another_sites_page_is_refused_everywhere(status, sandbox, origin, path):
    assert status("POST", path, origin=origin.format(port=sandbox.port)) == 403
