# SPDX-License-Identifier: Apache-2.0
"""Airflow's trigger runner in a process of its own, with a supervisor that keeps everything in memory.

``TriggerRunner`` is Airflow's own, and so is the way it talks to its supervisor; only the database behind that one
is left out. What triggers do is thus measured as it happens in ``airflow triggerer``, and nothing else is.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psutil

from demo.processes import environment

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

_TICK_SECONDS = 0.001
_LONGEST_KEPT = 5
_LOG = "triggerer.log"
_FULL = 2
_SIGNALS = {"forget": signal.SIGUSR1, "report": signal.SIGUSR2}
_SETTINGS = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
}


class Triggerer:
    """A running trigger runner; use as a context manager.

    :param env: more environment, such as ``AIRFLOW_CONN_...``.
    """

    def __init__(self, *, env: Mapping[str, str]) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="bkitsm-")
        self._env = {**environment(Path(self._home.name)), "AIRFLOW_HOME": self._home.name, **_SETTINGS, **env}
        self.events: list[tuple[float, int, dict[str, Any]]] = []
        self.failures: list[Any] = []
        self.xcoms = 0
        self._ready = False
        self._to_create: list[Any] = []
        self._unsettled = False

    def __enter__(self) -> Triggerer:
        from airflow.configuration import conf

        ours, theirs = socket.socketpair()
        self._socket = ours
        # The triggers' arguments are encrypted on this side and decrypted on the other.
        key = {"AIRFLOW__CORE__FERNET_KEY": str(conf.get("core", "fernet_key"))}
        self._popen: subprocess.Popen[bytes] = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.triggerer"],
            env=self._env | key,
            stdin=theirs.fileno(),
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        theirs.close()
        self._process = psutil.Process(self._popen.pid)
        self._send(0, {"type": "StartTriggerer"})
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._popen.kill()
        self._popen.wait()
        self._socket.close()
        self._home.cleanup()

    def add(self, triggers: Iterable[BaseTrigger], *, first_id: int = 1) -> None:
        """Let the runner create triggers, each for a task instance that does not exist."""
        from airflow.models.trigger import Trigger

        rows = (one.serialize() for one in triggers)
        self._to_create += [
            {
                "id": number,
                "classpath": classpath,
                "encrypted_kwargs": Trigger.encrypt_kwargs(arguments),
                "ti": _task_instance(number),
                "type": "RunTrigger",
            }
            for number, (classpath, arguments) in enumerate(rows, first_id)
        ]

    def wait_ready(self) -> None:
        """Wait until the runner has reported for the first time and rests."""
        self.wait_for(lambda: self._ready)
        time.sleep(1)

    def wait_created(self) -> None:
        """Wait until the runner has taken over every trigger and has come to its next report."""
        self.wait_for(lambda: not (self._to_create or self._unsettled))

    def wait_for(self, done: Callable[[], bool], seconds: float = 300) -> None:
        """Wait until something is so.

        :raises RuntimeError: the runner has ended, or it takes too long.
        """
        end = time.monotonic() + seconds
        while not done():
            if self._popen.poll() is not None or time.monotonic() > end:
                tail = Path(self._home.name, _LOG).read_text()[-2000:]
                raise RuntimeError(f"the trigger runner has ended or does not start its triggers: {tail}")
            time.sleep(0.05)

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far."""
        return float(sum(self._process.cpu_times()[:2]))

    @property
    def memory(self) -> int:
        """Bytes of memory that are this process's own."""
        return int(self._process.memory_full_info().uss)

    def forget_stalls(self) -> None:
        """Begin to measure stalls anew."""
        self._ask("forget")

    def stalls(self) -> dict[str, list[float]]:
        """Return the longest stalls of the event loop in seconds, longest first, by kind (see ``Stalls``)."""
        found: dict[str, list[float]] = self._ask("report")
        return found

    def _ask(self, what: str) -> Any:
        # Over the event loop's own signal handlers: a thread of its own would compete with what is measured.
        self._process.send_signal(_SIGNALS[what])
        assert self._popen.stdout is not None
        return json.loads(self._popen.stdout.readline())

    def _serve(self) -> None:
        import msgspec
        from airflow.sdk.execution_time.comms import _RequestFrame

        decoder = msgspec.msgpack.Decoder(_RequestFrame)
        stream = self._socket.makefile("rb")
        with suppress(OSError):  # the runner has been ended
            while header := stream.read(4):
                frame = decoder.decode(stream.read(int.from_bytes(header, "big")))
                self._send(frame.id, self._answer(frame.body or {}))

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["type"] != "TriggerStateChanges":
            self.xcoms += body["type"] == "SetXCom"
            return {"type": "OKResponse", "ok": True}
        now, self._ready = time.monotonic(), True
        self.events += [(now, number, event) for number, event, _ in body["events"] or ()]
        self.failures += body["failures"] or ()
        ready, self._to_create = self._to_create, []
        self._unsettled = bool(ready)
        return {"type": "TriggerStateSync", "to_create": ready, "to_cancel": [], "events_persisted": None}

    def _send(self, number: int, body: dict[str, Any]) -> None:
        from airflow.sdk.execution_time.comms import _ResponseFrame

        with suppress(OSError):  # the runner has been ended
            self._socket.sendall(_ResponseFrame(id=number, body=body).as_bytes())


