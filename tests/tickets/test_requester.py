# SPDX-License-Identifier: Apache-2.0
"""Who asks: the person who started the run, by the name in ITSM; and the macro of that name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.bases.operator import BaseOperator

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError, ItsmInvalidRequestError
from airflow_provider_bkitsm.plugins.bkitsm import BkItsmPlugin
from airflow_provider_bkitsm.tickets.requester import find_requester, requester

MAPPING = '{"Alice Smith": "alice", "bob@example.com": "bob"}'


@pytest.fixture(autouse=True)
def mapping(monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", MAPPING)


def run_of(person):
    return SimpleNamespace(triggering_user_name=person)


@pytest.mark.parametrize(
    ("person", "name"), [("Alice Smith", "alice"), ("bob@example.com", "bob"), ("carol", "carol"), (None, "")]
)
@pytest.mark.parametrize("as_json", [True, False])
def test_the_person_who_started_the_run_asks(person, name, as_json):
    run = vars(run_of(person)) if as_json else run_of(person)
    assert find_requester(run).name == name


@pytest.mark.parametrize("run", [None, {}, SimpleNamespace()])
def test_a_run_that_no_person_started_has_none(run):
    assert find_requester(run).name == ""
    assert requester(run, "robot") == "robot"


@pytest.mark.parametrize("named", ["dave", ["dave"], " dave "])
def test_whom_the_task_names_asks_in_the_persons_place(named):
    assert find_requester(run_of("carol"), named=named).name == "dave"


@pytest.mark.parametrize("named", [None, "", "None"])
def test_a_template_that_renders_to_nothing_names_nobody(named):
    assert find_requester(run_of("carol"), named=named).name == "carol"


def test_several_requesters_are_refused():
    with pytest.raises(ItsmInvalidRequestError, match="takes one person"):
        find_requester(run_of("carol"), named="alice,bob")


@pytest.mark.parametrize(("person", "mapping"), [("Dave Jones", MAPPING), ("carol", "no json")])
def test_a_person_without_a_name_in_itsm_is_told_only_where_it_counts(person, mapping, monkeypatch):
    monkeypatch.setenv("AIRFLOW__BKITSM__USER_MAPPING", mapping)
    found = find_requester(run_of(person))
    assert (found.name, bool(found.problem)) == ("", True)
    with pytest.raises(
        ItsmConfigurationError, match=r"forbid_self_approval: .*user_mapping.*no ticket was opened"
    ):
        found.check_is_known("forbid_self_approval")
    find_requester(run_of("alice"), named="alice").check_is_known("forbid_self_approval")


def test_a_template_says_who_asks():
    with DAG("d", schedule=None):
        task = BaseOperator(task_id="t")
    context = {"dag_run": run_of("Alice Smith"), "macros": SimpleNamespace(bkitsm=SimpleNamespace())}
    for macro in BkItsmPlugin.macros:
        setattr(context["macros"].bkitsm, macro.__name__, macro)
    assert task.render_template("by {{ macros.bkitsm.requester(dag_run) }}", context) == "by alice"
    context["dag_run"] = run_of(None)
    assert (
        task.render_template("{{ macros.bkitsm.requester(dag_run, 'the schedule') }}", context) == "the schedule"
    )
