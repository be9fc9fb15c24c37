# SPDX-License-Identifier: Apache-2.0
"""How long the approvals page takes in a browser with 2,000 tickets waiting: first row, filters, order, scrolling.

    python -m benchmarks.approvals_page [--rounds 15] [--sqlite]

Airflow's API server with one process, headless Chromium, and a sandbox that knows every waiting ticket and takes
20 ms for each request. In Airflow's database are 2,000 waiting tasks, 2,000 decided ones, and 4,000 other deferred
tasks with 100,000 XComs. A time runs from the navigation to the frame in which the first row is drawn, live status
and steps included. Between two visits passes more time than anything but a step is remembered for. A filter or an
order takes from the click to the frame in which the rows are drawn anew. While the page scrolls through 100
tickets, the frames are counted.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Verdict
from airflow_provider_bkitsm.sandbox.control import SandboxControl
from benchmarks.callback_endpoint import CONN_ID, ITSM_SECONDS, api_server
from benchmarks.report import machine, publish, spread
from benchmarks.sandbox_throughput import opened, quick_sandbox
from demo.browser import Browser, browser
from demo.local_airflow import LocalAirflow
from demo.processes import ends_orderly
from tests.collectors.servers import postgres
from tests.plugins.rows import insert_dag, insert_waits

SECTION = "approvals_page"
WAITING, DECIDED, OTHERS, NOISE = 2_000, 2_000, 4_000, 100_000
TARGET_SECONDS, CHANGE_TARGET_SECONDS, TARGET_FRAMES = 0.6, 0.2, 60
# Nothing is remembered for longer, but for steps.
PAUSE_SECONDS = 6.0
PAGE, FRAMED = "the page itself", "inside Airflow, whose own page loads first"

# Notes when a row is on the screen, in whatever document it comes.
WATCH = """
function look() {
  if (document.querySelector("tbody tr")) window.firstRow = performance.now();
  else setTimeout(look, 5);
}
look();
"""
FROM_NAVIGATION = "return (performance.timeOrigin + window.firstRow - window.top.performance.timeOrigin) / 1000"

# Does something that changes the list, and returns the seconds until it is drawn.
CHANGE = """
const [selector, value, done] = arguments;
const rows = document.getElementById("rows");
const start = performance.now();
new MutationObserver((_, observer) => {
  observer.disconnect();
  requestAnimationFrame(() => done((performance.now() - start) / 1000));
}).observe(rows, { childList: true });
const control = document.querySelector(selector);
if (value === null) control.click();
else {
  control.value = value;
  control.dispatchEvent(new Event("change"));
}
"""
# Scrolls for two seconds, 20 pixels a frame, and returns the frames of each second.
SCROLL = """
const done = arguments[0];
const start = performance.now();
let frames = 0;
let step = 20;
const move = (now) => {
  if (now - start > 2000) return done(frames / ((now - start) / 1000));
  frames += 1;
  const { scrollTop, scrollHeight, clientHeight } = document.documentElement;
  if (scrollTop + clientHeight >= scrollHeight - 1) step = -20;
  if (scrollTop <= 0) step = 20;
  scrollBy(0, step);
  requestAnimationFrame(move);
};
requestAnimationFrame(move);
"""
CHANGES: Mapping[str, tuple[str, str | None]] = {
    "order by title": ("[data-key=sort-title]", None),
    "order by deadline": ("[data-key=sort-deadline]", None),
    "order by opening": ("[data-key=sort-since]", None),
    "filter by status": ("#status", "waiting"),
    "no filter by status": ("#status", ""),
    "filter by person": ("#person", "nobody"),
    "no filter by person": ("#person", ""),
    "all, decided ones included": ("[data-view=all]", None),
    "those that wait": ("[data-view=waiting]", None),
}

Times = Mapping[str, Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Seconds until the first row by way to the page, seconds of each change, and frames a second of scrolling."""

    visits: Times
    changes: Times
    frames: Sequence[float]


def fill(sandbox: SandboxControl) -> None:
    """Fill Airflow's database."""
    version = insert_dag()
    with ThreadPoolExecutor(4) as pool:
        sns = list(pool.map(lambda _number: opened(sandbox), range(WAITING)))
    insert_waits(sns, dag_version=version, conn_id=CONN_ID)
    ended = [f"REQ2099{number:010}" for number in range(DECIDED)]
    _decide(insert_waits(ended, dag_version=version, conn_id=CONN_ID, prefix="ended"))
    _make_noise(version)


def _decide(registered: Sequence[Any]) -> None:
    from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata

    metadata = AirflowMetadata()
    approved = Verdict(
        sn="",
        outcome=Outcome.APPROVED,
        reason="approved",
        current_status="FINISHED",
        title="Ticket",
        ticket_url="https://itsm.example.com/",
    )
    logging.getLogger("airflow_provider_bkitsm").setLevel(logging.WARNING)
    for one in registered:
        if not metadata.resume(one.waiter, replace(approved, sn=one.sn)):
            raise RuntimeError(f"{one.sn} does not wait")


