# SPDX-License-Identifier: Apache-2.0
"""For every recorded exchange, how to bring its situation about here, and how the ticket stands afterwards."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_provider_bkitsm.sandbox.itsm import service_catalog, tokens
from tests.sandbox.client import OPINION, REFUSAL, REMARK
from tests.sandbox.exports import one_approval
from tests.sandbox.stage import Change, Stage

RUNNING, SUSPENDED = ("RUNNING", False), ("SUSPENDED", False)
APPROVED, REFUSED = ("FINISHED", True), ("FINISHED", False)
REVOKED, TERMINATED = ("REVOKED", False), ("TERMINATED", False)
YES = {OPINION: "true", REMARK: "r", REFUSAL: "r"}


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A situation.

    :param make: brings it about; returns the number the request is about, or how the request is changed.
    :param after: status and verdict of that ticket, once everything has settled.
    :param starts_in: seconds a new ticket takes to start.
    :param loosely: compare keys and types only, since the tickets listed are others.
    """

    make: Callable[[Stage], str | Change | None] = lambda _stage: None
    after: tuple[str, bool] | None = None
    starts_in: float = 0.0
    loosely: bool = False


def _on(make: Callable[[Stage], Any], after: tuple[str, bool] | None = None, **more: Any) -> Situation:
    return Situation(make=make, after=after, **more)


def _token(change: Callable[[str], str] = str) -> Situation:
    return _on(lambda stage: Change(token=change(stage.token())))


def _raw(change: Callable[[bytes], bytes]) -> Situation:
    return _token(lambda token: base64.b64encode(change(base64.b64decode(token))).decode())


def _remade(token: str) -> str:
    """Encrypt what a received token says anew, behind a start of zeros."""
    opened = tokens.open_token(base64.b64decode(token)) or b""
    return tokens.issue(opened.decode().partition(":")[2], start=bytes(16))


def _flipped(raw: bytes, place: int) -> bytes:
    changed = bytearray(raw)
    changed[place] ^= 1
    return bytes(changed)


def _attested(**said: Any) -> Situation:
    return _on(lambda stage: Change(headers={"X-Bkapi-JWT": stage.server.jwt(**said)}))


def _pair(stage: Stage) -> Change:
    approved, rejected = stage.approved(), stage.rejected()
    return Change(sns={"REQ20261124000003": approved, "REQ20261124000004": rejected})


def _page(stage: Stage) -> None:
    for _ in range(6):
        stage.client.create(creator="admin")
        stage.approved()


def _third(stage: Stage) -> str:
    for _ in range(2):
        stage.client.create()
    return stage.approved()


def _withdrawn_early(stage: Stage) -> str:
    sn = stage.caught_at_submit()
    assert stage.client.operate(sn, "WITHDRAW", "admin")["result"]
    return sn


def _worker_back(stage: Stage) -> str:
    sn = stage.unstarted()
    assert not stage.client.operate(sn, "WITHDRAW", "admin")["result"]
    stage.server.start_worker()
    stage.server.wait_for_step(sn)
    return sn


def _imported(name: str, *, before: bool = False) -> Situation:
    def make(stage: Stage) -> Change:
        export = one_approval(name)
        if before:
            assert stage.client.post("import_service", export)["result"]
        return Change(request=export)

    return _on(make)


def _first_lost(stage: Stage) -> None:
    stage.server.fault("create_ticket", "drop_answer")
    stage.server.stop_worker()


def _listed(stage: Stage) -> str:
    stage.client.create(tag="airflow")
    return ""


def _delivered(stage: Stage) -> str:
    sn = stage.of(service_catalog.DELIVERABLE)
    handed = {"processors": "bob", "processors_type": "PERSON", "action_message": "m"}
    assert stage.client.answer(sn, {}, operator="admin", action_type="DELIVER", state_id=80, **handed)["result"]
    return sn


def _unasked(stage: Stage) -> str:
    sn = str(stage.client.create(service=service_catalog.NO_APPROVAL)["data"]["sn"])
    stage.server.wait_for_status(sn, "FINISHED")
    return sn


