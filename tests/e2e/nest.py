# SPDX-License-Identifier: Apache-2.0
"""A process that has imported Airflow once, and becomes each component that it is asked for: a program of its own.

To import Airflow is most of what the start of a component costs. Whoever started it asks by lines of JSON, over
the socket whose number is the argument: for a component, or how one has ended.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import socket
import sys
from contextlib import suppress

# What components and their tasks import first of all; a version before has some of it elsewhere. That each can
# import the provider by itself is shown where nothing is forked: in the tests of kills and of the parsing of DAGs.
_MODULES = (
    "airflow.cli.cli_parser",
    "airflow.jobs.scheduler_job_runner",
    "airflow.jobs.triggerer_job_runner",
    "airflow.dag_processing.manager",
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.api_fastapi.app",
    "airflow.api_fastapi.core_api.routes.public",
    "airflow.api_fastapi.core_api.routes.ui",
    "airflow.api_fastapi.execution_api.app",
    "airflow.sdk.definitions.decorators",
    "airflow.providers.standard.operators.python",
    "airflow.providers.standard.sensors.time_delta",
    "jinja2.ext",
    "airflow_provider_bkitsm.operators.ticket",
    "airflow_provider_bkitsm.operators.collector",
    "airflow_provider_bkitsm.sensors.ticket",
    "airflow_provider_bkitsm.triggers.ticket",
    "airflow_provider_bkitsm.hooks.itsm",
    "airflow_provider_bkitsm.hooks.bklog",
    "airflow_provider_bkitsm.hooks.limits",
    "airflow_provider_bkitsm.tickets.approval_request",
)


def prepare() -> None:
    """Import Airflow."""
    # To look for garbage among its modules takes a quarter of that.
    gc.set_threshold(100_000)
    for name in _MODULES:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()


def serve(asked: socket.socket) -> list[str]:
    """Answer until nobody asks any more; return in each child the command line that it has to run.

    :raises SystemExit: in the parent, when whoever asks has gone.
    """
    for line in asked.makefile("r"):
        question = json.loads(line)
        if "ended" in question:
            pid, status = os.waitpid(question["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if not answer:
                asked.close()
                return _become(**question)
        asked.sendall(f"{json.dumps(answer)}\n".encode())
    raise SystemExit


def _become(command: list[str], env: dict[str, str], log: str) -> list[str]:
    """Be a process as a service manager starts one: with a session, an environment and a log of its own."""
    os.setsid()
    # As `ps` and `top` show it.
    with suppress(OSError), open("/proc/self/comm", "w") as name:
        name.write(command[1][:15])
    os.environ.clear()
    os.environ.update(env)
    for flags, path, number in ((os.O_RDONLY, os.devnull, 0), (os.O_WRONLY | os.O_APPEND, log, 1)):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.dup2(1, 2)
    return command


if __name__ == "__main__":
    prepare()
    sys.argv = serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("airflow", run_name="__main__", alter_sys=True)
