# SPDX-License-Identifier: Apache-2.0
"""Processes that leave nothing behind: each in its own session, ended together, stragglers found by their home."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

# Every process of one demo carries this in its environment, whatever session it moved itself to.
MARK = "BKITSM_DEMO_HOME"
_LOCK = ".lock"
_TERM_SECONDS = 10.0
_LOG_LINES = 40
_OWN_PORTS = (20000, 32000)
# Several processes choose at once; a seed set for a test must not give them the same ports.
_RANDOM = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on at the moment, all different.

    The system gives ports above these to clients and to whoever asks for any. A port of that range may be
    taken again before the server it was chosen for listens.
    """
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = _RANDOM.randrange(*_OWN_PORTS)
            with suppress(OSError):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
                ports.append(port)
        return ports


def environment(home: Path) -> dict[str, str]:
    """Return this process's environment without its own Airflow's settings, marked, and past any proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    direct = ",".join(filter(None, (kept.get("NO_PROXY"), "127.0.0.1", "localhost")))
    # A process that sets its title overwrites its environment as others see it, unless told not to.
    return {**kept, "NO_PROXY": direct, "no_proxy": direct, MARK: str(home), "SPT_NOENV": "1"}


@contextmanager
def ends_orderly() -> Iterator[None]:
    """Leave the block through its clean-up when asked to end."""
    with _handling((signal.SIGTERM, signal.SIGHUP), lambda number, _frame: sys.exit(128 + number)):
        yield


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let no second Ctrl-C stop the clean-up the first one began."""
    with _handling((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), signal.SIG_IGN):
        yield


@contextmanager
def _handling(numbers: tuple[signal.Signals, ...], handler: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it is interrupted
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold a home for this process only.

    :raises SystemExit: somebody else uses it.
    """
    with (home / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SystemExit(f"{home} is in use by another demo; stop that one first") from None
        yield


def empty(home: Path) -> None:
    """Remove what an earlier use left in a home, but for its lock."""
    for entry in home.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != _LOCK:
            entry.unlink()


class Process:
    """A program with its log in a file.

    :param name: what error messages and the log file call it.
    """

    def __init__(self, *, name: str, command: Sequence[str], env: Mapping[str, str], logs: Path) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise when it has ended by itself."""
        if self.has_ended:
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

    def kill_tree(self) -> None:
        """End it and all its descendants at once, as ``kill -9`` does."""
        kill_tree(self._popen.pid)
        self._popen.wait()

    def kill_alone(self) -> None:
        """End this process only, at once; what it started lives on."""
        self._popen.kill()
        self._popen.wait()

    @contextmanager
    def stands_still(self) -> Iterator[None]:
        """Let this process do nothing meanwhile; what it started goes on."""
        os.kill(self._popen.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._popen.pid, signal.SIGCONT)

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self._popen.poll() is not None

    def wait(self, seconds: float) -> bool:
        """Wait for its end; False when it takes longer."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)
        return self.has_ended


def kill_tree(pid: int) -> None:
    """Kill a process and all its descendants, whatever group or session they moved themselves to.

    They are stopped first, until no new one shows: else one could start another that is not seen.
    """
    tree: set[psutil.Process] = set()
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        while fresh := {root, *root.children(recursive=True)} - tree:
            _each(fresh, psutil.Process.suspend)
            tree |= fresh
    _each(tree, psutil.Process.kill)
    # The caller waits for its own child.
    psutil.wait_procs([one for one in tree if one.pid != pid], timeout=_TERM_SECONDS)


def _each(processes: Iterable[psutil.Process], do: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            do(process)


def end(process: Process) -> None:
    """End one process and its group."""
    process.interrupt()
    process.wait(_TERM_SECONDS)
    process.kill()


def stop_all(processes: Sequence[Process], *, home: Path) -> None:
    """End the processes and everything they started, wherever that moved itself to."""
    with _uninterrupted():
        for process in processes:
            process.interrupt()
        for process in processes:
            process.wait(_TERM_SECONDS)
            process.kill()
        stragglers = list(marked_with(home))
        _each(stragglers, psutil.Process.kill)
        psutil.wait_procs(stragglers, timeout=_TERM_SECONDS)


def marked_with(home: Path) -> Iterator[psutil.Process]:
    """Yield the processes that carry this home's mark, this one excepted."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            marked = process.environ().get(MARK) == str(home)
            if marked and process.pid != os.getpid():
                yield process
