# SPDX-License-Identifier: Apache-2.0
"""What the callback endpoint takes for a callback, and whether that grows with the number of waiting tasks.

    python -m benchmarks.callback_endpoint [--rounds 3] [--seconds 10]

Airflow's API server with one process and PostgreSQL, and a sandbox that takes 20 ms for every request. Callbacks
of approved tickets arrive at a fixed rate, each over a connection of its own, as ITSM sends them; each ends a
waiting task. Rounds with 500 and with 5,000 further tasks that wait for open tickets take turns. A callback's time
runs from the moment it is due, so that a queue shows.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from statistics import median

import psutil
from sqlalchemy import text

from airflow_provider_bkitsm.collectors.engine import server_engine
from airflow_provider_bkitsm.hooks.callback_address import callback_meta
from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.itsm.opening import creation_tag, marked_title
from airflow_provider_bkitsm.sandbox.control import SandboxControl
from benchmarks.report import machine, publish
from benchmarks.sandbox_throughput import opened, quick_sandbox
from demo.local_airflow import LocalAirflow
from demo.processes import ends_orderly, marked_with
from tests.collectors.servers import postgres
from tests.plugins.database import airflow_database
from tests.plugins.rows import insert_dag, insert_waits

SECTION = "callback_endpoint"
CONN_ID = "bkitsm_default"
LEVELS = (500, 5_000)
RATE, ITSM_SECONDS, CALLS = 50, 0.020, 3
WARM_UP = 100


@dataclass(frozen=True, kw_only=True)
class Callback:
    """One callback, ready to be posted."""

    sn: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(kw_only=True)
class Measured:
    """Seconds for each callback; seconds of CPU for all of them."""

    seconds: list[float] = field(default_factory=list)
    server_cpu: float = 0.0

    def add(self, other: Measured) -> None:
        """Add another round."""
        self.seconds += other.seconds
        self.server_cpu += other.server_cpu

    def quantile(self, share: float) -> float:
        """Return the time that this share of the callbacks kept, in milliseconds."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class Rows:
    """Airflow's waiting tasks, topped up to a level."""

    def __init__(self, url: str) -> None:
        self._engine = server_engine(url)
        self._dag_version = insert_dag()

    def wait_for(self, sns: Sequence[str]) -> None:
        """Let a task wait for each of these tickets."""
        insert_waits(sns, dag_version=self._dag_version, conn_id=CONN_ID)

    def set_level(self, waiting: int) -> None:
        """Have so many further tasks wait for tickets that stay open."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            ours = "SELECT trigger_id FROM task_instance WHERE run_id LIKE 'level%'"
            connection.execute(text(f"DELETE FROM trigger WHERE id IN ({ours})"))
            connection.execute(text("DELETE FROM dag_run WHERE run_id LIKE 'level%'"))
            numbers = (f"REQ2099{number:010}" for number in range(waiting))
            insert_waits(numbers, dag_version=self._dag_version, conn_id=CONN_ID, prefix="level")
            connection.execute(text("VACUUM ANALYZE"))

    def count(self, state: str) -> int:
        """Return how many tasks are in a state."""
        with self._engine.connect() as connection:
            query = text("SELECT count(*) FROM task_instance WHERE state = :state")
            return int(connection.execute(query, {"state": state}).scalar_one())


def approved(sandbox: SandboxControl, gateway: Gateway, base: str, number: int) -> Callback:
    """Open a ticket, approve it, and return its callback, which nobody has posted yet."""
    tag = creation_tag(number)
    meta = callback_meta(None, base=base, gateway=gateway, tag=tag, now=datetime.now(UTC))
    sn = opened(sandbox, title=marked_title("Measured", tag))
    sandbox.approve(sn)
    return Callback(
        sn=sn,
        path=meta["callback_url"].removeprefix(base),
        headers=meta["headers"] | {"Content-Type": "application/json"},
        body=json.dumps(sandbox.callback_body(sn)).encode(),
    )


class Load:
    """Posts callbacks at a fixed rate, whether or not the earlier ones were answered."""

    def __init__(self, *, host: str, server: Sequence[psutil.Process]) -> None:
        self._host = host
        self._server = server

    def run(self, callbacks: Sequence[Callback]) -> Measured:
        """Post them all."""
        before, began = self._cpu(), time.monotonic() + 0.1
        with ThreadPoolExecutor(RATE) as pool:
            due = (began + place / RATE for place in range(len(callbacks)))
            seconds = list(pool.map(self._post, callbacks, due))
        return Measured(seconds=seconds, server_cpu=self._cpu() - before)

    def _post(self, callback: Callback, due: float) -> float:
        time.sleep(max(0.0, due - time.monotonic()))
        connection = http.client.HTTPConnection(self._host, timeout=30)
        connection.request("POST", callback.path, callback.body, callback.headers)
        answer = connection.getresponse()
        said = answer.read()
        taken = time.monotonic() - due
        connection.close()
        assert answer.status == HTTPStatus.OK, said
        return taken

    def _cpu(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self._server)


@contextmanager
def api_server(sandbox: SandboxControl, url: str) -> Iterator[LocalAirflow]:
    """Run Airflow's API server with one process, and nothing else of Airflow."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bkitsm-")))
        (home / "dags").mkdir()
        stack.enter_context(airflow_database(home, url))
        env = {"AIRFLOW_CONN_BKITSM_DEFAULT": sandbox.connection("bkitsm")}
        components = ("api-server",)
        airflow = LocalAirflow(home=home, dags=home / "dags", database_url=url, env=env, components=components)
        stack.enter_context(airflow)
        airflow.wait_ready()
        yield airflow


