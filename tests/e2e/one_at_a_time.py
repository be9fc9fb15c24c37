"""A server in front of another one that handles one request at a time, like an ITSM with a single worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import requests

_NOT_PASSED_ON = frozenset({"host", "connection", "content-length", "accept-encoding", "transfer-encoding"})


@contextmanager
def one_at_a_time(url: str) -> Iterator[str]:
    """Serve another server; give the address."""
    server = HTTPServer(("127.0.0.1", 0), _handler(url))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _handler(url: str) -> type[BaseHTTPRequestHandler]:
    # HTTP/1.0, the class's default, ends each connection: nobody keeps the only worker to himself.
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PASSED_ON}
            said = requests.request(self.command, url + self.path, data=body, headers=headers, timeout=60)
            self.send_response(said.status_code)
            for name, value in said.headers.items():
                if name.lower() not in _NOT_PASSED_ON | {"content-encoding"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(said.content)))
            self.end_headers()
            self.wfile.write(said.content)

        do_POST = do_GET

        def log_message(self, *_args: Any) -> None:
            pass

    return Handler
