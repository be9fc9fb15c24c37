# SPDX-License-Identifier: Apache-2.0
"""Passing requests on to another server, for servers that stand in front of one."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import Any

import requests

_NOT_PASSED_ON = frozenset({"host", "connection", "content-length", "accept-encoding", "transfer-encoding"})


class Forwarder(BaseHTTPRequestHandler):
    """Passes everything on.

    HTTP/1.0, the class's default, ends each connection: nobody keeps a single worker to himself.
    """

    upstream: str

    def do_GET(self) -> None:
        self.answer(self.forward(self.asked()))

    do_POST = do_PUT = do_DELETE = do_GET

    def asked(self) -> bytes:
        """Read the request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def forward(self, body: bytes) -> requests.Response:
        """Ask the server behind."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PASSED_ON}
        return requests.request(self.command, self.upstream + self.path, data=body, headers=headers, timeout=60)

    def answer(self, said: requests.Response) -> None:
        """Say what the server behind said."""
        self.send_response(said.status_code)
        for name, value in said.headers.items():
            if name.lower() not in _NOT_PASSED_ON | {"content-encoding"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(said.content)))
        self.end_headers()
        self.wfile.write(said.content)

    def log_message(self, *_args: Any) -> None:
        pass
