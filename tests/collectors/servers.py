# SPDX-License-Identifier: Apache-2.0
"""Servers of our own: started on a free port in a temporary directory, stopped and removed after."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from demo.processes import free_ports, kill_tree
from tests.once import run_folder

START_SECONDS = 60
# For TLS, which the server does not speak, the driver reads the machine's certificates at each connection: 20 ms.
_PLAIN = "ssl_disabled=true"


def find_binary(*names: str) -> str | None:
    """Return the first of these programs; Debian keeps PostgreSQL's out of the path, newest version last."""
    kept = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *kept])
    return next(filter(None, (shutil.which(name, path=path) for name in names)), None)


@contextmanager
def postgres() -> Iterator[str]:
    """Run PostgreSQL and give its URL."""
    with postgres_server() as server:
        yield server.url


@contextmanager
def postgres_server(**settings: str) -> Iterator[Server]:
    """Run PostgreSQL; give it, to be killed and started again on the same data.

    :param settings: more of the server's settings.
    """
    initdb, program = find_binary("initdb"), find_binary("postgres")
    if initdb is None or program is None:
        pytest.skip("no PostgreSQL server binaries (initdb, postgres) on this machine")
    with temporary_home("postgres") as (home, user):
        data = home / "data"
        _run([initdb, "-D", str(data), "-A", "trust", "-U", "tester", "--no-sync"], home, user)
        (port,) = free_ports(1)
        options = ["-p", str(port), "-k", str(home)]
        # Nothing here is worth compiling a query for.
        quick = {"fsync": "off", "jit": "off"}
        for name, value in {"listen_addresses": "127.0.0.1", **quick, **settings}.items():
            options += ["-c", f"{name}={value}"]
        url = f"postgresql+psycopg2://tester@127.0.0.1:{port}/postgres"
        # "Fast": PostgreSQL's end on SIGTERM waits for a pool that a process keeps open.
        command = [program, "-D", str(data), *options]
        with Server(command, home, user, port, url=url, ready=_answering, ends_by=signal.SIGINT) as server:
            yield server


@contextmanager
def shared(name: str, serve: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """Give the URL of a server for all processes of a run: the first starts it, and ends it after the last."""
    url = run_folder() / f"{name}.url"
    with ExitStack() as stack:
        users = stack.enter_context(url.with_suffix(".users").open("w"))
        with url.with_suffix(".lock").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            is_first = not url.exists()
            if is_first:
                url.write_text(stack.enter_context(serve()))
        yield url.read_text()
        if is_first:
            fcntl.flock(users, fcntl.LOCK_EX)
            url.unlink()


@contextmanager
def own_database(url: str) -> Iterator[str]:
    """Make an empty database on a server that is shared; give its URL, and drop it in the end."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url

    name = f"own_{uuid4().hex}"
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
        with server.connect() as connection:
            force = " WITH (FORCE)" if server.dialect.name == "postgresql" else ""
            connection.execute(text(f"DROP DATABASE {name}{force}"))
    finally:
        server.dispose()


@contextmanager
def redis_server() -> Iterator[Server]:
    """Run Redis; it keeps nothing when it ends."""
    program = find_binary("redis-server")
    if program is None:
        pytest.skip("no redis-server binary on this machine")
    (port,) = free_ports(1)
    with temporary_home(None) as (home, user):
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--save", ""]
        with Server([program, *options], home, user, port, url=f"redis://127.0.0.1:{port}/0") as server:
            yield server


@contextmanager
def mariadb() -> Iterator[str]:
    """Run MariaDB and give its URL."""
    install, server = find_binary("mariadb-install-db"), find_binary("mariadbd")
    if install is None or server is None:
        pytest.skip("no MariaDB server binaries (mariadb-install-db, mariadbd) on this machine")
    with temporary_home("mysql") as (home, user):
        data = f"--datadir={home / 'data'}"
        # As PostgreSQL's `fsync=off`: each table that is made would wait for the disk many times.
        unsynced = ["--innodb-flush-method=nosync", "--innodb-doublewrite=0"]
        _run([install, "--no-defaults", data, "--auth-root-authentication-method=normal", *unsynced], home, user)
        (port,) = free_ports(1)
        options = [f"--port={port}", f"--socket={home / 'sock'}", "--bind-address=127.0.0.1"]
        options += [f"--pid-file={home / 'pid'}", "--innodb-flush-log-at-trx-commit=0", *unsynced]
        with served([server, "--no-defaults", data, *options], home, user, port):
            yield _answering(f"mysql+pymysql://root@127.0.0.1:{port}/test?{_PLAIN}")


@contextmanager
def temporary_home(account: str | None) -> Iterator[tuple[Path, str | None]]:
    """Give a directory and the account to run as: database servers refuse to run as root."""
    user = account if os.geteuid() == 0 else None
    if user is not None and user not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip(f"running as root, and there is no account {user!r} to run the server as")
    home = Path(tempfile.mkdtemp(prefix="bkitsm-"))
    if user is not None:
        shutil.chown(home, user)
    try:
        yield home, user
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _run(command: list[str], home: Path, user: str | None) -> None:
    subprocess.run(command, cwd=home, user=user, check=True, capture_output=True, timeout=START_SECONDS)


@contextmanager
def served(command: list[str], home: Path, user: str | None, port: int) -> Iterator[None]:
    with Server(command, home, user, port):
        yield


class Server:
    """A server on a port; use as a context manager.

    :param url: where clients find it.
    :param ready: waits until it lets clients in, which may be after the port listens.
    :param ends_by: the signal that ends it without waiting for its clients.
    """

    def __init__(
        self,
        command: list[str],
        home: Path,
        user: str | None,
        port: int,
        *,
        url: str = "",
        ready: Callable[[str], object] = lambda _url: None,
        ends_by: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.url = url
        self._command, self._home, self._user, self._port, self._ready = command, home, user, port, ready
        self._ends_by = ends_by

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.send_signal(self._ends_by)
        self._process.wait(timeout=START_SECONDS)

    def start(self) -> None:
        """Start it, and wait until clients are let in."""
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._home, user=self._user, stdout=log, stderr=log
            )
        try:
            _wait(lambda: _listens(self._port), self._process, self._home)
            self._ready(self.url)
        except BaseException:
            self.__exit__()
            raise

    def kill(self) -> None:
        """End it and all its processes at once, as ``kill -9`` does; ``start`` brings it back."""
        kill_tree(self._process.pid)
        self._process.wait()


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start: {(home / 'log').read_text(errors='replace')}")
        time.sleep(0.05)


def _answering(url: str) -> str:
    """Return the URL once a connection works: a port may listen before the server lets anybody in."""
    from sqlalchemy.exc import OperationalError

    from airflow_provider_bkitsm.collectors.database import server_engine

    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with server_engine(url).connect():
                return url
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
