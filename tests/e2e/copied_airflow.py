# SPDX-License-Identifier: Apache-2.0
"""An Airflow that starts with less CPU: its tables are a copy, and its components share what they import."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from demo.local_airflow import COMPONENTS, LocalAirflow
from demo.processes import Process
from tests.plugins.database import make_tables

# As `python -m airflow`, but for the quarter of each start that goes into looking for garbage among the modules.
_AIRFLOW = """
import gc, runpy
gc.set_threshold(100_000)
runpy.run_module("airflow", run_name="__main__", alter_sys=True)
"""
# What tells components apart; all else of their environment may have been read by what they share.
_OF_A_COMPONENT = "LOGNAME"
# As `airflow db migrate` does where the template is another one than before.
_LOGS_ARE_NAMED = (
    "INSERT INTO log_template (filename, elasticsearch_id, created_at)"
    " SELECT :template, elasticsearch_id, created_at FROM log_template ORDER BY id DESC LIMIT 1"
)


class Nest:
    """The process that becomes components; see ``nest.py``.

    :param env: of all of them.
    """

    def __init__(self, env: Mapping[str, str], logs: Path) -> None:
        self.env = dict(env)
        self._socket, theirs = socket.socketpair()
        # As a text: Python's path is to be that of `python -m airflow`.
        program = Path(__file__).with_name("nest.py").read_text()
        with theirs, (logs / "nest.log").open("ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, "-c", program, str(theirs.fileno())],
                env=self.env,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._answers = self._socket.makefile("r")

    def ask(self, **question: Any) -> Any:
        """Return its answer.

        :raises OSError: it has ended.
        """
        self._socket.sendall(f"{json.dumps(question)}\n".encode())
        answer = self._answers.readline()
        if not answer:
            raise ConnectionResetError("the process that becomes Airflow's components has ended; see nest.log")
        return json.loads(answer)

    def end(self) -> None:
        """End it; what it has become lives on."""
        self._answers.close()
        self._socket.close()
        self._popen.kill()
        self._popen.wait()


class _Component:
    """One that the nest has become, as ``subprocess.Popen`` has it."""

    def __init__(self, nest: Nest, command: list[str], env: Mapping[str, str], log: Path) -> None:
        self._nest = nest
        self.pid: int = nest.ask(command=command, env=dict(env), log=str(log))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                self.returncode = self._nest.ask(ended=self.pid)
            except (OSError, ValueError):
                # With the nest, whatever was left of its home was killed.
                self.returncode = -signal.SIGKILL
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(0.05)
        return code

    def kill(self) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class _Forked(Process):
    """A component of Airflow that the nest becomes."""

    def __init__(self, nest: Nest, *, name: str, command: list[str], env: Mapping[str, str], logs: Path) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        self.log.touch()
        self._popen: Any = _Component(nest, command, env, self.log)


class CopiedAirflow(LocalAirflow):
    """Its processes are as real as any, and each can be killed and started alone."""

    command = (sys.executable, "-c", _AIRFLOW)
    _nest: Nest | None = None

    def migrate(self) -> None:
        """Make its tables where there are none, and write in them how its logs are named."""
        engine = create_engine(self.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], poolclass=NullPool)
        if inspect(engine).has_table("log_template"):
            return
        make_tables(engine.url.render_as_string(hide_password=False))
        template = self.env.get("AIRFLOW__LOGGING__LOG_FILENAME_TEMPLATE")
        if template is not None:
            with engine.begin() as connection:
                connection.execute(text(_LOGS_ARE_NAMED), {"template": template})

    def stop(self) -> None:
        """End everything; the next start imports anew, as after an upgrade."""
        super().stop()
        if self._nest is not None:
            self._nest.end()
            self._nest = None

    def _process(self, component: str, env: Mapping[str, str], log: str | None = None) -> Process:
        if dict(env) != self.env or component not in COMPONENTS:
            return super()._process(component, env, log)
        if self._nest is None:
            self._nest = Nest(self.env, self.process_logs)
        name = log or component
        known = {**env, _OF_A_COMPONENT: name}
        command = ["airflow", *COMPONENTS[component]]
        return _Forked(self._nest, name=name, command=command, env=known, logs=self.process_logs)
