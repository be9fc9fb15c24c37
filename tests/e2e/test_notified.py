# SPDX-License-Identifier: Apache-2.0
"""ITSM is told of failures: by a worker, the DAG processor and, of a missed deadline, the triggerer."""

from __future__ import annotations

from airflow_provider_bkitsm.itsm.idempotency import unmarked_title
from demo.airflow_api import wait_until
from tests.e2e.conftest import POSTGRES

DATABASES = (POSTGRES,)


def test_each_failure_opens_one_ticket(airflow, control):
    run = airflow.api.trigger("notified")
    wanted = [f"Run of {run} failed", f"Run of {run} is late", f"Task of {run} failed"]

    def told() -> list[str]:
        return sorted(title for one in control.tickets() if run in (title := unmarked_title(one["title"])))

    wait_until(lambda: told() == wanted, told)
    (task,) = (one["sn"] for one in control.tickets() if one["title"].startswith(f"Task of {run}"))
    assert control.ticket(task)["fields"]["APPROVAL_CONTENT"] == "the disk is full"


def test_p8_a_notifier_that_fails_hides_nothing_and_tells_no_secret(airflow):
    run = airflow.api.trigger("notifier_fails")
    assert airflow.api.wait_for_run("notifier_fails", run) == "failed"
    told = "ITSM has no service 404404; no ticket was opened"
    wait_until(lambda: told in airflow.api.log("notifier_fails", run, "fails_too"), lambda: "no such line")
    log = airflow.api.log("notifier_fails", run, "fails_too")
    assert "the disk is full" in log
    assert "sandbox-secret" not in log
