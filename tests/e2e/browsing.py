# SPDX-License-Identifier: Apache-2.0
"""A browser that is signed in to Airflow, and what is looked for in it."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

import pytest

from demo.browser import Browser, browser, missing
from demo.local_airflow import LocalAirflow
from tests.e2e.gates import Gate

needs_a_browser = pytest.mark.skipif(
    bool(missing()), reason=f"the pages need a browser: no {missing()} is installed"
)
EVIL = "<img src=x onerror=window.owned=1><script>window.owned=1</script>"


@pytest.fixture(scope="session")
def window() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def signed_in(window, airflow) -> Browser:
    window.sign_in(airflow.url, "admin", airflow.password_of("admin"))
    return window


@pytest.fixture(scope="session")
def window_of_viewer(airflow) -> Iterator[Browser]:
    with browser() as opened:
        opened.sign_in(airflow.url, "viewer", airflow.password_of("viewer"))
        yield opened


@pytest.fixture
def viewer(window_of_viewer, airflow) -> Iterator[Browser]:
    """Return the browser of somebody who may only look."""
    yield window_of_viewer
    rest(window_of_viewer, airflow)


@pytest.fixture
def page(signed_in, airflow) -> Iterator[Browser]:
    """Return the browser with nothing chosen and nothing complained about."""
    signed_in.out_of_frame()
    signed_in.prefer()
    signed_in.complaints()
    yield signed_in
    rest(signed_in, airflow)


def rest(window: Browser, airflow: LocalAirflow) -> None:
    """Go where nothing is drawn: Airflow's pages draw and ask as long as a window shows them."""
    window.open(f"{airflow.url}/bkitsm/assets/approvals.js")


@pytest.fixture(scope="session")
def evil(airflow, control) -> Gate:
    # ITSM's HTML filter would take the markup out of a title; as entities it comes back to our pages.
    return gate(airflow, control, title=html.escape(EVIL, quote=False), content=EVIL)


def gate(airflow: Any, control: Any, **conf: str) -> Gate:
    return Gate.open(airflow, control, "shown", **conf)


def listed(page: Browser, url: str, query: str = "") -> None:
    page.open(f"{url}/bkitsm/approvals?{query}")


def row(page: Browser, sn: str, status: str) -> Any:
    return page.one(f"tr[data-sn='{sn}'][data-status='{status}']")


def ticket_tab(url: str, one: Gate, task: str = "wait") -> str:
    return f"{url}/dags/{one.dag}/runs/{one.run}/tasks/{task}/plugin/bkitsm-ticket"
