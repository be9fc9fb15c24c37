# SPDX-License-Identifier: Apache-2.0
"""Something that takes callbacks and answers as a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OK = json.dumps({"result": True, "code": 0, "message": "success", "data": None})


@dataclass(kw_only=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(kw_only=True)
class Receiver:
    """Use as a context manager.

    :param meanwhile: called while the caller waits for the answer.
    """

    status: int = 200
    text: str = OK
    location: str | None = None
    meanwhile: Callable[[Received], None] | None = None
    received: list[Received] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Receiver:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def netloc(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.netloc}/callback"

    def wait(self) -> Received:
        """Return the first callback, once it has come."""
        assert self.arrived.wait(10)
        return self.received[0]

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length) or "null")
        got = Received(method=handler.command, path=handler.path, headers=dict(handler.headers), body=body)
        self.received.append(got)
        if self.meanwhile:
            self.meanwhile(got)
        redirect = self.location if handler.command == "POST" else None
        handler.send_response(302 if redirect else self.status)
        if redirect:
            handler.send_header("Location", redirect)
        handler.send_header("Content-Length", str(len(self.text.encode())))
        handler.end_headers()
        handler.wfile.write(self.text.encode())
        self.arrived.set()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                receiver._take(self)

            do_POST = do_GET

            def log_message(self, *_args: Any) -> None:
                pass

        return Handler
