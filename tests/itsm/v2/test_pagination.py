# SPDX-License-Identifier: Apache-2.0
"""Every page of a search, against servers that move rows and lie."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.v2 import pagination
from tests.itsm.flows import drive

SIZE = 2
NO_SUCH_PAGE = errors.ItsmUnavailableError("x", code="SERVER_500_ERROR")


class Server:
    """Lists tickets by number, newest first, in pages of two; ``between`` happens after each answer."""

    def __init__(self, *numbers: int, between=lambda server: None) -> None:
        self.numbers, self.between = sorted(numbers, reverse=True), between
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, call) -> Any:
        self.bodies.append(call.body or call.params)
        wanted = int(self.bodies[-1]["page"])
        total = max(1, -(-len(self.numbers) // SIZE))
        if wanted > total:
            return NO_SUCH_PAGE
        rows = self.numbers[(wanted - 1) * SIZE : wanted * SIZE]
        answer = page(rows, total)
        self.between(self)
        return answer

    @property
    def pages(self) -> list[int]:
        return [int(body["page"]) for body in self.bodies]


def page(numbers: list[int], total: int) -> dict[str, Any]:
    items = [{"id": number, "sn": f"REQ{number}"} for number in numbers]
    return {"page": 1, "total_page": total, "count": 9, "items": items}


def ids(server, pages=None) -> list[int]:
    pages = pages or pagination.tickets(creator="robot")
    return [row.id for row in drive(pages.all(), server)]


def test_every_page_is_read_once():
    server = Server(1, 2, 3, 4, 5)
    assert (ids(server), server.pages) == ([5, 4, 3, 2, 1], [1, 2, 3])


def test_an_empty_search_is_one_call():
    server = Server()
    assert (ids(server), server.pages) == ([], [1])


def test_a_page_is_read_only_when_it_is_wanted():
    server, pages = Server(1, 2, 3), pagination.tickets(creator="robot")
    assert [row.id for row in drive(pages.next(), server)] == [3, 2]
    assert (server.pages, pages.more) == ([1], True)
    assert [row.id for row in drive(pages.next(), server)] == [1]
    assert not pages.more


def test_tickets_opened_meanwhile_neither_repeat_nor_hide_others():
    server = Server(1, 2, 3, 4, between=lambda one: one.numbers.insert(0, max(one.numbers) + 1))
    assert ids(server) == [4, 3, 2, 1]


def test_a_whole_page_of_new_tickets_does_not_end_the_search():
    def open_two(server):
        if len(server.bodies) == 1:
            server.numbers[:0] = [6, 5]

    assert ids(Server(1, 2, 3, 4, between=open_two)) == [4, 3, 2, 1]


def test_a_search_that_became_shorter_meanwhile_ends_with_its_last_page():
    def leave(server):
        if len(server.bodies) == 1:
            server.numbers.remove(4)

    server = Server(1, 3, 4, between=leave)
    assert ids(server) == [4, 3, 1]
    assert server.pages == [1, 2, 1]


def test_the_page_before_a_missing_one_is_read_again_for_what_moved_up():
    def leave(server):
        if len(server.bodies) == 2:
            server.numbers.remove(5)

    server = Server(1, 2, 3, 4, 5, between=leave)
    assert (ids(server), server.pages) == ([5, 4, 3, 2, 1], [1, 2, 3, 2])


def test_a_first_page_that_is_missing_is_an_error():
    asked = []

    def empty(call):
        asked.append(call)
        return NO_SUCH_PAGE

    with pytest.raises(errors.ItsmUnavailableError):
        ids(empty)
    assert len(asked) == 1


def test_an_error_that_is_not_a_missing_page_is_raised():
    asked = []

    def down_on_the_second(call):
        asked.append(call.body["page"])
        return page([3, 2], 2) if asked == [1] else errors.ItsmUnavailableError("down", code="1306201")

    with pytest.raises(errors.ItsmUnavailableError, match="down"):
        ids(down_on_the_second)
    assert asked == [1, 2]


def test_a_page_that_should_be_there_and_fails_is_an_error():
    with pytest.raises(errors.ItsmUnavailableError):
        ids(lambda call: page([3, 2], 2) if call.body["page"] == 1 else NO_SUCH_PAGE)


@pytest.mark.parametrize("total", [10**12, 10**400])
def test_a_server_that_always_gives_the_same_page_is_given_up_on(total):
    asked = []

    def stuck(call):
        asked.append(call)
        return page([3, 2], total)

    assert ids(stuck) == [3, 2]
    assert len(asked) == 4


def test_an_empty_page_ends_the_search_whatever_the_server_claims():
    assert ids(lambda call: page([], 10**12)) == []


def test_a_server_that_makes_up_tickets_is_given_up_on():
    assert len(ids(lambda call: page([call.body["page"]], 10**12))) == 10_000


def test_many_sns_are_searched_for_in_pieces_each_once():
    server = Server(1, 2, 3)
    sns = [f"REQ{number}" for number in (1, 2, 2, 3)]
    assert ids(server, pagination.tickets(sns=sns, batch_size=2, creator="robot")) == [3, 2, 1]
    assert [body["sns"] for body in server.bodies] == [["REQ1", "REQ2"]] * 2 + [["REQ3"]] * 2
    assert {body["creator"] for body in server.bodies} == {"robot"}


def test_p6_a_search_without_filter_is_refused_before_anything_is_sent():
    for filters in ({}, {"sns": []}, {"creator": None}):
        with pytest.raises(errors.ItsmInvalidRequestError):
            pagination.tickets(**filters)


def test_a_persons_tickets_are_read_page_by_page():
    server = Server(1, 2, 3)
    assert ids(server, pagination.tickets_by_user(user="alice", view_type="my_todo")) == [3, 2, 1]
    assert [body["user"] for body in server.bodies] == ["alice", "alice"]
