# SPDX-License-Identifier: Apache-2.0
"""Every call of both clients at both fronts, answered by a running sandbox."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_bkitsm.hooks.itsm import ItsmAsyncHook, ItsmHook
from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.sandbox.itsm.service_catalog import DELIVERABLE, ONE_APPROVAL
from tests.sandbox.client import OPINION, REFUSAL, REMARK, Client
from tests.sandbox.exports import one_approval

LOGIN = {"login": "sandbox", "password": "sandbox-secret", "extra": {"read_retries": 0}}
FORM = {"title": "t", "APPROVER": "alice", "APPROVAL_CONTENT": "c"}
YES = {OPINION: "true", REMARK: "r", REFUSAL: ""}
NOT_AT_ESB = {"get_tickets_by_user", "approve", "get_approver", "get_approve_node_result"}

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def _sn(make: Callable[[Client], str], **more: Any) -> Callable[[Client], Arguments]:
    return lambda client: ((), {"sn": make(client), **more})


def _opened(client: Client) -> str:
    return client.opened()


def _decided(client: Client) -> str:
    sn = client.opened()
    client.server.approve(sn)
    return sn


def _imported(client: Client) -> int:
    return int(client.post("import_service", one_approval("one more"))["data"]["id"])


CALLS: dict[str, Callable[[Client], Arguments]] = {
    "create_ticket": lambda _client: ((), {"creator": "carol", "fields": FORM, "fast_approval": True, "tag": "t"}),
    "get_ticket_status": _sn(_opened),
    "get_ticket_info": _sn(_opened),
    "get_ticket_logs": _sn(_decided),
    "get_tickets": lambda client: ((), {"sns": [client.opened()], "page": 1}),
    "get_tickets_by_user": lambda _client: ((), {"user": "alice", "view_type": "my_todo"}),
    "ticket_approval_result": lambda client: (([client.opened()],), {}),
    "token_verify": lambda client: ((client.server.callback_body(client.opened())["token"],), {}),
    "callback_failed_ticket": lambda _client: ((), {}),
    "operate_ticket": _sn(_opened, action_type="WITHDRAW", operator="carol", action_message="m"),
    "operate_node": _sn(_opened, state_id=15, operator="alice", fields=YES),
    "approve": _sn(_opened, state_id=15, approver="alice", approved=True, remark="r"),
    "comment_ticket": _sn(_decided, stars=5, operator="carol", comments="fine"),
    "get_approver": _sn(_opened, state_id=15),
    "get_approve_node_result": _sn(_decided, state_id=15),
    "get_services": lambda _client: ((), {}),
    "get_service_detail": lambda _client: ((ONE_APPROVAL,), {}),
    "get_service_catalogs": lambda _client: ((), {"has_service": True}),
    "get_service_roles": lambda _client: ((DELIVERABLE,), {"every_step": True}),
    "get_workflow_detail": lambda _client: ((ONE_APPROVAL,), {}),
    "import_service": lambda _client: ((one_approval("imported"),), {}),
    "update_service": lambda client: ((_imported(client), one_approval("renamed")), {}),
    "create_service_catalog": lambda _client: ((), {"name": "n", "project_key": "0", "parent_key": "root"}),
}


@pytest.fixture(params=["gateway", "esb"])
def front(request, sandbox, connections) -> str:
    root = sandbox.itsm_url if request.param == "gateway" else sandbox.esb_url
    connections("front", conn_type="bkitsm", host=root, **LOGIN)
    return request.param


@pytest.fixture(params=["sync", "async"])
def call(request, front):
    async def in_loop(name, /, *args, **kwargs):
        async with ItsmAsyncHook("front") as hook:
            return await getattr(hook, name)(*args, **kwargs)

    if request.param == "sync":
        return lambda name, /, *args, **kwargs: getattr(ItsmHook("front"), name)(*args, **kwargs)
    return lambda name, /, *args, **kwargs: asyncio.run(in_loop(name, *args, **kwargs))


def wanted(name: str, front: str) -> type[errors.ItsmError] | None:
    if front == "esb":
        return errors.ItsmConfigurationError if name in NOT_AT_ESB else None
    return None


@pytest.mark.parametrize("name", CALLS)
def test_it_is_answered_or_known_not_to_be(call, front, sandbox, name):
    args, kwargs = CALLS[name](Client(sandbox))
    before = len(sandbox.requests())
    error = wanted(name, front)
    if error is None:
        call(name, *args, **kwargs)
    else:
        with pytest.raises(error):
            call(name, *args, **kwargs)
    if error is errors.ItsmConfigurationError:
        assert len(sandbox.requests()) == before


def test_what_the_gateways_definition_misspells_is_asked_of_the_esb(call, front, sandbox, caplog):
    """The published definition misspells the path behind ``get_workflow_detail``: a page with HTTP 200."""
    caplog.set_level("INFO")
    assert call("get_workflow_detail", ONE_APPROVAL).states
    doors = [one["path"].split("/v2/itsm")[0] for one in sandbox.requests("get_workflow_detail")]
    if front == "esb":
        assert doors == ["/api/c/compapi"]
        return
    assert doors == ["/api/bk-itsm/prod", "/api/c/compapi"], "each door once, the gateway first"
    assert "cannot deliver get_workflow_detail" in caplog.text
    assert "asking the ESB" in caplog.text


@pytest.mark.parametrize("front", ["gateway"], indirect=True)
def test_where_neither_door_delivers_both_failures_are_told(call, front, sandbox):
    sandbox.fault("compapi", "status", status=404)
    with pytest.raises(
        errors.ItsmEndpointNotFoundError,
        match=r"does not deliver it.*HTTP 200.*If other calls are answered:.*esb_url",
    ):
        call("get_workflow_detail", ONE_APPROVAL)


@pytest.mark.parametrize("front", ["gateway"], indirect=True)
def test_a_refusal_of_the_gateway_is_not_taken_to_the_esb(call, front, sandbox):
    sandbox.fault("get_workflow_detail", "app_refused")
    with pytest.raises(errors.ItsmPermissionError):
        call("get_workflow_detail", ONE_APPROVAL)
    assert len(sandbox.requests("get_workflow_detail")) == 1


@pytest.mark.parametrize("front", ["gateway"], indirect=True)
def test_the_esb_may_be_elsewhere(call, sandbox, connections):
    login = {"conn_type": "bkitsm", "host": sandbox.itsm_url, **LOGIN}
    connections("front", **login | {"extra": {"esb_url": sandbox.esb_url}})
    assert call("get_workflow_detail", ONE_APPROVAL).states
    connections("front", **login | {"extra": {"esb_url": "ftp://x"}})
    with pytest.raises(errors.ItsmConfigurationError, match="esb_url"):
        call("get_workflow_detail", ONE_APPROVAL)


def test_no_call_is_left_out():
    assert set(CALLS) == {name for name, one in inspect.getmembers(ItsmHook) if hasattr(one, "is_itsm_call")}
