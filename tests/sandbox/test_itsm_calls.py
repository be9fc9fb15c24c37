# SPDX-License-Identifier: Apache-2.0
"""Calls about a ticket as a whole that no other file has: comments, followers, edited fields."""

from __future__ import annotations

import pytest
from requests import HTTPError


def comment(client, ticket, /, **more):
    return client.post("comment", {"sn": ticket, "stars": 5, "operator": "carol", "comments": "fine"} | more)


def finished(client, server):
    sn = client.opened()
    server.approve(sn)
    return sn


def test_a_finished_ticket_is_commented_once(client, server):
    sn = finished(client, server)
    assert comment(client, sn)["data"] == []
    assert comment(client, sn)["code"] == 3900005
    info = client.get("get_ticket_info", sn=sn)["data"]
    assert info["is_commented"] is True
    assert info["comment_id"].isdecimal()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"stars": 0}, 3900004),
        ({"stars": 7}, 3900004),
        ({"stars": "5"}, 3900004),
        ({"operator": "x" * 17}, 3900004),
        ({"operator": ""}, 3900004),
        ({"sn": "NOPE"}, 3900022),
    ],
)
def test_a_comment_that_is_refused(client, server, more, code):
    assert comment(client, finished(client, server), **more)["code"] == code


def test_a_comment_without_text_crashes(client, server):
    sn = finished(client, server)
    assert client.post("comment", {"sn": sn, "stars": 5, "operator": "carol"})["code"] == 3900004
    assert client.status(sn)["is_commented"] is False


def test_people_follow_a_ticket_and_no_longer(client):
    sn = client.opened(attention=True)

    def followed():
        rows = client.get("get_tickets_by_user", user="carol", view_type="my_created")["data"]["items"]
        return next(one["followers"] for one in rows if one["sn"] == sn)

    assert followed() == ["carol"]
    client.post("add_follower", {"sn": sn, "users": "dave,erin", "attention": True})
    assert followed() == ["carol", "dave", "erin"]
    client.post("add_follower", {"sn": sn, "users": "dave", "attention": False})
    assert followed() == ["carol", "erin"]
    assert client.post("add_follower", {"sn": sn})["code"] == 3900004


def test_fields_are_edited_while_the_ticket_is_open(client, server):
    sn = client.opened()
    edit = {"sn": sn, "operator": "carol", "fields": [{"key": "title", "value": "new"}]}
    assert client.post("edit_field", edit)["data"] == []
    assert client.get("get_ticket_info", sn=sn)["data"]["title"] == "new"
    strange = edit | {"fields": [{"key": "NOPE", "value": "x"}]}
    assert client.post("edit_field", strange)["code"] == "FORM_VALIDATE_ERROR"
    server.approve(sn)
    assert client.post("edit_field", edit)["code"] == "FORM_VALIDATE_ERROR"


def test_a_person_edits_title_and_form_while_the_ticket_is_open(client, server):
    sn = client.opened()
    changed = server.edit(sn, title='<b>new</b> "t"', APPROVAL_CONTENT='"raw"')
    assert (changed["title"], changed["fields"]["APPROVAL_CONTENT"]) == ("<b>new</b> &quot;t&quot;", '"raw"')
    info = client.get("get_ticket_info", sn=sn)["data"]
    values = {one["key"]: one["value"] for one in info["fields"]}
    assert info["title"] == values["title"] == changed["title"]
    assert values["APPROVAL_CONTENT"] == '"raw"'
    with pytest.raises(HTTPError, match="409"):
        server.edit(sn, NOPE="x")
    server.approve(sn)
    with pytest.raises(RuntimeError, match="FINISHED"):
        server.edit(sn, title="too late")
