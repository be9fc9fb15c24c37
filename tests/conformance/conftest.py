# SPDX-License-Identifier: Apache-2.0
"""Each conformance case is put to the sandbox as it comes over the wire, and to the provider's own client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.protocol import Call
from airflow_provider_bkitsm.sandbox.server import SandboxServer
from airflow_provider_bkitsm.sandbox.settings import Settings
from tests.sandbox.receiver import Receiver
from tests.sandbox.stage import Stage


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(Settings(start_delay=0)) as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture
def stage(sandbox: SandboxServer, receiver: Receiver) -> Stage:
    return Stage(sandbox, receiver)


@pytest.fixture
def hook(connections: Any) -> ItsmHook:
    return ItsmHook()


def refusal(call: Callable[[], Any]) -> type[ItsmError] | None:
    """Return the class of error a call of the client ends in; None if it succeeds."""
    try:
        call()
    except ItsmError as error:
        return type(error)
    return None


def plain(path: str, body: Any = None, **more: Any) -> Call[Any]:
    """Return a call the client would not make by itself, or would refuse to send."""
    return Call(method="GET" if body is None else "POST", path=path, body=body, parse=lambda data: data, **more)
