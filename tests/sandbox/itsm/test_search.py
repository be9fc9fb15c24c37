# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from airflow_provider_bkitsm.sandbox.itsm import service_catalog


@pytest.fixture(scope="module")
def sns(client, server):
    """Three tickets, the oldest first: approved; withdrawn; running in another service by somebody else."""
    approved, withdrawn = client.opened(tag="Run-1"), client.opened(tag="run-2")
    server.approve(approved)
    server.withdraw(withdrawn)
    return [approved, withdrawn, client.opened(service=service_catalog.ONE_APPROVAL, creator="dora")]


def found(client, sns, /, **filters):
    return [sns.index(one["sn"]) for one in client.post("get_tickets", filters)["data"]["items"]]


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({}, [2, 1, 0]),
        ({"tag": "run-1"}, [0]),
        ({"tag": "nothing"}, []),
        ({"creator": "carol"}, [1, 0]),
        ({"creator": "dora"}, [2]),
        ({"username": "alice"}, [2]),
        ({"service_id__in": [service_catalog.FAST_APPROVAL]}, [1, 0]),
        ({"service_id__in": [str(service_catalog.ONE_APPROVAL)]}, [2]),
        ({"current_status__in": ["FINISHED", "REVOKED"]}, [1, 0]),
        ({"bk_biz_id__in": [2]}, []),
        ({"create_at__gte": "2020-01-01 00:00:00", "create_at__lte": "2999-01-01 00:00:00"}, [2, 1, 0]),
        ({"create_at__gte": "2999-01-01 00:00:00"}, []),
        ({"end_at__gte": "2020-01-01 00:00:00"}, [1, 0]),
        ({"end_at__lte": "2999-01-01 00:00:00"}, [1, 0]),
        ({"creator": "carol", "tag": "run-2"}, [1]),
        ({"unknown_filter": "x"}, [2, 1, 0]),
    ],
)
def test_filters(client, sns, filters, numbers):
    assert found(client, sns, **filters) == numbers


def test_numbers_are_a_filter(client, sns):
    assert found(client, sns, sns=[sns[0].lower(), "NOPE"]) == [0]


def test_rows_bring_neither_tag_nor_meta_back(client, sns):
    row = client.post("get_tickets", {"tag": "run-1"})["data"]["items"][0]
    assert not {"tag", "meta", "approve_result"} & set(row)
    assert (row["sn"], row["current_status"], row["service_type"]) == (sns[0], "FINISHED", "request")


def test_nothing_found_is_one_empty_page(client):
    data = client.post("get_tickets", {"sns": ["NOPE"]})["data"]
    assert data == {"page": 1, "total_page": 1, "count": 0, "next": None, "previous": None, "items": []}


@pytest.mark.parametrize(
    ("page", "items", "has_next", "has_previous"),
    [(1, 2, True, False), (2, 1, False, True), ("last", 1, False, True)],
)
def test_pages(client, sns, page, items, has_next, has_previous):
    data = client.post("get_tickets", {"page": page, "page_size": 2})["data"]
    assert (len(data["items"]), data["count"], data["total_page"]) == (items, 3, 2)
    assert (bool(data["next"]), bool(data["previous"])) == (has_next, has_previous)


def test_the_query_string_wins(client, sns):
    assert client.post("get_tickets", {"page": 1, "page_size": 1}, page=3)["data"]["page"] == 3


@pytest.mark.parametrize("size", [0, -1, "many"])
def test_a_size_that_is_none_switches_paging_off(client, sns, size):
    assert [one["sn"] for one in client.post("get_tickets", {"page_size": size})["data"]] == sns[::-1]


@pytest.mark.parametrize("body", [{"page": 99}, {"page": 0}, {"page": "x"}, {"create_at__gte": "yesterday"}])
def test_nonsense_crashes_the_call(client, sns, body):
    assert client.post("get_tickets", body)["code"] == "SERVER_500_ERROR"


def test_a_persons_tickets_by_view(client, server):
    sn = client.opened(fields={"APPROVER": "quinn"}, creator="petra", meta={"own": 1, "callback_url": "http://x"})

    def seen(user, view, **more):
        rows = client.get("get_tickets_by_user", user=user, view_type=view, **more)["data"]["items"]
        return [one["sn"] for one in rows]

    assert seen("petra", "my_created") == seen("quinn", "my_todo") == seen("quinn", "my_approval") == [sn]
    assert seen("quinn", "my_created") == seen("petra", "my_todo") == seen("quinn", "my_dealt") == []
    (row,) = client.get("get_tickets_by_user", user="petra", view_type="my_created")["data"]["items"]
    assert (row["meta"], row["can_withdraw"], row["can_comment"]) == ({"own": 1}, True, False)
    server.approve(sn, operator="quinn")
    assert seen("quinn", "my_dealt") == seen("quinn", "my_history") == [sn]
    assert seen("petra", "my_created", service_id=99) == []
    assert seen("petra", "my_created", create_at__gte="2030-01-01 00:00:00") == [sn], "times count as a pair only"
    pair = {"create_at__gte": "2030-01-01 00:00:00", "create_at__lte": "2031-01-01 00:00:00"}
    assert seen("petra", "my_created", **pair) == []


def test_a_view_nobody_knows_and_a_page_beyond_the_end(client):
    assert client.get("get_tickets_by_user", user="a", view_type="nope")["code"] == 3900005
    assert client.get("get_tickets_by_user", user="a", view_type="my_todo", page=9)["code"] == 3900004
