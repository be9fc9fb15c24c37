"""Processes that leave nothing behind: each in its own session, ended together, stragglers found by their home."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

# Every process of one demo carries this in its environment, whatever session it moved itself to.
MARK = "BKITSM_DEMO_HOME"
_TERM_SECONDS = 10.0
_LOG_LINES = 40


def free_port() -> int:
    """Return a port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A program with its log in a file.

    :param name: what error messages and the log file call it.
    """

    def __init__(self, *, name: str, command: Sequence[str], env: Mapping[str, str], logs: Path) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                command, env=dict(env), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def check(self) -> None:
        """Raise when it has ended by itself."""
        if self._popen.poll() is not None:
            raise RuntimeError(f"{self.name} ended with status {self._popen.returncode}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])

    def interrupt(self) -> None:
        """Ask its whole group to end."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End its whole group at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def wait(self, seconds: float) -> bool:
        """Wait for its end; False when it takes longer."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)
        return self._popen.poll() is not None


def stop_all(processes: Sequence[Process], *, home: Path) -> None:
    """End the processes and everything they started."""
    for process in processes:
        process.interrupt()
    for process in processes:
        process.wait(_TERM_SECONDS)
        process.kill()
    for straggler in marked_with(home):
        with suppress(psutil.NoSuchProcess):
            straggler.kill()
            straggler.wait(_TERM_SECONDS)


def marked_with(home: Path) -> Iterator[psutil.Process]:
    """Yield the processes that carry this home's mark, this one excepted."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            marked = process.environ().get(MARK) == str(home)
            if marked and process.pid != os.getpid():
                yield process
