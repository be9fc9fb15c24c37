# SPDX-License-Identifier: Apache-2.0
"""Connections to a sandbox of ITSM v4."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "v4_case(case): a case of ITSM v4, with its facts")


@pytest.fixture
def itsm(monkeypatch: Any, tmp_path: Any) -> Iterator[SandboxServer]:
    """Serve ITSM v4 behind the default connection."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    # The sandbox's flows start in a fraction of the time a real ITSM's take.
    monkeypatch.setattr("airflow_provider_bkitsm.tickets.opener.START_SECONDS", 0.05)
    monkeypatch.setattr("airflow_provider_bkitsm.tickets.withdrawal.RETRY_SECONDS", 0.05)
    with SandboxServer(Settings(start_delay=0.02), dialect="v4") as server:
        for name, value in server.connections(read_retries=0, settle_seconds=0.2).items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def changed(itsm: SandboxServer, monkeypatch: Any) -> Any:
    """Return what gives the connection another extra."""

    def change(**extra: Any) -> None:
        text = itsm.connection("bkitsm", **{"read_retries": 0, "settle_seconds": 0.2} | extra)
        monkeypatch.setenv("AIRFLOW_CONN_BKITSM_DEFAULT", text)

    return change
