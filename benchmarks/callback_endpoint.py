# SPDX-License-Identifier: Apache-2.0
"""What the callback endpoint takes for a callback, beside an earlier version and Airflow's own human in the loop.

    python -m benchmarks.callback_endpoint [--rounds 3] [--seconds 10] [--rate 50] [--before COMMIT]

Airflow's API server with one process, PostgreSQL for its state and for the records of approvals, and a sandbox
that takes 20 ms for every request. Callbacks of approved tickets arrive at a fixed rate, each over a connection of
its own, as ITSM sends them; each ends a waiting task whose ticket has a record. Rounds with 500 and with 5,000
further tasks that wait for open tickets take turns, and so do a second API server on the same database, which
runs the package of an earlier commit, and answers of people to Airflow's own human in the loop at the same rate.
A time runs from the moment a callback is due, so that a queue shows: until its answer, and until its task has
ended. A last round of each version has an ITSM that takes 300 ms.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import create_engine, text

from airflow_provider_bkitsm.callback.signature import callback_meta, signing_keys
from airflow_provider_bkitsm.collectors import migrations
from airflow_provider_bkitsm.collectors.database import server_engine
from airflow_provider_bkitsm.collectors.tables import schema_table
from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.itsm.idempotency import approval_tag, marks
from airflow_provider_bkitsm.sandbox.control import SandboxControl
from airflow_provider_bkitsm.tickets.approval import ApprovalRecord, Attempt, Subject, new_nonce
from airflow_provider_bkitsm.tickets.approval_store import ApprovalStore
from benchmarks.report import machine, publish
from benchmarks.sandbox_throughput import FIELDS, opened, quick_sandbox
from benchmarks.versions import ROOT, importing, package_of
from demo.local_airflow import LocalAirflow
from demo.processes import ends_orderly, marked_with
from tests.collectors.servers import own_database, postgres
from tests.plugins.database import airflow_database
from tests.plugins.rows import DAG, insert_dag, insert_waits

SECTION = "callback_endpoint"
CONN_ID, STORE_ID = "bkitsm_default", "bkitsm_store"
LEVELS = (500, 5_000)
ITSM_SECONDS, SLOW_SECONDS = 0.020, 0.300
WARM_UP_RATE, WARM_UP = 5, 50
NOW, EARLIER, HUMAN = "now", "before", "Airflow's human in the loop"
VERSIONS = (EARLIER, NOW, HUMAN)
WARM, SLOW = 0, -1
# The commit before callbacks were answered first.
FORMER = "7c51d22"
# How long tasks may take to end after the last callback.
SETTLE_SECONDS = 60.0
CPU_AGAINST_BEFORE, CPU_AGAINST_HUMAN, P99_MS = 0.5, 0.7, 65


@dataclass(frozen=True, kw_only=True)
class Post:
    """One request, ready to be sent. ``run_id`` is the run whose task it ends."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    run_id: str = ""
    method: str = "POST"


@dataclass(frozen=True, kw_only=True)
class Callback:
    """One callback, ready to be posted, and what was sent to open its ticket."""

    sn: str
    tag: str
    nonce: str
    post: Post
    request: Mapping[str, Any]


@dataclass(kw_only=True)
class Measured:
    """Seconds until each answer and each task's end; seconds of CPU, and ITSM's calls, for all of them."""

    answered: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    refused: int = 0
    lost: int = 0
    server_cpu: float = 0.0
    calls: int = 0

    def add(self, other: Measured) -> None:
        """Add another round."""
        self.answered += other.answered
        self.ended += other.ended
        self.refused += other.refused
        self.lost += other.lost
        self.server_cpu += other.server_cpu
        self.calls += other.calls

    @property
    def cpu(self) -> float:
        """The server's CPU for one callback, in milliseconds."""
        return self.server_cpu / len(self.answered) * 1000


