# SPDX-License-Identifier: Apache-2.0
"""``python -m docs.screenshots``: the pictures in ``docs/pictures``, taken of a real Airflow with the sandbox."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_bkitsm.sandbox.control import SandboxControl
from demo.airflow_api import AirflowApi, wait_until
from demo.browser import Browser, browser, missing
from demo.local_airflow import LocalAirflow
from demo.sandbox_process import SandboxProcess

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
DAG_ID, COLLEAGUE, WIDE, HIGH = "bkitsm_collector_onboarding", "carol", 1360, 820
# All cards of a ticket but the last.
HIGHER = 1240
PHONE = 390, 844
REASONS = {
    1001: "Runtime logs of the shop, for the on-call team",
    1002: "Access logs for capacity planning",
    1003: "Slow queries, kept for a week",
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What is running, and the runs by collector."""

    airflow: LocalAirflow
    control: SandboxControl
    runs: dict[int, str]

    def tab(self, collector: int, task: str, page: str) -> str:
        """Return the address of a tab on a task's page."""
        return f"{self.airflow.url}/dags/{DAG_ID}/runs/{self.runs[collector]}/tasks/{task}/plugin/{page}"


def main() -> int:
    """Take all pictures; 0 if they could be taken."""
    if missing():
        print(f"There is no {missing()} here; the pictures are as they were.")
        return 1
    PICTURES.mkdir(exist_ok=True)
    with stage() as set_up:
        with signed_in(set_up, "admin") as window:
            take_note(window, set_up)
            take(window, set_up)
        with signed_in(set_up, COLLEAGUE) as window:
            take_mine(window, set_up)
    return 0


@contextmanager
def signed_in(stage: Stage, person: str) -> Iterator[Browser]:
    """Open a browser in which somebody has signed in."""
    with browser(width=WIDE, height=HIGH) as window:
        window.sign_in(stage.airflow.url, person, stage.airflow.password_of(person))
        window.prefer()
        yield window


def take_mine(window: Browser, stage: Stage) -> None:
    """Take the picture of what has to do with somebody who started one of the runs."""
    framed(window, f"{stage.airflow.url}/plugin/bkitsm-approvals", "bkitsm/approvals")
    window.one("[data-view=all]").click()
    window.one("#mine").click()
    window.one("#mine[aria-pressed=true]")
    window.wait(lambda: len(window.all("tbody tr")) == 1, "more than one is mine")
    save(window, "mine")


def take(window: Browser, stage: Stage) -> None:
    """Take the pictures, one after the other; a narrow window comes last."""
    for theme, language, name in (("light", "en", "approvals"), ("dark", "zh-CN", "approvals-dark-zh")):
        window.prefer(theme=theme, language=language)
        framed(window, f"{stage.airflow.url}/plugin/bkitsm-approvals", "bkitsm/approvals")
        window.one("[data-view=all]").click()
        window.one("tr[data-status=approved]")
        window.one("[data-view=all][aria-pressed=true]")
        save(window, name)
    window.driver.set_window_size(WIDE, HIGHER)
    for theme, language, name in (("light", "en", "ticket"), ("dark", "zh-CN", "ticket-dark-zh")):
        window.prefer(theme=theme, language=language)
        framed(window, stage.tab(1001, "wait", "bkitsm-ticket"), "bkitsm/ticket")
        window.one("section[data-card=story] li.approved")
        save(window, name)
    window.driver.set_window_size(WIDE, HIGH)
    window.prefer()
    framed(window, stage.tab(1003, "wait", "bkitsm-ticket"), "bkitsm/ticket")
    window.one("section[data-card=form]").location_once_scrolled_into_view  # noqa: B018
    save(window, "ticket-form")
    (waiting,) = (one for one in stage.control.tickets() if one["status"] == "RUNNING")
    window.open(f"{stage.control.url}/#/ticket/detail?id={waiting['id']}")
    window.one("body", text="ETL SHA-256")
    window.picture(PICTURES / "approver.png")
    for theme, language, name in (("light", "en", "collector"), ("dark", "zh-CN", "collector-dark-zh")):
        window.prefer(theme=theme, language=language)
        framed(window, f"{stage.airflow.url}/plugin/bkitsm-collectors", "bkitsm/collectors")
        window.one("tr[data-collector='1001'] button").click()
        window.one("svg .box.current.success_apply")
        save(window, name)
    window.prefer()
    connection_form(window, stage.airflow.url)
    framed(window, stage.tab(1003, "wait", "bkitsm-ticket"), "bkitsm/ticket")
    window.one("#withdraw").click()
    window.one("#reason").send_keys("Found another way")
    save(window, "withdraw")
    framed(window, stage.tab(1003, "wait", "bkitsm-ticket"), "bkitsm/ticket")
    window.one("#remind").click()
    window.one("#copy").click()
    window.one("dialog .notice.done")
    save(window, "remind")
    framed(window, f"{stage.airflow.url}/plugin/bkitsm-approvals", "bkitsm/approvals")
    window.click("#pick-all")
    window.click("#withdraw_many")
    window.one("#reason").send_keys("Found another way")
    save(window, "withdraw-many")
    window.driver.set_window_size(*PHONE)
    window.open(f"{stage.airflow.url}/bkitsm/approvals?view=all")
    window.one("tr[data-status=approved]")
    save(window, "narrow")


