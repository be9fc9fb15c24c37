# SPDX-License-Identifier: Apache-2.0
"""How long a person waits for a page while somebody floods the callback endpoint.

    python -m benchmarks.callback_flood [--before COMMIT]

Airflow's API server with one process, PostgreSQL, and an ITSM that takes 300 ms for every request. A person opens
the list of approvals and the page of a ticket in turns: first alone, then while callers post 2,000 callbacks that
have no signature, and then while they replay one genuine callback 400 times, each over a connection of its own. An
API server that runs the package of an earlier commit takes turns with this one.
"""

from __future__ import annotations

import argparse
import http.client
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import cycle
from statistics import median
from urllib.parse import urlsplit

from airflow_provider_bkitsm.hooks.connection import read_gateway
from benchmarks.callback_endpoint import (
    CONN_ID,
    EARLIER,
    FORMER,
    NOW,
    SLOW_SECONDS,
    Post,
    Rows,
    api_server,
    approved,
    earlier_api_server,
    quantile,
)
from benchmarks.report import machine, publish
from benchmarks.sandbox_throughput import quick_sandbox
from demo.processes import ends_orderly
from tests.collectors.servers import postgres
from tests.plugins.rows import DAG

SECTION = "callback_flood"
IDLE, UNSIGNED, REPLAYED = "alone", "2,000 unsigned callbacks", "400 replays of one callback"
SIZES = {UNSIGNED: 2_000, REPLAYED: 400}
CALLERS, RATE = 8, 200
LOOKS, WAITING, ROUNDS = 40, 500, 2
LIMIT = 1.5


@dataclass(kw_only=True)
class Looks:
    """Seconds for each page of a person, and for all callbacks of a flood."""

    seconds: list[float] = field(default_factory=list)
    flood: float = 0.0
    statuses: set[int] = field(default_factory=set)

    def add(self, other: Looks) -> None:
        """Add another round."""
        self.seconds += other.seconds
        self.flood += other.flood
        self.statuses |= other.statuses


class Visitor:
    """A person who is signed in to one API server, and the callers who flood it.

    :param pages: what the person opens in turns.
    """

    def __init__(self, *, url: str, authorization: str, pages: Sequence[str]) -> None:
        self._host = urlsplit(url).netloc
        self._headers = {"Authorization": authorization}
        self._pages = pages

    def look(self, until: threading.Event) -> list[float]:
        """Open pages until somebody says stop, and at least so many."""
        taken: list[float] = []
        for page in cycle(self._pages):
            began = time.monotonic()
            status = self._send(Post(method="GET", path=page, headers=self._headers, body=b""))
            taken.append(time.monotonic() - began)
            assert status == HTTPStatus.OK, (page, status)
            if until.is_set() and len(taken) >= LOOKS:
                return taken
            time.sleep(0.05)
        raise AssertionError

    def measure(self, flood: Sequence[Post]) -> Looks:
        """Look while callers post a flood, at most ``RATE`` a second."""
        done = threading.Event()
        with ThreadPoolExecutor(CALLERS + 1) as pool:
            looking = pool.submit(self.look, done)
            began = time.monotonic()
            due = (began + place / RATE for place in range(len(flood)))
            statuses = set(pool.map(self._post, flood, due))
            taken = time.monotonic() - began
            done.set()
            return Looks(seconds=looking.result(), flood=taken, statuses=statuses)

    def _post(self, post: Post, due: float) -> int:
        time.sleep(max(0.0, due - time.monotonic()))
        return self._send(post)

    def _send(self, post: Post) -> int:
        connection = http.client.HTTPConnection(self._host, timeout=60)
        connection.request(post.method, post.path, post.body or None, dict(post.headers))
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status


def measure(before: str) -> dict[tuple[str, str], Looks]:
    """Return what was measured, by version and flood."""
    from airflow.sdk import Connection

    measured = {(version, kind): Looks() for kind in (IDLE, *SIZES) for version in (EARLIER, NOW)}
    with ends_orderly(), ExitStack() as stack:
        sandbox, url = stack.enter_context(quick_sandbox()), stack.enter_context(postgres())
        airflow = stack.enter_context(api_server(sandbox, url))
        other, own = stack.enter_context(earlier_api_server(airflow, url, before))
        gateway = read_gateway(Connection.from_json(sandbox.connection("bkitsm"), conn_id=CONN_ID))
        rows = Rows(url, stores={NOW: url, EARLIER: own}, installation=airflow.url)
        stack.callback(rows.close)
        (post,) = rows.wait_for([approved(sandbox, gateway, airflow.url, 1, decided=False)], NOW)
        rows.set_level(WAITING)
        ticket = f"ticket?dag_id={DAG}&run_id={post.run_id}&task_id=wait"
        # The version before has its pages' data below another path.
        pages = {
            version: [f"/bkitsm/api/{part}{page}" for page in ("approvals", ticket)]
            for version, part in ((NOW, "v1/"), (EARLIER, ""))
        }
        unsigned = replace(post, headers={"Content-Type": "application/json"})
        floods = {IDLE: [], UNSIGNED: [unsigned] * SIZES[UNSIGNED], REPLAYED: [post] * SIZES[REPLAYED]}
        visitors = {
            version: Visitor(url=address, authorization=airflow.api.authorization, pages=pages[version])
            for version, address in ((NOW, airflow.url), (EARLIER, other))
        }
        for visitor in visitors.values():
            visitor.measure([])
        sandbox.fault("", "delay", times=10**9, seconds=SLOW_SECONDS)
        for version, kind in list(measured) * ROUNDS:
            measured[version, kind].add(visitors[version].measure(floods[kind]))
            time.sleep(5)
    return measured


def report(measured: Mapping[tuple[str, str], Looks], before: str) -> str:
    """Return the section of the page."""
    lines = [
        f"{machine('fastapi')}; PostgreSQL, {WAITING} tasks waiting. ITSM takes {SLOW_SECONDS * 1000:.0f} ms for"
        f" each request. {CALLERS} callers, at most {RATE} callbacks a second; before is commit {before}.",
        "",
        "| version | flood | pages opened | median | 90 % | against alone | flood took | answered with |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for (version, kind), looks in measured.items():
        ratio = median(looks.seconds) / median(measured[version, IDLE].seconds)
        middle, most = (f"{quantile(looks.seconds, share):.0f} ms" for share in (0.5, 0.9))
        statuses = ", ".join(map(str, sorted(looks.statuses))) or "-"
        lines.append(
            f"| {version} | {kind} | {len(looks.seconds)} | {middle} | {most} | {ratio:.2f} times |"
            f" {looks.flood / ROUNDS:.1f} s | {statuses} |"
        )
    return "\n".join([*lines, "", f"Target: at most {LIMIT} times, by the median."])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="A person's pages while the callback endpoint is flooded.")
    parser.add_argument("--before", default=FORMER, help="the commit to compare with")
    before = parser.parse_args().before
    publish(SECTION, report(measure(before), before))


if __name__ == "__main__":
    main()
