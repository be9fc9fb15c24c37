# SPDX-License-Identifier: Apache-2.0
"""Airflow's supervisor of a triggerer, with Airflow's own Execution API behind it, in this process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest


def execution_api(transport: Any) -> Any:
    """Return a client of the Execution API, as a supervisor has it."""
    from airflow.sdk.api.client import Client

    return Client(base_url="http://in-process.invalid./", token="", transport=transport)


def answer(api: Any, message: Any) -> Any:
    """Return what the supervisor answers. The API reads the database itself, as in a process of its own."""
    from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor
    from airflow.sdk.execution_time import task_runner

    answers: list[Any] = []
    supervisor: Any = SimpleNamespace(client=api, send_msg=lambda one, **_: answers.append(one))
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(task_runner, "SUPERVISOR_COMMS")
        TriggerRunnerSupervisor._handle_request(supervisor, message, None, 1)  # type: ignore[arg-type]
    return answers[0]
