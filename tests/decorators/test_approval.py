# SPDX-License-Identifier: Apache-2.0
"""``@task.bkitsm_approval``: the function is asked for its form again after an approval, people are not."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from airflow.sdk import DAG, task

from airflow_provider_bkitsm.decorators.approval import ItsmApprovalDecoratedOperator, bkitsm_approval_task
from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from tests.operators.test_ticket_approval import event

ONE = {"APPROVER": "alice", "APPROVAL_CONTENT": "Restart one"}


def built(function, *args, decorator=bkitsm_approval_task, **parameters) -> ItsmApprovalDecoratedOperator:
    """The task a decorated function becomes."""
    with DAG("d", schedule=None):
        known = {"fast_approval": True, "title": "Restart"}
        return decorator(**known | parameters)(function)(*args).operator


def ask(what: str = "one") -> dict[str, str]:
    """Ask alice."""
    return ONE | {"APPROVAL_CONTENT": f"Restart {what}"}


def asked(operator, who) -> str:
    """Run it until it waits; return the digest it remembers."""
    with pytest.raises(TaskDeferred) as deferral:
        operator.execute(who.context)
    digest: str = deferral.value.kwargs["asked"]
    return digest


@pytest.fixture
def who(connections, task):
    return task("ask")


def form(ticket: dict[str, Any]) -> tuple[str, str]:
    """What people are asked, without the digest below it."""
    return ticket["title"].partition(" [#")[0], ticket["fields"]["APPROVAL_CONTENT"].partition("\n")[0]


def test_the_functions_form_is_asked(who, sandbox):
    asked(built(ask, "two", decorator=task.bkitsm_approval), who)
    (ticket,) = sandbox.tickets()
    assert form(ticket) == ("Restart", "Restart two")


def test_the_task_is_called_like_its_function_and_says_what_it_is():
    operator = built(ask)
    assert (operator.task_id, operator.operator_name) == ("ask", "@task.bkitsm_approval")
    assert operator.doc_md == "Ask alice."


def test_the_function_may_return_the_title_too(who, sandbox):
    asked(built(lambda: ONE | {"title": "Another"}, task_id="ask"), who)
    assert form(sandbox.tickets()[0])[0] == "Another"


def test_the_function_is_given_the_context_it_takes(who, sandbox):
    asked(built(lambda dag_run=None: ask(dag_run.run_id), task_id="ask"), who)
    assert form(sandbox.tickets()[0])[1] == "Restart run_1"


def test_templates_in_what_it_returns_are_not_rendered(who, sandbox):
    asked(built(ask, "{{ 7 * 6 }}"), who)
    assert form(sandbox.tickets()[0])[1] == "Restart {{ 7 * 6 }}"


def test_an_approval_is_the_result_and_nobody_is_asked_again(who, sandbox):
    digest = asked(built(ask), who)
    assert built(ask).execute_complete(who.context, event(), asked=digest)["outcome"] == "approved"
    assert len(sandbox.tickets()) == 1


def test_p3_what_the_function_would_ask_after_the_approval_is_compared_with_what_it_asked(who):
    digest = asked(built(ask), who)
    with pytest.raises(AirflowFailException, match=f"then {digest}, now sha256"):
        built(ask, "all").execute_complete(who.context, event(), asked=digest)


def test_what_is_not_compared_is_not_called_again_and_needs_no_worker(who):
    calls = []

    def counted():
        calls.append(1)
        return ONE

    operator = built(counted, compare_parameters=False)
    with pytest.raises(TaskDeferred) as deferral:
        operator.execute(who.context)
    assert deferral.value.trigger.serialize()[1]["ends_task"] is True
    operator.execute_complete(who.context, event(), asked=deferral.value.kwargs["asked"])
    assert len(calls) == 1


def test_p3_a_refusal_is_a_refusal_whatever_the_function_would_do_now(who):
    def fails():
        raise RuntimeError

    with pytest.raises(AirflowFailException):
        built(fails, on_timeout="keep").execute_complete(who.context, event("rejected"), asked="sha256:0")


def test_p2_a_retry_waits_for_the_same_ticket(who, sandbox, task):
    assert asked(built(ask), who) == asked(built(ask), task("ask", try_number=2))
    assert len(sandbox.tickets()) == 1


@pytest.mark.parametrize("returned", [None, "alice", ["APPROVER"], {1: "alice"}])
def test_p3_what_is_no_form_is_not_asked(who, sandbox, returned):
    with pytest.raises(ItsmInvalidRequestError, match="as a mapping"):
        built(lambda: returned, task_id="ask").execute(who.context)
    assert sandbox.tickets() == []


def test_a_ticket_needs_a_title(who, sandbox):
    with pytest.raises(ItsmInvalidRequestError, match="no title"):
        built(ask, title="").execute(who.context)
    assert sandbox.tickets() == []


def test_fields_are_the_functions_alone():
    with pytest.raises(TypeError, match="the function returns them"):
        built(ask, fields=ONE)


def test_its_annotation_does_not_split_the_verdict():
    assert built(ask).multiple_outputs is False


def test_it_can_be_mapped_and_renamed(who, sandbox):
    with DAG("d", schedule=None) as dag:
        ask_each = task.bkitsm_approval(title="Restart", fast_approval=True)(ask)
        ask_each.override(task_id="renamed", title="Stop")("one")
        ask_each.partial().expand(what=["one", "two"])
    assert dag.task_ids == ["renamed", "ask"]
    assert dag.get_task("renamed").title == "Stop"
    mapped = dag.get_task("ask")
    operator = mapped.unmap({"op_kwargs": {"what": "two"}})
    asked(operator, who)
    assert form(sandbox.tickets()[0]) == ("Restart", "Restart two")


def test_what_it_returns_may_be_itsms_list_and_names_a_list(who, sandbox):
    pairs = [{"key": "APPROVER", "value": ["alice", "bob"]}, {"key": "APPROVAL_CONTENT", "value": "c"}]
    asked(built(lambda: pairs, task_id="ask"), who)
    assert sandbox.tickets()[0]["fields"]["APPROVER"] == "alice,bob"
