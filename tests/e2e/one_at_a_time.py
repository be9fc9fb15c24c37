# SPDX-License-Identifier: Apache-2.0
"""A server in front of another one that handles one request at a time, like an ITSM with a single worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer

from tests.forwarding import Forwarder


@contextmanager
def one_at_a_time(url: str) -> Iterator[str]:
    """Serve another server; give the address."""
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (Forwarder,), {"upstream": url}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