def take_note(window: Browser, stage: Stage) -> None:
    """Take the picture of a waiting task with its note."""
    run = stage.runs[1003]
    window.prefer()
    window.open(f"{stage.airflow.url}/dags/{DAG_ID}/runs/{run}/tasks/wait")
    window.one("a[href*='plugin/bkitsm-ticket']", text="REQ", seconds=120)
    window.wait(lambda: "waits for admin" in window.text(), "no note on the task", seconds=120)
    save(window, "note")


def connection_form(window: Browser, url: str) -> None:
    """Open Airflow's own form for a connection, with its type chosen."""
    window.open(f"{url}/connections")
    window.one("button", text="Add Connection").click()
    window.one("[role=dialog] input[name=connection_id]").send_keys("bkitsm_default")
    window.one("[role=dialog] input[role=combobox]").send_keys("BlueKing ITSM")
    window.one("[role=option]", text="BlueKing ITSM").click()
    window.one("[role=dialog]", text="Gateway URL")
    save(window, "connection-form")


def framed(window: Browser, url: str, part: str) -> None:
    """Open a page of ours inside Airflow."""
    window.open(url)
    window.into_frame(part)
    window.one("#pulse", text=":")


def save(window: Browser, name: str) -> None:
    """Save a picture of the whole window."""
    window.out_of_frame()
    window.picture(PICTURES / f"{name}.png")


@contextmanager
def stage() -> Iterator[Stage]:
    """Run Airflow and the sandbox with one approved, one rejected and one waiting collector."""
    home = Path(tempfile.mkdtemp(prefix="bkitsm-pictures-"))
    try:
        with SandboxProcess(home=home) as sandbox:
            people = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"admin:admin,{COLLEAGUE}:user"}
            env = {**sandbox.control.connections(settle_seconds=2), **people}
            with LocalAirflow(home=home / "airflow", dags=ROOT / "dags", env=env) as airflow:
                airflow.wait_ready(DAG_ID)
                yield played(airflow, sandbox)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def played(airflow: LocalAirflow, sandbox: SandboxProcess) -> Stage:
    """Play what the pictures show."""
    password = airflow.password_of(COLLEAGUE)
    colleague = AirflowApi(url=airflow.url, username=COLLEAGUE, password=password)
    starts = {1003: colleague}
    runs = {
        one: starts.get(one, airflow.api).trigger(DAG_ID, {"collector_config_id": one, "reason": why})
        for one, why in REASONS.items()
    }
    sns = {one: waits(airflow, run) for one, run in runs.items()}
    sandbox.decide(sns[1001], "approve", "Capacity is fine, go ahead")
    sandbox.decide(sns[1002], "reject", "Seven days are enough, please ask again")
    for one in (1001, 1002):
        airflow.api.wait_for_run(DAG_ID, runs[one])
    return Stage(airflow=airflow, control=sandbox.control, runs=runs)


def waits(airflow: LocalAirflow, run: str) -> str:
    """Wait until a run's ticket is waited for; return its number."""
    airflow.api.wait_for_task(DAG_ID, run, "wait", "deferred", seconds=120)
    sn: str = airflow.api.xcom(DAG_ID, run, "apply")
    registered = f"bkitsm_wait:{sn}"
    wait_until(
        lambda: airflow.api.xcom(DAG_ID, run, "wait", registered), lambda: f"{sn} is not waited for", seconds=60
    )
    return sn


if __name__ == "__main__":
    sys.exit(main())
