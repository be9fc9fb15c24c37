# SPDX-License-Identifier: Apache-2.0
"""One sandbox a module; tests tell their tickets apart by number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.sandbox.client import Client
from tests.sandbox.receiver import Receiver


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    """Serve a sandbox that starts its tickets at once."""
    with SandboxServer(Settings(start_delay=0)) as served:
        yield served


@pytest.fixture(scope="module")
def client(server: SandboxServer) -> Client:
    """Return a client with the right credentials."""
    return Client(server)


@pytest.fixture(scope="module")
def unstarted() -> Iterator[Client]:
    """Return a client of a sandbox whose tickets do not start while a test looks at them."""
    with SandboxServer(Settings(start_delay=3600)) as served:
        yield Client(served)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Serve something that takes callbacks."""
    with Receiver() as listening:
        yield listening
