# SPDX-License-Identifier: Apache-2.0
"""A sandbox in this process: for tests, and for anybody who wants one without a second terminal."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Self

from airflow_provider_bkitsm.sandbox.app import create_app
from airflow_provider_bkitsm.sandbox.control import SandboxControl, wait_until
from airflow_provider_bkitsm.sandbox.serving import listening_socket, server_of
from airflow_provider_bkitsm.sandbox.settings import Settings

_HOST = "127.0.0.1"
_STARTUP_SECONDS = 15.0
_QUICK = Settings(start_delay=0.05)


class SandboxServer(SandboxControl):
    """A sandbox on a free port of this machine, served by a thread; use as a context manager.

    Its methods do what a person or another client would do.

    :param settings: ``public_url`` is replaced by the real address.
    :param port: for a restart on the same address; 0 takes a free one.
    """

    def __init__(self, settings: Settings | None = None, *, port: int = 0) -> None:
        self._socket = listening_socket(_HOST, port)
        self.port: int = self._socket.getsockname()[1]
        url, settings = f"http://{_HOST}:{self.port}", settings or _QUICK
        super().__init__(url, app_code=settings.app_code, app_secret=settings.app_secret)
        self.settings = replace(settings, public_url=url)
        self._server = server_of(create_app(self.settings))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def start(self) -> Self:
        """Serve; returns when it answers."""
        self._thread.start()
        wait_until(lambda: self._server.started, _STARTUP_SECONDS, "the sandbox did not start")
        return self

    def stop(self) -> None:
        """Stop serving; the state survives in ``settings.database``."""
        self._server.should_exit = True
        self._thread.join(_STARTUP_SECONDS)
        self._http.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()