_NODE = {
    "after_finished": _on(Stage.approved, APPROVED),
    "approve_first_of_two": _on(Stage.opened, RUNNING),
    "approve_ok": _on(Stage.opened, APPROVED),
    "approve_radio_and_blank_required_remark": _on(Stage.opened, APPROVED),
    "approve_radio_only": _on(Stage.opened, RUNNING),
    "approve_while_suspended": _on(lambda stage: stage.operated("SUSPEND"), APPROVED),
    "bool_value": _on(Stage.opened, RUNNING),
    "claim": _on(Stage.opened, RUNNING),
    "deliver": _on(Stage.opened, RUNNING),
    "deliver_ok": _on(lambda stage: stage.of(service_catalog.DELIVERABLE), RUNNING),
    "no_fields_key": _on(Stage.opened, RUNNING),
    "reject_blank_remark": _on(Stage.opened, RUNNING),
    "state_id_string": _on(Stage.opened, APPROVED),
    "terminate_not_allowed": _on(Stage.opened, RUNNING),
    "terminate_upstream_bug": _on(_delivered, RUNNING),
    "unknown_action": _on(Stage.opened, RUNNING),
    "wrong_operator": _on(Stage.opened, RUNNING),
}
_TICKET = {
    "duplicate_sn": _on(Stage.twice),
    "terminate_ok": _on(Stage.opened, TERMINATED),
    "terminate_stranger": _on(Stage.opened, RUNNING),
    "unsuspend": _on(lambda stage: stage.decided(stage.operated("SUSPEND"), True), APPROVED),
    "unsuspend_not_suspended": _on(Stage.opened, RUNNING),
    "withdraw_after_finished": _on(Stage.approved, APPROVED),
    "withdraw_by_system_account": _on(lambda stage: stage.opened(creator="carol"), REVOKED),
    "withdraw_immediately": _on(Stage.caught_at_submit, REVOKED, starts_in=2.0),
    "withdraw_no_operator": _on(Stage.opened, RUNNING),
    "withdraw_not_creator": _on(Stage.opened, RUNNING),
    "withdraw_not_revocable": _on(lambda stage: stage.of(service_catalog.NOT_REVOCABLE), RUNNING),
    "withdraw_ok": _on(Stage.opened, REVOKED),
    "withdraw_twice": _on(lambda stage: stage.operated("WITHDRAW"), REVOKED),
}
_STATUS = {
    "after_withdraw_race": _on(_withdrawn_early, REVOKED, starts_in=2.0),
    "deliverable_node": _on(lambda stage: stage.of(service_catalog.DELIVERABLE), RUNNING),
    "duplicate_sn": _on(Stage.twice),
    "immediately_after_create": _on(Stage.caught_at_submit, RUNNING, starts_in=2.0),
    "lang_cookie_en": _on(Stage.opened, RUNNING),
    "orphan_of_failed_dynamic_fields": _on(Stage.orphan, RUNNING),
    "rejected": _on(Stage.rejected, REFUSED),
    "revoked": _on(lambda stage: stage.operated("WITHDRAW"), REVOKED),
    "running": _on(Stage.opened, RUNNING),
    "sn_with_space": _on(Stage.approved, APPROVED),
    "suspended": _on(lambda stage: stage.operated("SUSPEND"), SUSPENDED),
    "terminated": _on(lambda stage: stage.operated("TERMINATE"), TERMINATED),
    "worker_back_after_withdraw": _on(_worker_back, RUNNING),
}
_RESULT = {
    "approved": _on(Stage.approved, APPROVED),
    "clears_failed": _on(Stage.lost, APPROVED),
    "database_down": _on(lambda stage: stage.server.fault("ticket_approval_result", "html")),
    "no_approval_node": _on(_unasked, APPROVED),
    "order_and_unknown": _on(_pair),
    "order_reversed": _on(_pair),
    "rejected": _on(Stage.rejected, REFUSED),
    "revoked": _on(lambda stage: stage.operated("WITHDRAW"), REVOKED),
    "running": _on(Stage.opened, RUNNING),
    "second_node_running_approved": _on(
        lambda stage: stage.decided(stage.of(service_catalog.TWO_APPROVALS, people="admin"), True), RUNNING
    ),
    "seq_approve_reject": _on(
        lambda stage: stage.decided(stage.of(service_catalog.TWO_APPROVALS, people="admin"), True, False), REFUSED
    ),
    "seq_reject_first": _on(
        lambda stage: stage.decided(stage.of(service_catalog.TWO_APPROVALS, people="admin"), False, True), REFUSED
    ),
    "sn_string": _on(Stage.approved, APPROVED),
    "terminated": _on(lambda stage: stage.operated("TERMINATE"), TERMINATED),
    "two_nodes_rejected": _on(
        lambda stage: stage.decided(stage.of(service_catalog.TWO_APPROVALS, people="admin"), False, False), REFUSED
    ),
}
_TOKEN = {
    "base64url_alphabet": _token(lambda token: token.replace("+", "-").replace("/", "_")),
    "ok": _token(),
    "ok_again": _on(lambda stage: Change(token=_verified(stage))),
    "plus_became_space": _token(lambda token: token.replace("+", " ")),
    "random48": _raw(lambda raw: bytes(64)),
    "self_made_from_a_received_one": _token(_remade),
    "stripped_padding": _token(lambda token: token.rstrip("=")),
    "tampered_iv": _raw(lambda raw: _flipped(raw, 0)),
    "tampered_last_byte": _raw(lambda raw: _flipped(raw, -1)),
    "trailing_newline": _token(lambda token: token + "\n"),
}