def measure(rounds: int, seconds: int) -> dict[int, Measured]:
    """Return what was measured at each level."""
    from airflow.sdk import Connection

    measured = {level: Measured() for level in LEVELS}
    with ends_orderly(), ExitStack() as stack:
        sandbox, url = stack.enter_context(quick_sandbox()), stack.enter_context(postgres())
        airflow = stack.enter_context(api_server(sandbox, url))
        gateway = read_gateway(Connection.from_json(sandbox.connection("bkitsm"), conn_id=CONN_ID))
        rows, load = Rows(url), Load(host=f"127.0.0.1:{airflow.port}", server=list(marked_with(airflow.home)))
        each = seconds * RATE
        ready = [approved(sandbox, gateway, airflow.url, n) for n in range(WARM_UP + rounds * len(LEVELS) * each)]
        sandbox.fault("", "delay", times=10**9, seconds=ITSM_SECONDS)
        rows.wait_for([one.sn for one in ready[:WARM_UP]])
        load.run(ready[:WARM_UP])
        for place in range(WARM_UP, len(ready), each):
            level = LEVELS[(place - WARM_UP) // each % len(LEVELS)]
            callbacks = ready[place : place + each]
            rows.set_level(level)
            rows.wait_for([one.sn for one in callbacks])
            measured[level].add(load.run(callbacks))
            assert (rows.count("success"), rows.count("deferred")) == (place + each, level)
    return measured


def report(measured: dict[int, Measured]) -> str:
    """Return the section of the page."""
    few, many = (measured[level] for level in LEVELS)
    lines = [
        f"{machine('httpx', 'fastapi')}; PostgreSQL. {RATE} callbacks a second for {len(few.seconds) // RATE} s"
        f" at each level, every one of them approved in ITSM and ending a task; ITSM takes"
        f" {ITSM_SECONDS * 1000:.0f} ms for each of the {CALLS} requests behind a callback.",
        "",
        "| further tasks waiting | median | 90 % | 99 % | longest | CPU of the API server per callback |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for level, one in measured.items():
        times = " | ".join(f"{one.quantile(share):.1f} ms" for share in (0.5, 0.9, 0.99, 1.0))
        cpu = one.server_cpu / len(one.seconds) * 1000
        lines.append(f"| {level:,} | {times} | {cpu:.1f} ms |")
    ratio = median(many.seconds) / median(few.seconds)
    itsm = ITSM_SECONDS * CALLS
    own = (median(many.seconds) - itsm) / (median(few.seconds) - itsm)
    lines += [
        "",
        f"{LEVELS[1]:,} against {LEVELS[0]:,} waiting tasks: median {ratio:.2f} times, without ITSM's own time"
        f" {own:.2f} times, CPU {many.server_cpu / few.server_cpu:.2f} times (target: at most 1.2).",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="The callback endpoint under load.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10, help="of each round")
    given = parser.parse_args()
    publish(SECTION, report(measure(given.rounds, given.seconds)))


if __name__ == "__main__":
    main()
