# SPDX-License-Identifier: Apache-2.0
"""What the store says about whose a ticket is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from airflow_provider_bkitsm.collectors.errors import StoreUnavailable
from airflow_provider_bkitsm.collectors.row import Owner
from airflow_provider_bkitsm.hooks import store as module
from airflow_provider_bkitsm.hooks.store import open_store
from airflow_provider_bkitsm.tickets.ownership import AwaitedTicket, OwnershipKind
from airflow_provider_bkitsm.tickets.ownership_records import (
    read_opened_ticket,
    read_opening,
    read_ownership,
    read_request,
)
from tests.tickets.records import CONN, record_round

TICKET = AwaitedTicket(sn="REQ1", bkitsm_conn_id=CONN, dag_id="dag", run_id="run_1", opened_by="ask")


@pytest.fixture(autouse=True)
def _own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))


def claim(**changes) -> OwnershipKind:
    return read_ownership(replace(TICKET, **changes)).kind


def test_p3_a_ticket_is_its_openers_in_its_run_only():
    record_round("REQ1")
    assert claim() is claim(opened_by=None) is OwnershipKind.OWN
    assert claim(sn="REQ2") is OwnershipKind.FOREIGN
    others = ({"run_id": "run_2"}, {"dag_id": "other"}, {"opened_by": "second"})
    assert [claim(**one) for one in others] == [OwnershipKind.FOREIGN] * 3
    assert claim(run_id="run_2", opened_by=None) is OwnershipKind.FOREIGN


@pytest.mark.parametrize("run_id", ["run_1 ", "RUN_1", "r\u00fcn_1"])
def test_p3_a_run_whose_id_only_looks_alike_is_another_one(engine, monkeypatch, run_id):
    """Whoever starts a run may choose its id, and databases compare texts by rules of their own."""
    monkeypatch.setattr(module, "store_engine", lambda *_: engine)
    record_round("REQ1")
    assert claim() is OwnershipKind.OWN
    assert claim(run_id=run_id) is OwnershipKind.FOREIGN


def test_p3_only_the_latest_round_counts():
    record_round("REQ1")
    record_round("REQ2", round_number=2)
    assert claim() is OwnershipKind.FOREIGN
    assert claim(sn="REQ2") is OwnershipKind.OWN


def test_p3_a_round_that_has_no_ticket_yet_makes_the_earlier_one_count_no_more():
    record_round("REQ1")
    record_round(None, round_number=2)
    assert claim() is OwnershipKind.FOREIGN


def test_p3_of_two_installations_that_share_a_store_each_has_its_own_round(monkeypatch):
    """They have the same DAGs and run ids: staging's approval releases nothing in production."""
    record_round("REQ1", installation="https://production.example.com")
    record_round("REQ2", installation="https://staging.example.com")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://production.example.com")
    assert (claim(), claim(sn="REQ2")) == (OwnershipKind.OWN, OwnershipKind.FOREIGN)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://staging.example.com")
    assert (claim(), claim(sn="REQ2")) == (OwnershipKind.FOREIGN, OwnershipKind.OWN)