class Stalls:
    """How long the event loop keeps a callback waiting that is due.

    ``wall`` is what the callback sees, other processes on the same cores included; ``cpu`` is the time the
    loop's own thread computed meanwhile, which other processes do not lengthen. ``full`` are Python's full
    collections of garbage (CPU), which grow with all that lives in the process; ``between`` is ``cpu`` without
    those.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.forget()
        self._again()
        gc.callbacks.append(self._collecting)

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        if info["generation"] < _FULL:
            return
        if phase == "start":
            self._began = time.thread_time()
            return
        seconds = time.thread_time() - self._began
        self._cpu_in_full += seconds
        self._keep("full", seconds)

    def forget(self) -> None:
        """Begin anew."""
        self.longest: dict[str, list[float]] = {kind: [0.0] for kind in ("wall", "cpu", "between", "full")}

    def _again(self) -> None:
        self._due, self._cpu, self._cpu_in_full = time.monotonic() + _TICK_SECONDS, time.thread_time(), 0.0
        self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        cpu = time.thread_time() - self._cpu
        self._keep("wall", time.monotonic() - self._due)
        self._keep("cpu", cpu)
        self._keep("between", cpu - self._cpu_in_full)
        self._again()

    def _keep(self, kind: str, seconds: float) -> None:
        kept = self.longest[kind]
        if seconds > kept[-1] or len(kept) < _LONGEST_KEPT:
            self.longest[kind] = sorted([*kept, seconds], reverse=True)[:_LONGEST_KEPT]


def _task_instance(number: int) -> dict[str, Any]:
    return {
        "id": str(UUID(int=number)),
        "dag_id": "benchmark",
        "run_id": f"manual__{number}",
        "task_id": "wait",
        "try_number": 1,
        "map_index": -1,
        "dag_version_id": str(UUID(int=0)),
        "pool_slots": 1,
        "priority_weight": 1,
        "queue": "default",
    }


def main() -> None:
    """Run the trigger runner; the supervisor is at file descriptor 0."""
    from airflow.jobs.triggerer_job_runner import TriggerRunner
    from airflow.listeners.listener import get_listener_manager
    from airflow.sdk.log import configure_logging

    report_to = os.fdopen(os.dup(1), "w", buffering=1)
    log = Path(os.environ["AIRFLOW_HOME"], _LOG).open("wb")  # noqa: SIM115 - open as long as the process
    configure_logging(json_output=True, output=log)

    # As ``airflow triggerer`` does before it forks the runner: this loads the plugins.
    sys.argv[1:] = ["triggerer"]
    get_listener_manager().hook.on_starting(component=None)

    class Measured(TriggerRunner):
        async def init_comms(self) -> None:
            await super().init_comms()  # type: ignore[no-untyped-call]
            loop, stalls = asyncio.get_running_loop(), None

            def begin() -> None:
                nonlocal stalls
                stalls = stalls or Stalls()
                stalls.forget()
                print("{}", file=report_to)

            loop.add_signal_handler(_SIGNALS["forget"], begin)
            loop.add_signal_handler(
                _SIGNALS["report"], lambda: print(json.dumps(stalls.longest if stalls else {}), file=report_to)
            )

    Measured().run()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
