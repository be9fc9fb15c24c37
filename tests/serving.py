# SPDX-License-Identifier: Apache-2.0
"""An application served on this machine by one process with one event loop, as Airflow's API server does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp

from airflow_provider_bkitsm.sandbox.server import listening_socket, server_of
from demo.airflow_api import wait_until


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an application; yield its address."""
    socket = listening_socket("127.0.0.1", 0)
    server = server_of(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started, lambda: "not started", seconds=60)
    yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    socket.close()
