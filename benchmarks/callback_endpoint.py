# SPDX-License-Identifier: Apache-2.0
"""What the callback endpoint takes for a callback, and whether that grows with the number of waiting tasks.

    python -m benchmarks.callback_endpoint [--rounds 3] [--seconds 10] [--rate 50] [--before COMMIT]

Airflow's API server with one process, PostgreSQL for its state and for the records of approvals, and a sandbox
that takes 20 ms for every request. Callbacks of approved tickets arrive at a fixed rate, each over a connection of
its own, as ITSM sends them; each ends a waiting task whose ticket has a record. Rounds with 500 and with 5,000
further tasks that wait for open tickets take turns, and so does a second API server on the same database, which
runs the package of an earlier commit. A callback's time runs from the moment it is due, so that a queue shows.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import create_engine, text

from airflow_provider_bkitsm.callback.signature import callback_meta, signing_keys
from airflow_provider_bkitsm.collectors.database import server_engine
from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.itsm.idempotency import approval_tag, marked_title
from airflow_provider_bkitsm.sandbox.control import SandboxControl
from airflow_provider_bkitsm.tickets.approval import ApprovalRecord, Attempt, Subject, new_nonce
from airflow_provider_bkitsm.tickets.approval_store import ApprovalStore
from benchmarks.report import machine, publish
from benchmarks.sandbox_throughput import FIELDS, opened, quick_sandbox
from benchmarks.versions import BEFORE, ROOT, importing, package_of
from demo.local_airflow import LocalAirflow
from demo.processes import ends_orderly, marked_with
from tests.collectors.servers import postgres
from tests.plugins.database import airflow_database
from tests.plugins.rows import DAG, insert_dag, insert_waits

SECTION = "callback_endpoint"
CONN_ID, STORE_ID = "bkitsm_default", "bkitsm_store"
LEVELS = (500, 5_000)
ITSM_SECONDS = 0.020
WARM_UP_RATE, WARM_UP = 5, 50
NOW, EARLIER = "now", "before"
# What has to hold, and the room for what one run differs from the next.
NOT_SLOWER = 1.05


@dataclass(frozen=True, kw_only=True)
class Callback:
    """One callback, ready to be posted, and what was sent to open its ticket."""

    sn: str
    tag: str
    nonce: str
    path: str
    headers: dict[str, str]
    body: bytes
    request: Mapping[str, Any]


@dataclass(kw_only=True)
class Measured:
    """Seconds for each callback; seconds of CPU, and ITSM's calls, for all of them."""

    seconds: list[float] = field(default_factory=list)
    server_cpu: float = 0.0
    calls: int = 0

    def add(self, other: Measured) -> None:
        """Add another round."""
        self.seconds += other.seconds
        self.server_cpu += other.server_cpu
        self.calls += other.calls

    def quantile(self, share: float) -> float:
        """Return the time that this share of the callbacks kept, in milliseconds."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class Rows:
    """Airflow's waiting tasks, topped up to a level, and the records of what they ask."""

    def __init__(self, url: str, *, installation: str) -> None:
        self._installation = installation
        self._engine = server_engine(url)
        self._pooled = create_engine(url)
        self._records = ApprovalStore(self._pooled)
        self._dag_version = insert_dag()

    def wait_for(self, callbacks: Sequence[Callback]) -> None:
        """Let a task wait for each of these tickets, which a task of the same run has opened."""
        sns, arguments = [one.sn for one in callbacks], {"opened_by": "ask"}
        waits = insert_waits(sns, dag_version=self._dag_version, conn_id=CONN_ID, arguments=arguments)
        for callback, wait in zip(callbacks, waits, strict=True):
            self._records.begin(_record(callback, wait.run_id, self._installation))

    def set_level(self, waiting: int) -> None:
        """Have so many further tasks wait for tickets that stay open."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            ours = "SELECT trigger_id FROM task_instance WHERE run_id LIKE 'level%'"
            connection.execute(text(f"DELETE FROM trigger WHERE id IN ({ours})"))
            connection.execute(text("DELETE FROM dag_run WHERE run_id LIKE 'level%'"))
            numbers = (f"REQ2099{number:010}" for number in range(waiting))
            insert_waits(numbers, dag_version=self._dag_version, conn_id=CONN_ID, prefix="level")
            connection.execute(text("VACUUM ANALYZE"))

    def states(self) -> dict[str, int]:
        """Return how many tasks are in each state."""
        with self._engine.connect() as connection:
            query = text("SELECT state, count(*) FROM task_instance GROUP BY state")
            return {row[0]: row[1] for row in connection.execute(query)}

    def close(self) -> None:
        """Close the connections."""
        self._pooled.dispose()


def _record(callback: Callback, run_id: str, installation: str) -> ApprovalRecord:
    subject = Subject(installation=installation, bkitsm_conn_id=CONN_ID, dag_id=DAG, run_id=run_id, task_id="ask")
    now = datetime.now(UTC)
    return ApprovalRecord(
        nonce=callback.nonce,
        subject=subject,
        round_number=1,
        attempt=Attempt(ti_id=None, try_number=1, max_tries=0, retries=0),
        digest="sha256:",
        asked_digest="sha256:",
        tag=callback.tag,
        request=callback.request,
        create_started_at=now,
        sn=callback.sn,
        opened_at=now,
    )


def approved(sandbox: SandboxControl, gateway: Gateway, base: str, number: int) -> Callback:
    """Open a ticket, approve it, and return its callback, which nobody has posted yet."""
    nonce, (key, *_) = new_nonce(), signing_keys(gateway)
    tag = approval_tag(key, subject=str(number), nonce=nonce, digest="sha256:")
    meta = callback_meta(None, base=base, gateway=gateway, tag=tag, now=datetime.now(UTC))
    title = marked_title("Measured", tag)
    sn = opened(sandbox, title=title)
    sandbox.approve(sn)
    return Callback(
        sn=sn,
        tag=tag,
        nonce=nonce,
        path=meta["callback_url"].removeprefix(base),
        headers=meta["headers"] | {"Content-Type": "application/json"},
        body=json.dumps(sandbox.callback_body(sn)).encode(),
        request={"creator": "carol", "fast_approval": True, "fields": FIELDS | {"title": title}},
    )


class Load:
    """Posts callbacks at a fixed rate to one API server, whether or not the earlier ones were answered.

    :param url: of the API server.
    :param home: of its Airflow.
    """

    def __init__(self, *, url: str, home: Path) -> None:
        self._host = urlsplit(url).netloc
        port = self._host.rpartition(":")[2]
        self._server = [one for one in marked_with(home) if one.environ().get("AIRFLOW__API__PORT") == port]

    def run(self, callbacks: Sequence[Callback], *, rate: int) -> Measured:
        """Post them all, so many a second."""
        before, began = self._cpu(), time.monotonic() + 0.1
        with ThreadPoolExecutor(2 * rate) as pool:
            due = (began + place / rate for place in range(len(callbacks)))
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
    """Run Airflow's API server with one process, and nothing else of Airflow.

    It reads what this process encrypts: the arguments of triggers.
    """
    from airflow.configuration import conf

    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bkitsm-")))
        (home / "dags").mkdir()
        stack.enter_context(airflow_database(home, url))
        env = {
            "AIRFLOW_CONN_BKITSM_DEFAULT": sandbox.connection("bkitsm"),
            f"AIRFLOW_CONN_{STORE_ID.upper()}": url.replace("+psycopg2", ""),
            "AIRFLOW__BKITSM__STORE_CONN_ID": STORE_ID,
            "AIRFLOW__CORE__FERNET_KEY": conf.get("core", "fernet_key"),
            **importing(ROOT),
        }
        components = ("api-server",)
        airflow = LocalAirflow(home=home, dags=home / "dags", database_url=url, env=env, components=components)
        stack.enter_context(airflow)
        airflow.wait_ready()
        yield airflow


def measure(rounds: int, seconds: int, *, rate: int, before: str) -> dict[tuple[str, int], Measured]:
    """Return what was measured, by version and level."""
    from airflow.sdk import Connection

    measured = {(version, level): Measured() for level in LEVELS for version in (EARLIER, NOW)}
    with ends_orderly(), ExitStack() as stack:
        sandbox, url = stack.enter_context(quick_sandbox()), stack.enter_context(postgres())
        airflow = stack.enter_context(api_server(sandbox, url))
        earlier = stack.enter_context(package_of(before))
        other = stack.enter_context(airflow.another_api_server(env=earlier))
        gateway = read_gateway(Connection.from_json(sandbox.connection("bkitsm"), conn_id=CONN_ID))
        loads = {NOW: Load(url=airflow.url, home=airflow.home), EARLIER: Load(url=other, home=airflow.home)}
        # As workers of this Airflow would store it: see ``installation`` of the approval store.
        rows, each = Rows(url, installation=airflow.url), seconds * rate
        stack.callback(rows.close)
        turns = [*[(version, 0) for version in loads], *list(measured) * rounds]
        sizes = [each if level else WARM_UP for _, level in turns]
        ready = [approved(sandbox, gateway, airflow.url, number) for number in range(sum(sizes))]
        sandbox.fault("", "delay", times=10**9, seconds=ITSM_SECONDS)
        ended = 0
        for (version, level), size in zip(turns, sizes, strict=True):
            callbacks, ended = ready[ended : ended + size], ended + size
            rows.set_level(level)
            rows.wait_for(callbacks)
            asked = sum(sandbox.request_counts().values())
            one = loads[version].run(callbacks, rate=rate if level else WARM_UP_RATE)
            one.calls = sum(sandbox.request_counts().values()) - asked
            if level:
                measured[version, level].add(one)
            states = rows.states()
            assert {name: count for name, count in states.items() if count} == {
                "success": ended,
                **({"deferred": level} if level else {}),
            }
    return measured


def report(measured: Mapping[tuple[str, int], Measured], *, rate: int, before: str) -> str:
    """Return the section of the page."""
    few, many = (measured[NOW, level] for level in LEVELS)
    calls = {version: _calls(measured[version, LEVELS[0]]) for version in (EARLIER, NOW)}
    lines = [
        f"{machine('httpx', 'fastapi')}; PostgreSQL. {rate} callbacks a second for {len(few.seconds) // rate} s"
        f" at each level, every one of them approved in ITSM and ending a task; ITSM takes"
        f" {ITSM_SECONDS * 1000:.0f} ms for each request: {calls[EARLIER]:.0f} behind a callback before (commit"
        f" {before}), {calls[NOW]:.0f} now.",
        "",
        "| version | further tasks waiting | median | 90 % | 99 % | longest | API server's CPU per callback |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (version, level), one in measured.items():
        times = " | ".join(f"{one.quantile(share):.1f} ms" for share in (0.5, 0.9, 0.99, 1.0))
        cpu = one.server_cpu / len(one.seconds) * 1000
        lines.append(f"| {version} | {level:,} | {times} | {cpu:.1f} ms |")
    return "\n".join([*lines, "", _against_before(measured), "", _against_few(few, many)])


def _against_before(measured: Mapping[tuple[str, int], Measured]) -> str:
    ratios = [
        f"{level:,} waiting: median {_ratio(measured, level, 0.5):.2f} times,"
        f" 99 % {_ratio(measured, level, 0.99):.2f} times"
        for level in LEVELS
    ]
    return f"Now against before: {'; '.join(ratios)} (target: at most {NOT_SLOWER})."


def _against_few(few: Measured, many: Measured) -> str:
    ratio = median(many.seconds) / median(few.seconds)
    return (
        f"Now, {LEVELS[1]:,} against {LEVELS[0]:,} waiting tasks: median {ratio:.2f} times, CPU"
        f" {many.server_cpu / few.server_cpu:.2f} times (target: at most 1.2)."
    )


def _ratio(measured: Mapping[tuple[str, int], Measured], level: int, share: float) -> float:
    return measured[NOW, level].quantile(share) / measured[EARLIER, level].quantile(share)


def _calls(one: Measured) -> float:
    return one.calls / len(one.seconds)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="The callback endpoint under load.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10, help="of each round")
    parser.add_argument("--rate", type=int, default=50, help="callbacks a second")
    parser.add_argument("--before", default=BEFORE, help="the commit to compare with")
    given = parser.parse_args()
    how = {"rate": given.rate, "before": given.before}
    publish(SECTION, report(measure(given.rounds, given.seconds, **how), **how))


if __name__ == "__main__":
    main()
