# SPDX-License-Identifier: Apache-2.0
"""The pages in a browser, without an Airflow: tests say what is in its database, and the sandbox is the ITSM."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Response

from airflow_provider_bkitsm.approvals.rows import ApprovalWait, TaskKey
from airflow_provider_bkitsm.approvals.state_diagram import state_diagram
from airflow_provider_bkitsm.itsm.outcome import Outcome
from airflow_provider_bkitsm.itsm.verdict import Decision, Verdict
from airflow_provider_bkitsm.plugins import api, views
from airflow_provider_bkitsm.plugins import pages as plugin_pages
from airflow_provider_bkitsm.plugins.security import Secured
from airflow_provider_bkitsm.plugins.store_reader import collector_row
from demo.browser import Browser, browser, missing
from tests.plugins.people import AuthManager, Person, auth_manager
from tests.plugins.test_views import Store, Tickets
from tests.serving import serving

needs_a_browser = pytest.mark.skipif(
    bool(missing()), reason=f"the pages need a browser: no {missing()} is installed"
)
AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
CONN = "bkitsm_default"
PHONE = (390, 844)
WIDE = (1400, 900)


class FilledStore(Store):
    """The collectors' store, whose collectors have just been applied for."""

    def detail(self, *key: Any) -> dict[str, Any]:  # type: ignore[override]
        row = next(one for one in self.rows if one.collector_config_id == key[1])
        picture = state_diagram(row.state, ()).as_dict()
        entry = {"event": "ticket_opened", "from_state": row.state, "to_state": row.state, "reason": ""}
        entry |= {"version": 1, "application": 1, "sn": "REQ1", "run_id": "run", "at": row.updated_at.isoformat()}
        known = {"payload": {"etl": 1}, "error": "", "picture": picture, "history": [entry]}
        return {**collector_row(row), **known}


@dataclass
class Site:
    """The pages at an address, and what is to see there."""

    window: Browser
    url: str
    manager: AuthManager
    tickets: Tickets
    store: Store

    def sign_in(self, person: Person) -> None:
        """Have the window be somebody's."""
        token = self.manager.sign_in(person)
        self.window.open(f"{self.url}/bkitsm/assets/words.js")
        self.window.driver.add_cookie({"name": "_token", "value": token})

    def open(self, path: str = "approvals", **choices: str) -> Browser:
        """Open a page in a theme and a language."""
        self.window.open(f"{self.url}/bkitsm/assets/words.js")
        self.window.prefer(**choices)
        self.window.open(f"{self.url}/bkitsm/{path}")
        self.window.one("#pulse", text=":")
        return self.window


@pytest.fixture(scope="session")
def window() -> Iterator[Browser]:
    with browser(width=WIDE[0], height=WIDE[1]) as opened:
        yield opened


@pytest.fixture
def site(window, metadata, connections, monkeypatch) -> Iterator[Site]:
    """Serve the pages, seen by somebody who may read and change the DAGs ``dag`` and ``other``."""
    monkeypatch.setattr("airflow.models.dag.DagModel.get_team_name", lambda *_: None)
    seen, tickets, store = views.ApprovalViews(metadata), Tickets(), FilledStore()
    seen.tickets, seen.collectors = tickets, store  # type: ignore[assignment]
    plugin, server = FastAPI(), FastAPI()
    plugin.include_router(plugin_pages.router())
    plugin.mount(api.PATH, api.create_api(seen))
    server.mount("/bkitsm", Secured(plugin))
    server.get("/favicon.ico")(lambda: Response(status_code=204))  # Airflow has one
    dags = frozenset({"dag", "other"})
    with auth_manager() as manager, serving(server) as url:
        served = Site(window=window, url=url, manager=manager, tickets=tickets, store=store)
        served.sign_in(Person(name="robot", reads=dags, changes=dags))
        window.complaints()
        yield served
        window.open("about:blank")
        window.driver.set_window_size(*WIDE)


@pytest.fixture
def waits(site, sandbox) -> Callable[..., ApprovalWait]:
    """Return a maker of tickets of the sandbox that tasks wait for."""
    from airflow_provider_bkitsm.hooks.itsm import ItsmHook
    from tests.callback.conftest import FORM

    def make(
        title: str, *tasks: TaskKey, creator: str = "robot", hours: float = 24, **changes: Any
    ) -> ApprovalWait:
        fields = FORM | {"title": title}
        sn = ItsmHook().create_ticket(creator=creator, fields=fields, fast_approval=True).sn
        sandbox.wait_for_step(sn)
        wait = ApprovalWait(
            task=TaskKey(dag_id="dag", run_id=f"manual__{title}", task_id="wait"),
            state="deferred",
            sn=sn,
            conn_id=CONN,
            registered_at=datetime.now(UTC),
            approval_seconds=hours * 3600,
            triggered_by="carol",
        )
        made = replace(wait, **changes)
        site.tickets.founds += [replace(made, task=task) for task in tasks or (made.task,)]
        return made

    return make


def decided(title: str, outcome: Outcome, remark: str, *, minutes: int = 30, ago: int = 60) -> ApprovalWait:
    """Return a wait whose ticket was decided ``minutes`` after it was opened, ``ago`` minutes before now."""
    at = datetime.now(UTC) - timedelta(minutes=ago)
    answer = Decision(
        operator="alice", approved=outcome is Outcome.APPROVED, remark=remark, decided_at=at.isoformat()
    )
    number = f"REQ2026{abs(hash(title)) % 10**10:010}"
    verdict = Verdict(
        sn=number,
        outcome=outcome,
        reason="",
        current_status="FINISHED",
        title=title,
        ticket_url=f"https://itsm.example.com/#/ticket/detail?id={number[-4:]}",
        decided_at=at.isoformat(),
        approvers=(answer,),
    )
    return ApprovalWait(
        task=TaskKey(dag_id="dag", run_id=f"manual__{title}", task_id="wait"),
        state="success" if outcome is Outcome.APPROVED else "failed",
        sn=number,
        conn_id=CONN,
        registered_at=at - timedelta(minutes=minutes),
        ended_at=at,
        triggered_by="carol",
        verdict=verdict.as_dict(),
    )


def violations(window: Browser) -> list[str]:
    """Return what axe-core finds that is serious or critical: the rule, and where.

    It is no part of the package: ``npm ci`` puts it into ``node_modules`` (``make`` does that where Node.js is).
    """
    if not AXE.exists():
        if shutil.which("node") is None:
            pytest.skip("axe-core needs Node.js: nothing could install it")
        pytest.fail("axe-core is not there: run `npm ci` in the folder of package.json")
    window.script(AXE.read_text(encoding="utf-8"))
    found = window.driver.execute_async_script(
        "const done = arguments[0]; axe.run(document).then(done, (error) => done({ error: String(error) }))"
    )
    assert "error" not in found, found
    return [
        f"{one['id']} ({one['impact']}): {node['target']} {node['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