def _verified(stage: Stage) -> str:
    token = stage.token()
    assert stage.client.post("token/verify", {"token": token})["data"] == {"is_passed": True}
    return token


def _named(endpoint: str, rows: dict[str, Situation]) -> dict[str, Situation]:
    return {f"{endpoint}__{name}": row for name, row in rows.items()}


SITUATIONS: dict[str, Situation] = {
    **_named("operate_node", _NODE),
    **_named("operate_ticket", _TICKET),
    **_named("get_ticket_status", _STATUS),
    **_named("ticket_approval_result", _RESULT),
    **_named("token_verify", _TOKEN),
    "approve__stranger": _on(Stage.opened, RUNNING),
    "auth__expired_jwt": _attested(seconds=-60),
    "auth__garbage_jwt": _on(lambda _stage: Change(headers={"X-Bkapi-JWT": "gar.ba.ge"})),
    "auth__no_jwt": _on(lambda _stage: Change(headers={})),
    "auth__user_empty": _attested(user="", verified=False),
    "auth__user_not_verified": _attested(user="admin", verified=False),
    "create_ticket__broker_down": _on(_first_lost),
    "create_ticket__celery_worker_down": _on(lambda stage: stage.server.stop_worker()),
    "create_ticket__no_creator_user_empty": _attested(user="", verified=False),
    "create_ticket__no_creator_user_not_verified": _attested(user="admin", verified=False),
    "get_approve_node_result__ok": _on(Stage.approved, APPROVED),
    "get_approver__after_finish": _on(Stage.approved, APPROVED),
    "get_ticket_info__celery_worker_down": _on(Stage.unstarted),
    "get_ticket_info__duplicate_sn": _on(Stage.twice),
    "get_ticket_info__finished": _on(Stage.approved, APPROVED),
    "get_ticket_info__running": _on(Stage.opened, RUNNING),
    "get_ticket_logs__complex": _on(Stage.approved, APPROVED),
    "get_ticket_logs__finished": _on(Stage.approved, APPROVED),
    "get_tickets__by_tag": _on(_listed),
    "get_tickets__page": _on(_page, loosely=True),
    "import_service__ok": _imported("over the api"),
    "import_service__same_name": _imported("over the api", before=True),
    "proceed_approval__no_jwt": _on(lambda stage: Change(sns={"": stage.opened()}, headers={}), APPROVED),
    "rest_get_ticket_no_jwt": _on(_third),
    "rest_list_of_tickets_no_jwt": _on(_page, loosely=True),
}
"""All others need nothing but the request itself."""