def test_p3_nor_does_it_where_the_number_is_the_authors_own(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://production.example.com")
    record_round("REQ1", installation="https://staging.example.com", request={"service_id": 1})
    assert claim(opened_by=None) is OwnershipKind.UNRECORDED
    # Their ITSMs may both have a ticket of this number.
    record_round("REQ1", request={"service_id": 2})
    record_round("REQ1", task_id="later", installation="https://staging.example.com", request={"service_id": 3})
    found = read_ownership(replace(TICKET, opened_by=None))
    assert (found.kind, found.request) == (OwnershipKind.OWN, {"service_id": 2})


def test_p3_the_ticket_of_one_of_two_tasks_is_that_of_their_latest_rounds():
    record_round("REQ1", task_id="ask")
    record_round("REQ2", task_id="other", map_index=0)
    record_round("REQ3", task_id="other", map_index=1)
    record_round("REQ4", task_id="third")
    assert [claim(sn=f"REQ{n}", opened_by="ask, other") for n in range(1, 6)] == [OwnershipKind.OWN] * 3 + [
        OwnershipKind.FOREIGN
    ] * 2
    assert [claim(sn=f"REQ{n}", opened_by="ask,other[1]") for n in (1, 2, 3)] == [
        OwnershipKind.OWN,
        OwnershipKind.FOREIGN,
        OwnershipKind.OWN,
    ]
    record_round("REQ5", task_id="ask", round_number=2)
    assert claim(opened_by="ask,other") is OwnershipKind.FOREIGN
    said = read_ownership(replace(TICKET, sn="REQ4", opened_by="ask,other")).text
    for part in ("task ask opened REQ5", "task other opened REQ2, REQ3", "task third of run run_1"):
        assert part in said


def test_p3_the_other_installations_round_releases_nothing_where_this_one_has_none(monkeypatch):
    """A triggerer may have another address than the workers: so a worker decides, which has the opener's."""
    record_round("REQ1", installation="https://staging.example.com")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://production.example.com")
    found = read_ownership(TICKET)
    assert (found.kind, found.since) == (OwnershipKind.UNRECORDED, None)
    assert "[api] base_url" in found.text
    assert claim(sn="REQ2") is OwnershipKind.FOREIGN


def test_a_round_that_kept_an_earlier_ticket_has_that_one():
    first = record_round("REQ1")
    record_round(None, round_number=2, ticket_of=first.nonce)
    assert claim() is OwnershipKind.OWN


def test_a_task_that_joined_a_shared_approval_has_its_ticket():
    shared = record_round("REQ1", run_id="", task_id="", approval_key="release")
    record_round(None, ticket_of=shared.nonce)
    assert claim() is claim(opened_by=None) is OwnershipKind.OWN
    assert claim(opened_by=None, dag_id="other") is OwnershipKind.FOREIGN


def test_every_mapped_task_has_a_ticket_of_its_own():
    for index in range(3):
        record_round(f"REQ{index}", map_index=index)
    assert [claim(sn=f"REQ{index}") for index in range(4)] == [OwnershipKind.OWN] * 3 + [OwnershipKind.FOREIGN]


def test_a_round_on_another_connection_counts_as_the_later_one():
    record_round("REQ1", conn_id="before", round_number=7)
    record_round("REQ2", conn_id="after")
    assert claim() is OwnershipKind.FOREIGN
    assert claim(sn="REQ2") is OwnershipKind.OWN


def apply(sn: str, *, collector: int = 1, request=None, conn_id: str | None = CONN, **owner) -> None:
    owner = Owner(**({"dag_id": "dag", "run_id": "run_1", "task_id": "ask"} | owner))
    intent = {"payload": {"a": 1}, "tag": f"tag{sn}{collector}", "owner": owner, "request": request}
    store = open_store()
    store.apply("bklog", collector, **intent, bkitsm_conn_id=conn_id)
    store.ticket_opened("bklog", collector, tag=intent["tag"], sn=sn)


def test_p3_a_collectors_ticket_is_that_of_the_task_that_applied():
    apply("REQ1")
    apply("REQ2", collector=2, run_id="run_2")
    assert claim() is claim(opened_by=None) is OwnershipKind.OWN
    assert claim(sn="REQ2") is claim(sn="REQ2", opened_by=None) is OwnershipKind.FOREIGN
    assert "task ask opened REQ1" in read_ownership(replace(TICKET, sn="REQ2")).text


def test_p3_another_installations_application_is_not_that_of_this_ones_task(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://production.example.com")
    apply("REQ1", request={"installation": "https://staging.example.com"})
    assert claim() is claim(opened_by=None) is OwnershipKind.UNRECORDED
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://staging.example.com")
    assert claim() is claim(opened_by=None) is OwnershipKind.OWN


def test_p3_what_was_sent_is_known_of_a_collectors_ticket_as_of_any_other():
    sent = {"service_id": 11, "fields": {"title": "t"}}
    apply("REQ1", request=sent)
    record_round("REQ2", task_id="other", request=sent)
    assert [read_ownership(replace(TICKET, sn=sn)).request for sn in ("REQ1", "REQ2")] == [sent, sent]
    assert [read_request(sn, CONN) for sn in ("REQ1", "REQ2", "REQ3")] == [sent, sent, None]


@pytest.mark.parametrize("sn", ["REQ1", "REQ2", "REQ3", "REQ4"])
def test_p3_whose_a_ticket_is_does_not_depend_on_when_its_opening_was_read(sn):
    apply("REQ1", request={"service_id": 1})
    record_round("REQ2", task_id="ask", request={"service_id": 2})
    record_round("REQ3", run_id="run_2", request={"service_id": 3})
    opening = read_opening(sn, CONN)
    assert opening.request == read_request(sn, CONN)
    for opened_by in ("ask", "apply", None):
        ticket = replace(TICKET, sn=sn, opened_by=opened_by)
        assert read_ownership(ticket, opening) == read_ownership(ticket)


def test_p3_a_round_that_began_after_the_opening_was_read_counts():
    record_round("REQ1")
    opening = read_opening("REQ1", CONN)
    record_round("REQ2", round_number=2)
    assert read_ownership(TICKET, opening).kind is OwnershipKind.FOREIGN


@pytest.mark.parametrize("conn_id", [CONN, None])
def test_p6_a_collectors_ticket_counts_within_its_connection(conn_id):
    """Two ITSMs give one number. Before version 6 of the tables an application did not store its connection."""
    apply("REQ1", collector=1, run_id="run_2", conn_id="elsewhere", request={"service_id": 2})
    assert claim(opened_by=None) is OwnershipKind.UNCLAIMED
    apply("REQ1", collector=2, conn_id=conn_id, request={"service_id": 1})
    apply("REQ1", collector=3, run_id="run_3", conn_id="elsewhere", request={"service_id": 3})
    found = read_ownership(replace(TICKET, opened_by=None))
    assert (found.kind, found.request) == (OwnershipKind.OWN, {"service_id": 1})
    assert read_request("REQ1", CONN) == {"service_id": 1}


def test_p3_a_collectors_ticket_that_this_run_opened_on_another_connection_is_its_own():
    apply("REQ1", conn_id="elsewhere", request={"service_id": 2})
    found = read_ownership(TICKET)
    assert (found.kind, found.request) == (OwnershipKind.OWN, {"service_id": 2})


def test_a_number_nobody_has_recorded_is_the_authors_own():
    assert claim(opened_by=None) is OwnershipKind.UNCLAIMED


def test_p3_a_number_of_another_connection_is_another_ticket():
    record_round("REQ1", dag_id="other", conn_id="elsewhere")
    assert claim(opened_by=None) is OwnershipKind.UNCLAIMED


@pytest.mark.parametrize("opened_by", ["ask", None])
def test_p3_a_ticket_of_this_run_is_read_back_whichever_connection_leads_to_it(opened_by):
    record_round("REQ1", request={"service_id": 7})
    found = read_ownership(replace(TICKET, bkitsm_conn_id="alias", opened_by=opened_by))
    assert (found.kind, found.request) == (OwnershipKind.OWN, {"service_id": 7})


def test_p3_without_a_record_a_ticket_has_to_be_older_than_the_records():
    before = datetime.now(UTC)
    found = read_ownership(TICKET)
    assert found.kind is OwnershipKind.UNRECORDED
    assert before < found.since < datetime.now(UTC)
    assert "[bkitsm] store_conn_id" in found.text


@pytest.mark.parametrize(
    ("executor", "said"),
    [
        ("LocalExecutor", OwnershipKind.UNRECORDED),
        ("airflow.executors.local_executor.LocalExecutor", OwnershipKind.UNRECORDED),
        ("CeleryExecutor", OwnershipKind.UNCLAIMED),
        ("LocalExecutor,KubernetesExecutor", OwnershipKind.UNCLAIMED),
    ],
)
def test_where_workers_write_into_other_files_a_missing_record_says_nothing(monkeypatch, executor, said):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    assert claim() is said


def opened(**changes) -> str | None:
    return read_opened_ticket(replace(TICKET, sn="", **changes))


def test_p1_a_wait_that_lost_its_number_has_the_ticket_that_its_opener_opened_last():
    record_round("REQ1")
    record_round("REQ2", round_number=2)
    assert opened() == opened(opened_by="ask,other") == "REQ2"
    assert opened(run_id="run_2") is None


def test_p1_so_has_one_behind_a_collectors_application():
    apply("REQ1")
    assert opened() == "REQ1"


def test_p3_of_several_tickets_it_has_the_one_of_its_index_or_none():
    for index, sn in enumerate(["REQ0", "REQ1"]):
        record_round(sn, map_index=index)
    assert opened() is None
    assert opened(opened_by="ask[1]") == "REQ1"
    assert opened(opened_by="ask[2]") is None


@pytest.mark.parametrize("opened_by", [None, "anyone", "other"])
def test_p3_it_has_none_where_no_opener_is_named_that_has_opened_one(opened_by):
    record_round("REQ1")
    assert opened(opened_by=opened_by) is None


def test_p3_it_has_none_while_the_latest_round_has_none():
    record_round("REQ1")
    record_round(None, round_number=2)
    assert opened() is None


def test_p3_another_installations_ticket_is_not_its_own():
    record_round("REQ1", installation="elsewhere")
    assert opened() is None


@pytest.mark.parametrize("error", [RuntimeError("postgresql://u:secret@db"), StoreUnavailable("locked")])
def test_p8_a_store_that_cannot_be_read_is_an_error_a_retry_may_get_past(monkeypatch, error):
    def broken(_conn_id=None):
        raise error

    monkeypatch.setattr(module, "store_engine", broken)
    with pytest.raises(StoreUnavailable) as raised:
        read_ownership(TICKET)
    assert raised.value.retry_safe
    assert "secret" not in str(raised.value)
