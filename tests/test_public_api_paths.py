# SPDX-License-Identifier: Apache-2.0
"""Operators go by the path that users import them from, in code and in what Airflow stores."""

from __future__ import annotations

import json
import pickle

import pytest
from airflow.sdk import DAG

from airflow_provider_bkitsm.operators import collector, ticket
from airflow_provider_bkitsm.operators.ticket import ItsmOperateTicketOperator
from tests.serialising import DagSerialization

OPERATED = {"action_type": "WITHDRAW", "action_message": "no", "ticket_sn": "REQ1"}


@pytest.mark.parametrize(("module", "name"), [(one, name) for one in (ticket, collector) for name in one.__all__])
def test_a_class_is_of_the_module_that_users_import(module, name):
    operator = getattr(module, name)
    assert operator.__module__ == module.__name__
    assert pickle.loads(pickle.dumps(operator)) is operator


@pytest.mark.parametrize("stored", ["operators.ticket", "operators.ticket_operate"])
def test_a_dag_that_this_or_an_older_version_stored_is_loaded(stored):
    """Older versions stored the module in which the class is written."""
    with DAG("d", schedule=None) as dag:
        ItsmOperateTicketOperator(task_id="end", **OPERATED)
    text = json.dumps(DagSerialization.to_dict(dag))
    assert '"airflow_provider_bkitsm.operators.ticket"' in text
    older = text.replace('"airflow_provider_bkitsm.operators.ticket"', f'"airflow_provider_bkitsm.{stored}"')
    loaded = DagSerialization.from_dict(json.loads(older)).get_task("end")
    assert (loaded.task_type, list(loaded.template_fields)) == (
        "ItsmOperateTicketOperator",
        list(ItsmOperateTicketOperator.template_fields),
    )
