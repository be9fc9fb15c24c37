# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests of DAGs that ask for approvals. Importing this costs next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from airflow_provider_bkitsm.testing.sandbox import BkItsmSandbox


@pytest.fixture
def bkitsm_dialect() -> Literal["v2", "v4"]:
    """The version of ITSM that ``bkitsm_default`` leads to; override it, or parametrise it, for another one."""
    return "v2"


@pytest.fixture
def bkitsm_sandbox(bkitsm_dialect: Literal["v2", "v4"]) -> Iterator[BkItsmSandbox]:
    """Serve ITSM and the log platform on a free port of this machine, with nothing in it yet."""
    from airflow_provider_bkitsm.testing.sandbox import BkItsmSandbox

    with BkItsmSandbox(dialect=bkitsm_dialect) as sandbox:
        yield sandbox


@pytest.fixture
def bkitsm_connections(bkitsm_sandbox: BkItsmSandbox, monkeypatch: pytest.MonkeyPatch) -> BkItsmSandbox:
    """Define ``bkitsm_default`` and ``bklog_default`` for one test; return the sandbox they lead to."""
    for name, value in bkitsm_sandbox.connections().items():
        monkeypatch.setenv(name, value)
    return bkitsm_sandbox