def _make_noise(version: Any) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import insert, select

    numbers = (f"REQ2098{number:010}" for number in range(OTHERS))
    insert_waits(numbers, dag_version=version, prefix="noise", classpath="some.other.Trigger")
    others = select(DagRun.id, DagRun.dag_id, DagRun.run_id).where(DagRun.run_id.startswith("noise"))
    with create_session(scoped=False) as session:
        wheres = [
            {"dag_run_id": run.id, "dag_id": run.dag_id, "run_id": run.run_id, "task_id": "wait", "map_index": -1}
            for run in session.execute(others)
        ]
        for turn in range(NOISE // OTHERS):
            xcoms = [{**where, "key": f"key_{turn}", "value": {"rows": turn}} for where in wheres]
            session.execute(insert(XComModel), xcoms)


def visits(window: Browser, airflow: LocalAirflow) -> Mapping[str, Callable[[], float]]:
    """Return the ways to the page; each goes there and returns the seconds until the first row was drawn."""

    def visit(path: str, frame: str) -> float:
        window.open(f"{airflow.url}/{path}")
        if frame:
            window.into_frame(frame)
        window.wait(lambda: window.script("return window.firstRow"), "no row")
        taken: float = window.script(FROM_NAVIGATION)
        return taken

    return {
        PAGE: lambda: visit("bkitsm/approvals", ""),
        FRAMED: lambda: visit("plugin/bkitsm-approvals", "bkitsm/approvals"),
    }


def change(window: Browser, selector: str, value: str | None) -> float:
    """Change the list, and return the seconds until it is drawn."""
    taken: float = window.driver.execute_async_script(CHANGE, selector, value)
    return taken


def frames(window: Browser, airflow: LocalAirflow) -> float:
    """Scroll through a hundred tickets, and return the frames of a second."""
    window.open(f"{airflow.url}/bkitsm/approvals?size=100")
    window.wait(lambda: window.script("return window.firstRow"), "no row")
    drawn: float = window.driver.execute_async_script(SCROLL)
    return drawn


@contextmanager
def set_up(url: str | None) -> Iterator[tuple[Browser, LocalAirflow]]:
    """Start everything, and sign in."""
    with ExitStack() as stack:
        if url is None:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bkitsm-")))
            url = f"sqlite:///{home / 'airflow.db'}?timeout=60"
        sandbox = stack.enter_context(quick_sandbox())
        airflow = stack.enter_context(api_server(sandbox, url))
        fill(sandbox)
        sandbox.fault("", "delay", times=10**9, seconds=ITSM_SECONDS)
        window = stack.enter_context(browser())
        window.sign_in(airflow.url, airflow.username, airflow.password)
        window.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        yield window, airflow


def measure(rounds: int, url: str | None) -> Measured:
    """Visit the page in turns, then change its list in turns, then scroll."""
    with set_up(url) as (window, airflow):
        ways = visits(window, airflow)
        for visit in ways.values():
            visit()  # the first visit imports what the later ones find in memory
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, visit in ways.items():
                time.sleep(PAUSE_SECONDS)
                times[name].append(visit())
        ways[PAGE]()
        changes: dict[str, list[float]] = {name: [] for name in CHANGES}
        for _ in range(rounds):
            for name, (selector, value) in CHANGES.items():
                time.sleep(1)  # the request that waits for ITSM is over
                changes[name].append(change(window, selector, value))
        return Measured(
            visits=times, changes=changes, frames=[frames(window, airflow) for _ in range(min(rounds, 5))]
        )


def report(measured: Measured, database: str) -> str:
    """Return the section of the page."""
    times = measured.visits
    rounds = len(times[PAGE])
    lines = [
        f"{machine('fastapi')}; {database}, headless Chromium. {WAITING:,} tickets wait, {DECIDED:,} are decided,"
        f" {OTHERS:,} other tasks have {NOISE:,} XComs. {rounds} visits each, seconds from the navigation to the"
        " first row.",
        "",
        "| | median | 90 % | longest |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [f"| {name} | {spread(taken)} |" for name, taken in times.items()]
    lines += [
        "",
        f"Target for the page itself: under {TARGET_SECONDS:g} s in the median. From the click on a filter or an"
        " order to the rows drawn anew:",
        "",
        "| | median | 90 % | longest |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {name} | {spread(taken)} |" for name, taken in measured.changes.items()),
        "",
        f"Target: under {CHANGE_TARGET_SECONDS:g} s. While 100 tickets scroll, {min(measured.frames):.0f} to"
        f" {max(measured.frames):.0f} frames a second are drawn; the target is {TARGET_FRAMES}.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="The approvals page's first row.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sqlite", action="store_true", help="metadata in SQLite; only printed")
    given = parser.parse_args()
    with ends_orderly(), ExitStack() as stack:
        url = None if given.sqlite else stack.enter_context(postgres())
        measured = measure(given.rounds, url)
    publish(SECTION, report(measured, "SQLite" if given.sqlite else "PostgreSQL"), only_print=given.sqlite)


if __name__ == "__main__":
    main()
