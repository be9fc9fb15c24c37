# SPDX-License-Identifier: Apache-2.0
"""Tickets that a version before has opened: retries and clears go on with them, and collectors' applications."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_bkitsm.hooks.store import open_store
from airflow_provider_bkitsm.itsm.idempotency import is_marked
from airflow_provider_bkitsm.operators.collector import (
    CollectorApplyOperator,
    CollectorCompleteOperator,
    CollectorProvisionEtlOperator,
)
from airflow_provider_bkitsm.operators.ticket import ItsmApprovalOperator, ItsmCreateTicketOperator
from airflow_provider_bkitsm.tickets.approval_store import open_approval_store
from tests.upgrade.record import APPLYING, BUSINESS, BYPASSED, BYPASSED_BUSINESS, CLEAN, FAST, LOST

OPERATORS = {"gate": (ItsmApprovalOperator, "gate"), "sensor": (ItsmCreateTicketOperator, "ask")}
OTHER = {"fields": {"APPROVER": "alice", "APPROVAL_CONTENT": "all of another one"}}


@pytest.mark.parametrize("part", OPERATORS)
class TestTasks:
    """A try of an operator that opens a ticket, after a version before has opened one for an earlier try.

    With ``states``: Airflow 3.3 and later keep a state for a task, where that version has written the number.
    """

    @pytest.fixture
    def left(self, before, part) -> dict[str, Any]:
        return before.begins(part)

    @pytest.fixture
    def ask(self, part, task):
        """Run one try in this version; return the number of the ticket it goes on with."""
        kind, task_id = OPERATORS[part]

        def run(*, states: Any = None, parameters: Any = None, **more: Any) -> str:
            operator = kind(task_id=task_id, **FAST | (parameters or {}))
            try:
                return str(operator.execute(task(task_id, states=states, **more).context))
            except TaskDeferred as waits:
                return str(waits.trigger.serialize()[1]["ticket_sn"])

        return run

    @pytest.mark.parametrize("decision", [None, "approve", "reject"])
    def test_p2_a_retry_goes_on_with_it(self, before, left, ask, decision):
        if decision:
            getattr(before.sandbox, decision)(left["sn"])
        assert ask(try_number=2, states=left["states"]) == left["sn"]
        assert ask(try_number=3, states=left["states"]) == left["sn"]
        assert len(before.sandbox.tickets()) == 1

    def test_p2_a_clear_goes_on_with_it_while_it_is_open(self, left, ask):
        assert ask(clear_number=1, states=left["states"]) == left["sn"]

    def test_p3_a_clear_asks_anew_once_it_is_decided(self, before, left, ask):
        before.sandbox.approve(left["sn"])
        assert ask(clear_number=1, states=left["states"]) != left["sn"]

    def test_a_clear_asks_anew_where_itsm_has_it_no_more(self, left, ask):
        gone = {"bkitsm_ticket": left["states"]["bkitsm_ticket"] | {"sn": "REQ20000101000001"}}
        assert ask(clear_number=1, states=gone).startswith("REQ")

    def test_p3_a_clear_after_the_upgrade_counts_from_the_record(self, before, left, ask):
        assert ask(try_number=2, states=left["states"]) == left["sn"]
        before.sandbox.approve(left["sn"])
        assert ask(clear_number=1, try_number=3, states=left["states"]) != left["sn"]

    def test_p3_without_a_state_a_new_ticket_is_asked_for(self, before, left, ask):
        """Nothing but its tag, which anybody can compute, says that the open one is the task's own."""
        fresh = ask(try_number=2)
        assert fresh != left["sn"]
        assert before.sandbox.ticket(left["sn"])["status"] == "RUNNING"
        assert ask(try_number=3) == fresh

    def test_after_a_crash_amid_its_opening_a_new_ticket_is_asked_for(self, left, ask):
        state = left["states"]["bkitsm_ticket"]
        begun = {name: state[name] for name in ("asking", "since", "began", "title")}
        assert ask(try_number=2, states={"bkitsm_ticket": begun}) != left["sn"]

    def test_p3_with_a_shared_approval_a_new_ticket_is_asked_for(self, left, ask):
        shared = {"approval_key": "release"}
        assert ask(try_number=2, states=left["states"], parameters=shared) != left["sn"]

    def test_nothing_is_compared_with_what_was_not_stored(self, left, ask):
        """What that version has sent is not known: its ticket is not read back."""
        ask(try_number=2, states=left["states"])
        assert open_approval_store().by_ticket("bkitsm_default", left["sn"]).request == {}