def quantile(seconds: Sequence[float], share: float) -> float:
    """Return the time that this share kept, in milliseconds."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class Rows:
    """Airflow's waiting tasks, topped up to a level, and the records of what they ask."""

    def __init__(self, url: str, *, stores: Mapping[str, str], installation: str) -> None:
        self._installation = installation
        self._engine = server_engine(url)
        self._pooled = {version: create_engine(store) for version, store in stores.items()}
        self._records = {version: ApprovalStore(engine) for version, engine in self._pooled.items()}
        self._dag_version = insert_dag()

    def wait_for(self, callbacks: Sequence[Callback], version: str) -> list[Post]:
        """Let a task wait for each of these tickets, which a task of the same run has opened."""
        sns, arguments = [one.sn for one in callbacks], {"opened_by": "ask"}
        waits = insert_waits(sns, dag_version=self._dag_version, conn_id=CONN_ID, arguments=arguments)
        for callback, wait in zip(callbacks, waits, strict=True):
            self._records[version].begin(_record(callback, wait.run_id, self._installation))
        return [replace(one.post, run_id=wait.run_id) for one, wait in zip(callbacks, waits, strict=True)]

    def wait_for_people(self, size: int, token: str) -> list[Post]:
        """Let tasks wait for people, as Airflow's own human in the loop does; return the people's answers."""
        from airflow.models.hitl import HITLDetail
        from airflow.utils.session import create_session

        sns = [f"REQ2098{number:010}" for number in range(size)]
        waits = insert_waits(sns, dag_version=self._dag_version, conn_id=CONN_ID, prefix="human")
        with create_session(scoped=False) as session:
            asked = {"options": ["Approve", "Reject"], "subject": "go on?", "params": {}}
            session.add_all([HITLDetail(ti_id=UUID(wait.waiter.ti_id), **asked) for wait in waits])
        body = json.dumps({"chosen_options": ["Approve"], "params_input": {}}).encode()
        headers = {"Authorization": token, "Content-Type": "application/json"}
        return [
            Post(
                method="PATCH",
                path=f"/api/v2/dags/{DAG}/dagRuns/{wait.run_id}/taskInstances/wait/-1/hitlDetails",
                headers=headers,
                body=body,
                run_id=wait.run_id,
            )
            for wait in waits
        ]

    def ended(self, posts: Sequence[Post]) -> dict[str, float]:
        """Wait for the end of the posts' tasks; return when each has ended (seconds since 1970), by run."""
        runs, until = [one.run_id for one in posts], time.monotonic() + SETTLE_SECONDS
        query = text("SELECT run_id, end_date FROM task_instance WHERE state = 'success' AND run_id = ANY(:runs)")
        while True:
            with self._engine.connect() as connection:
                found = {row[0]: row[1].timestamp() for row in connection.execute(query, {"runs": runs})}
            if len(found) == len(runs) or time.monotonic() > until:
                return found
            time.sleep(0.2)

    def set_level(self, waiting: int) -> None:
        """Have so many further tasks wait for tickets that stay open."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            ours = "SELECT trigger_id FROM task_instance WHERE run_id LIKE 'level%'"
            connection.execute(text(f"DELETE FROM trigger WHERE id IN ({ours})"))
            connection.execute(text("DELETE FROM dag_run WHERE run_id LIKE 'level%'"))
            numbers = (f"REQ2099{number:010}" for number in range(waiting))
            insert_waits(numbers, dag_version=self._dag_version, conn_id=CONN_ID, prefix="level")
            connection.execute(text("VACUUM ANALYZE"))

    def close(self) -> None:
        """Close the connections."""
        for engine in self._pooled.values():
            engine.dispose()


@contextmanager
def earlier_api_server(airflow: LocalAirflow, url: str, commit: str) -> Iterator[tuple[str, str]]:
    """Run a second API server, with the package of an earlier commit; give its address and its store's URL.

    It has a store of its own, of the version that it knows: what has come since then stands beside, and this
    process, which writes the records there and migrates the store each minute, cannot say so.
    """
    with package_of(commit) as environment, own_database(url) as store:
        known = subprocess.run(
            [sys.executable, "-c", f"from {migrations.__name__} import MIGRATIONS; print(len(MIGRATIONS))"],
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
            text=True,
        )
        engine = create_engine(store)
        migrations.migrate(engine)
        with engine.begin() as connection:
            newest, name = int(known.stdout), schema_table.name
            connection.execute(schema_table.delete().where(schema_table.c.version > newest))
            later = f"CREATE RULE later AS ON INSERT TO {name} WHERE NEW.version > {newest} DO INSTEAD NOTHING"
            connection.exec_driver_sql(later)
        engine.dispose()
        with airflow.another_api_server(env=environment | _store_at(store)) as address:
            yield address, store


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


def approved(
    sandbox: SandboxControl, gateway: Gateway, base: str, number: int, *, decided: bool = True
) -> Callback:
    """Open a ticket, approve it, and return its callback, which nobody has posted yet.

    :param decided: False leaves the ticket open.
    """
    nonce, (key, *_) = new_nonce(), signing_keys(gateway)
    tag = approval_tag(key, subject=str(number), nonce=nonce, digest="sha256:")
    meta = callback_meta(None, base=base, gateway=gateway, tag=tag, now=datetime.now(UTC))
    # Marked as both versions know it.
    title = f"Measured {marks(tag)[1]}"
    sn = opened(sandbox, title=title)
    if decided:
        sandbox.approve(sn)
    return Callback(
        sn=sn,
        tag=tag,
        nonce=nonce,
        post=Post(
            path=meta["callback_url"].removeprefix(base),
            headers=meta["headers"] | {"Content-Type": "application/json"},
            body=json.dumps(sandbox.callback_body(sn)).encode(),
        ),
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

    def run(self, posts: Sequence[Post], rows: Rows, *, rate: int) -> Measured:
        """Post them all, so many a second, and wait for the end of their tasks."""
        before, began, clock = self._cpu(), time.monotonic() + 0.1, time.time() + 0.1
        with ThreadPoolExecutor(2 * rate) as pool:
            due = [place / rate for place in range(len(posts))]
            answers = list(pool.map(self._post, posts, [began + one for one in due]))
        ended = rows.ended(posts) if posts[0].method == "POST" else {}
        pairs = zip(posts, due, strict=True)
        return Measured(
            answered=[taken for _, taken in answers],
            ended=[ended[post.run_id] - clock - at for post, at in pairs if post.run_id in ended],
            refused=sum(status != HTTPStatus.OK for status, _ in answers),
            lost=len(posts) - len(ended) if ended else 0,
            server_cpu=self._cpu() - before,
        )

    def _post(self, post: Post, due: float) -> tuple[int, float]:
        time.sleep(max(0.0, due - time.monotonic()))
        connection = http.client.HTTPConnection(self._host, timeout=30)
        connection.request(post.method, post.path, post.body, dict(post.headers))
        answer = connection.getresponse()
        answer.read()
        taken = time.monotonic() - due
        connection.close()
        return answer.status, taken

    def _cpu(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self._server)


def _store_at(url: str) -> dict[str, str]:
    """Return the environment in which the store is in a database; without it, the store is a file."""
    at = url.replace("+psycopg2", "")
    return {f"AIRFLOW_CONN_{STORE_ID.upper()}": at, "AIRFLOW__BKITSM__STORE_CONN_ID": STORE_ID}


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
            **({} if url.startswith("sqlite") else _store_at(url)),
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

    measured = {(version, level): Measured() for level in LEVELS for version in VERSIONS}
    measured |= {(version, SLOW): Measured() for version in (EARLIER, NOW)}
    with ends_orderly(), ExitStack() as stack:
        sandbox, url = stack.enter_context(quick_sandbox()), stack.enter_context(postgres())
        airflow = stack.enter_context(api_server(sandbox, url))
        other, own = stack.enter_context(earlier_api_server(airflow, url, before))
        gateway = read_gateway(Connection.from_json(sandbox.connection("bkitsm"), conn_id=CONN_ID))
        here = Load(url=airflow.url, home=airflow.home)
        loads = {NOW: here, EARLIER: Load(url=other, home=airflow.home), HUMAN: here}
        # As workers of this Airflow would store it: see ``installation`` of the approval store.
        rows = Rows(url, stores={NOW: url, EARLIER: own}, installation=airflow.url)
        each = seconds * rate
        stack.callback(rows.close)
        repeated = [turn for turn in measured if turn[1] != SLOW] * rounds
        turns = [*((version, WARM) for version in loads), *repeated, (EARLIER, SLOW), (NOW, SLOW)]
        token = airflow.api.authorization
        for version, level in turns:
            size, pace = (WARM_UP, WARM_UP_RATE) if level == WARM else (each, rate)
            sandbox.clear_faults()
            if version == HUMAN:
                posts = rows.wait_for_people(size, token)
            else:
                ready = [approved(sandbox, gateway, airflow.url, number) for number in range(size)]
                posts = rows.wait_for(ready, version)
            delay = SLOW_SECONDS if level == SLOW else ITSM_SECONDS
            sandbox.fault("", "delay", times=10**9, seconds=delay)
            rows.set_level(max(level, 0))
            calls = sum(sandbox.request_counts().values())
            one = loads[version].run(posts, rows, rate=pace)
            one.calls = sum(sandbox.request_counts().values()) - calls
            assert one.ended if version != HUMAN else not one.refused
            if level != WARM:
                measured[version, level].add(one)
    return measured


def report(measured: Mapping[tuple[str, int], Measured], *, rate: int, before: str) -> str:
    """Return the section of the page."""
    first = measured[NOW, LEVELS[0]]
    calls = {version: _calls(measured[version, LEVELS[0]]) for version in (EARLIER, NOW)}
    lines = [
        f"{machine('httpx', 'fastapi')}; PostgreSQL. {rate} callbacks a second for {len(first.answered) // rate} s"
        f" at each level, every one of them approved in ITSM and ending a task; ITSM takes"
        f" {ITSM_SECONDS * 1000:.0f} ms for each request: {calls[EARLIER]:.0f} behind a callback before (commit"
        f" {before}), {calls[NOW]:.0f} now. As many people's answers a second for Airflow's own human in the loop,"
        " which end no task: a worker has to.",
        "",
        "| version | further tasks waiting | answered: median | 99 % | task ended: median | 99 % | longest |"
        " API server's CPU per callback |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [_line(version, level, one) for (version, level), one in measured.items() if level != SLOW]
    return "\n".join([*lines, "", *_ratios(measured), "", _slow(measured)])


def _line(version: str, level: int, one: Measured) -> str:
    shares = [(one.answered, 0.5), (one.answered, 0.99), (one.ended, 0.5), (one.ended, 0.99), (one.ended, 1.0)]
    times = " | ".join(f"{quantile(seconds, share):.1f} ms" if seconds else "-" for seconds, share in shares)
    return f"| {version} | {level:,} | {times} | {one.cpu:.1f} ms |"


def _ratios(measured: Mapping[tuple[str, int], Measured]) -> list[str]:
    few, many = (measured[NOW, level] for level in LEVELS)
    before = max(measured[NOW, level].cpu / measured[EARLIER, level].cpu for level in LEVELS)
    human = max(measured[NOW, level].cpu / measured[HUMAN, level].cpu for level in LEVELS)
    p99 = max(quantile(measured[NOW, level].ended, 0.99) for level in LEVELS)
    return [
        f"CPU per callback now: {before:.2f} times that of before (target: at most {CPU_AGAINST_BEFORE}),"
        f" {human:.2f} times that of Airflow's human in the loop (target: at most {CPU_AGAINST_HUMAN}). 99 % of"
        f" the tasks have ended after {p99:.1f} ms (target: at most {P99_MS} ms).",
        "",
        f"Now, {LEVELS[1]:,} against {LEVELS[0]:,} waiting tasks: task ended, median"
        f" {median(many.ended) / median(few.ended):.2f} times, CPU {many.cpu / few.cpu:.2f} times (target: at most"
        " 1.2).",
    ]


def _slow(measured: Mapping[tuple[str, int], Measured]) -> str:
    each = [
        f"{version}: {one.refused} of {len(one.answered)} not delivered, {one.lost} tasks not ended"
        f" {SETTLE_SECONDS:.0f} s later" + (f", the last ended after {max(one.ended):.1f} s" if one.ended else "")
        for version in (EARLIER, NOW)
        for one in [measured[version, SLOW]]
    ]
    return f"Where ITSM takes {SLOW_SECONDS * 1000:.0f} ms for each request: {'; '.join(each)} (target: 0 and 0)."


def _calls(one: Measured) -> float:
    return one.calls / len(one.answered)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="The callback endpoint under load.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10, help="of each round")
    parser.add_argument("--rate", type=int, default=50, help="callbacks a second")
    parser.add_argument("--before", default=FORMER, help="the commit to compare with")
    given = parser.parse_args()
    how = {"rate": given.rate, "before": given.before}
    publish(SECTION, report(measure(given.rounds, given.seconds, **how), **how))


if __name__ == "__main__":
    main()
