# SPDX-License-Identifier: Apache-2.0
"""A gateway in front of the sandbox that can hold chosen requests: the flow then stands still at a known point."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer

import requests

from tests.forwarding import Forwarder

_HELD_SECONDS = 180


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request.

    :param path: with its query.
    :param by_worker: a worker's client sent it (``requests``), not the triggerer's or API server's (``httpx``).
    """

    path: str
    text: str
    by_worker: bool


Wanted = Callable[[Seen], bool]


@dataclass(eq=False, kw_only=True)
class Hold:
    """One request that is to be held, once.

    :param after: it is carried out at once, and its answer held.
    :param cut: what to do when it may go on: cut the connection instead.
    """

    wanted: Wanted
    after: bool = False
    cut: bool = False
    taken: bool = False
    reached: threading.Event = field(default_factory=threading.Event)
    may_go: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> bool:
        """Stand still; then whether to go on."""
        self.reached.set()
        self.may_go.wait(_HELD_SECONDS)
        return not self.cut


class Turnstile:
    """Use as a context manager; ``url`` is what connections to the sandbox name instead of it."""

    def __init__(self, upstream: str) -> None:
        self._holds: list[Hold] = []
        self._seen: list[Seen] = []
        self._lock = threading.Lock()
        handler = type("Handler", (_Held,), {"upstream": upstream, "turnstile": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Turnstile:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.release(cut=True)
        self._server.shutdown()
        self._server.server_close()

    def hold(self, wanted: Wanted, *, after: bool = False) -> Hold:
        """Hold the next request that is wanted."""
        hold = Hold(wanted=wanted, after=after)
        with self._lock:
            self._holds.append(hold)
        return hold

    def release(self, *, cut: bool = False) -> None:
        """Let all that is held go on, or cut it as the end of the server behind does; hold nothing more."""
        with self._lock:
            holds, self._holds = self._holds, []
        for hold in holds:
            hold.cut = cut
            hold.may_go.set()

    def count(self, wanted: Wanted) -> int:
        """Count the requests that came so far."""
        with self._lock:
            seen = list(self._seen)
        return sum(map(wanted, seen))

    def take(self, seen: Seen) -> Hold | None:
        """Take in a request; return what is to hold it, if anything."""
        with self._lock:
            self._seen.append(seen)
            open_holds = [one for one in self._holds if not one.taken]
        # Outside the lock: what is wanted may be something the sandbox has to be asked.
        return next((one for one in open_holds if one.wanted(seen) and self._claim(one)), None)

    def _claim(self, hold: Hold) -> bool:
        with self._lock:
            mine, hold.taken = not hold.taken, True
        return mine


class _Held(Forwarder):
    turnstile: Turnstile

    def do_GET(self) -> None:
        body = self.asked()
        by_worker = self.headers.get("User-Agent", "").startswith("python-requests")
        seen = Seen(path=self.path, text=body.decode("utf-8", "replace"), by_worker=by_worker)
        # Whoever asked may be gone by now, and the server behind as well: both get no answer.
        with suppress(OSError, requests.RequestException):
            self._pass(body, self.turnstile.take(seen))

    do_POST = do_PUT = do_DELETE = do_GET

    def _pass(self, body: bytes, hold: Hold | None) -> None:
        if hold and not hold.after and not hold.wait():
            return
        said = self.forward(body)
        if hold and hold.after and not hold.wait():
            return
        self.answer(said)