class TestGateOfOtherParameters:
    """The title of a gate's ticket shows the digest of what it asks."""

    def test_p3_a_retry_that_asks_something_else_fails(self, before, task):
        left = before.begins("gate")
        context = task("gate", try_number=2, states=left["states"]).context
        with pytest.raises(AirflowFailException, match="asks something else"):
            ItsmApprovalOperator(task_id="gate", **FAST | OTHER).execute(context)
        assert before.sandbox.ticket(left["sn"])["status"] == "RUNNING"

    def test_a_clear_ends_the_one_that_asks_something_else(self, before, task):
        left = before.begins("gate")
        context = task("gate", clear_number=1, states=left["states"]).context
        with pytest.raises(TaskDeferred) as waits:
            ItsmApprovalOperator(task_id="gate", **FAST | OTHER).execute(context)
        assert waits.value.trigger.serialize()[1]["ticket_sn"] != left["sn"]
        assert before.sandbox.ticket(left["sn"])["status"] == "REVOKED"

    def test_p3_an_approval_that_a_retry_goes_on_with_ends_the_gate(self, before, task):
        left = before.begins("gate")
        context = task("gate", try_number=2, states=left["states"]).context
        with pytest.raises(TaskDeferred) as waits:
            ItsmApprovalOperator(task_id="gate", **FAST).execute(context)
        before.sandbox.approve(left["sn"])
        done = ItsmApprovalOperator(task_id="gate", **FAST)
        result = done.execute_complete(context, left["approve"], **waits.value.kwargs)
        assert (result["sn"], result["outcome"]) == (left["sn"], "approved")


class Application:
    """The tasks of one run that has applied for a collector."""

    def __init__(self, task: Any, number: int, business: int = BUSINESS) -> None:
        self._task, self.number, self.business = task, number, business

    def _run(self, kind: type, task_id: str, try_number: int = 1, **parameters: Any) -> Any:
        which = {"collector_config_id": str(self.number), "bk_biz_id": str(self.business)}
        operator = kind(task_id=task_id, **which, **parameters)
        operator.skip_waits = lambda _context: None
        return operator.execute(self._task(task_id, try_number=try_number).context)

    def applies_again(self) -> str | None:
        parameters = {"clean_config": CLEAN, "approvers": ["alice"], "reason": "a new service"}
        return self._run(CollectorApplyOperator, "apply", try_number=2, **parameters)

    def provisions(self) -> Any:
        return self._run(CollectorProvisionEtlOperator, "provision")

    def completes(self) -> Any:
        return self._run(CollectorCompleteOperator, "complete")

    @property
    def row(self) -> Any:
        return open_store().get("bklog_default", self.number)


class TestCollectors:
    """Applications that were under way, from the store's file as that version left it."""

    @pytest.fixture
    def left(self, before) -> dict[str, Any]:
        for number, business in ((BYPASSED, BYPASSED_BUSINESS), (LOST, BUSINESS)):
            before.sandbox.put_collector(number, bk_biz_id=business)
        left = before.begins("collectors")
        before.writes_store(left)
        return left

    @pytest.fixture
    def applying(self, left, task) -> Application:  # noqa: ARG002
        return Application(task, APPLYING)

    def test_p1_an_approved_one_is_provisioned(self, before, left, applying):
        before.sandbox.approve(left["sn"])
        assert applying.provisions()["table_id"] == "2_bklog.app_runtime"
        assert applying.completes()["state"] == "success_apply"

    def test_p3_a_rejected_one_is_not(self, before, left, applying):
        before.sandbox.reject(left["sn"])
        with pytest.raises(AirflowFailException, match="rejected"):
            applying.provisions()
        assert before.sandbox.collector(APPLYING)["table_id"] is None

    def test_p2_a_retry_goes_on_with_its_ticket(self, left, applying):
        assert applying.applies_again() == left["sn"]

    @pytest.mark.parametrize("shows", ["text", "other"])
    def test_p3_of_its_ticket_the_digest_in_the_details_field_counts(self, before, task, shows):
        """The log platform's details are an object, or its JSON text; that of another payload is refused."""
        part = json.loads(json.dumps(before.left["collectors"]))
        for field in part["request"]["fields"]:
            if field["key"] == "collector_detail":
                text = json.dumps(field["value"], ensure_ascii=False)
                field["value"] = text if shows == "text" else json.loads(text.replace("sha256:9", "sha256:8"))
            if field["key"] == "apply_reason":
                digest = next(row for row in part["store"] if "'applying'" in row).split("sha256:")[1][:64]
                field["value"] = f"as in sha256:{digest}"
        sn = before.opens(part["request"])
        before.writes_store({"store": [line.replace(part["sn"], sn) for line in part["store"]]})
        before.sandbox.approve(sn)
        application = Application(task, APPLYING)
        if shows == "text":
            assert application.provisions()["table_id"] == "2_bklog.app_runtime"
        else:
            with pytest.raises(AirflowFailException, match="what was approved is something else"):
                application.provisions()

    def test_one_that_needed_no_approval_goes_on_without(self, before, left, task):  # noqa: ARG002
        application = Application(task, BYPASSED, BYPASSED_BUSINESS)
        assert application.provisions()["table_id"]
        assert application.completes()["state"] == "success_apply"

    def test_p2_a_lost_ticket_that_has_appeared_is_found(self, before, left, task):
        sn = before.opens(left["lost"]["request"])
        application = Application(task, LOST)
        assert application.applies_again() == sn
        before.sandbox.approve(sn)
        assert application.provisions()["table_id"]

    def test_p2_one_that_was_never_opened_is_opened_once(self, before, left, task):  # noqa: ARG002
        application, opened = Application(task, LOST), len(before.sandbox.tickets())
        sn = application.applies_again()
        assert application.applies_again() == sn
        assert len(before.sandbox.tickets()) == opened + 1
        assert is_marked(application.row.request["fields"]["title"], application.row.tag)
        before.sandbox.approve(sn)
        assert application.provisions()["table_id"]
