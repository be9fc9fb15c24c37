# SPDX-License-Identifier: Apache-2.0
"""How many status requests a sandbox answers per second on one core, so that it never limits another measurement.

``python -m benchmarks.sandbox_throughput``. The sandbox runs on one core, the load on the others.
"""

from __future__ import annotations

import http.client
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import psutil

from airflow_provider_bkitsm.sandbox.control import SandboxControl
from benchmarks.report import machine, publish

SECTION = "sandbox_throughput"
ROUNDS, SECONDS, CLIENTS, TICKETS = 5, 3.0, 4, 200
WANTED = 300
FIELDS = {"APPROVER": "alice", "APPROVAL_CONTENT": "c"}


def main() -> None:
    """Measure and write."""
    cores = sorted(os.sched_getaffinity(0))
    server, url = started()
    try:
        os.sched_setaffinity(server.pid, cores[:1])
        os.sched_setaffinity(0, cores[1:] or cores)
        sandbox = SandboxControl(url)
        numbers = [opened(sandbox) for _ in range(TICKETS)]
        process = psutil.Process(server.pid)
        rounds = [one_round(sandbox, numbers, process) for _ in range(ROUNDS)]
    finally:
        server.terminate()
        server.wait()
    publish(SECTION, report(rounds))


def report(rounds: list[tuple[float, float]]) -> str:
    """Return the section of the page."""
    rates, per_core = (sorted(column) for column in zip(*rounds, strict=True))
    rate = statistics.median(rates)
    lines = [
        f"{machine('fastapi', 'uvicorn')}. Status requests of {CLIENTS} clients about {TICKETS} tickets, the"
        f" sandbox on one core; {ROUNDS} rounds of {SECONDS:.0f} s.",
        "",
        "| requests | median | slowest round | quickest round |",
        "| --- | ---: | ---: | ---: |",
        f"| a second | {rate:.0f} | {rates[0]:.0f} | {rates[-1]:.0f} |",
        f"| per second of the sandbox's CPU time | {statistics.median(per_core):.0f} | {per_core[0]:.0f}"
        f" | {per_core[-1]:.0f} |",
        "",
        f"{rate / WANTED:.1f} times the {WANTED} a second wanted: the sandbox limits no other measurement.",
    ]
    return "\n".join(lines)


@contextmanager
def quick_sandbox(dialect: Literal["v2", "v4"] = "v2") -> Iterator[SandboxControl]:
    """Run a sandbox process in which tickets start at once."""
    server, url = started("--start-delay", "0", "--dialect", dialect)
    try:
        yield SandboxControl(url, dialect=dialect)
    finally:
        server.terminate()
        server.wait()


def started(*options: str) -> tuple[subprocess.Popen[str], str]:
    """Start a sandbox process; return it and its address."""
    command = [sys.executable, "-m", "airflow_provider_bkitsm.sandbox", "--port", "0", *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    found = re.search(r"http://\S+\d", server.stdout.readline())
    assert found is not None
    return server, found[0]


def opened(sandbox: SandboxControl, *, title: str = "t") -> str:
    """Open a ticket."""
    if sandbox.dialect == "v4":
        form = {"ticket__title": title, "content": "c", "approvers": ["alice"]}
        asked = {"workflow_key": "approval", "operator": "carol", "system_id": "airflow", "form_data": form}
        return str(sandbox.call("POST", "ticket/create", json=asked)["id"])
    fields = FIELDS | {"title": title}
    body = {
        "fast_approval": True,
        "creator": "carol",
        "fields": [{"key": k, "value": v} for k, v in fields.items()],
    }
    return str(sandbox.call("POST", "create_ticket", json=body)["sn"])


def one_round(sandbox: SandboxControl, numbers: list[str], server: psutil.Process) -> tuple[float, float]:
    """Return requests per second, and per second of the server's CPU time."""
    counts, end = [0] * CLIENTS, time.monotonic() + SECONDS
    before = sum(server.cpu_times()[:2])
    clients = [threading.Thread(target=load, args=(sandbox, numbers, counts, i, end)) for i in range(CLIENTS)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    used = sum(server.cpu_times()[:2]) - before
    return sum(counts) / SECONDS, sum(counts) / used


def load(sandbox: SandboxControl, numbers: list[str], counts: list[int], place: int, end: float) -> None:
    """Ask for the status of one ticket after the other."""
    host = sandbox.url.removeprefix("http://")
    connection, path = http.client.HTTPConnection(host), sandbox.itsm_url.partition(host)[2]
    while time.monotonic() < end:
        sn = numbers[counts[place] % len(numbers)]
        connection.request("GET", f"{path}/get_ticket_status/?sn={sn}", headers=sandbox.headers())
        answer = connection.getresponse()
        assert b'"RUNNING"' in answer.read()
        counts[place] += 1


if __name__ == "__main__":
    main()
