# SPDX-License-Identifier: Apache-2.0
"""The services of a sandbox: the built-in ones, whose numbers stay, and imported ones, which survive a restart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_bkitsm.sandbox.database import Database
from airflow_provider_bkitsm.sandbox.itsm import service_exports
from airflow_provider_bkitsm.sandbox.itsm.log_service import LOG_SEARCH, log_service
from airflow_provider_bkitsm.sandbox.itsm.services import TITLE, Field, LiveWorkflow, Node, Service, approval
from airflow_provider_bkitsm.sandbox.settings import LogServices

NO_CATALOG = 1
FAST_APPROVAL = 2
LOG_COLLECTOR = 11
ONE_APPROVAL = 12
TWO_APPROVALS = 13
COUNTERSIGN = 14
NO_APPROVAL = 15
NOT_REVOCABLE = 16
LOG_BUILT_IN = 17
DELIVERABLE = 18

APPROVE_CATALOG, COMMON_CATALOG = 11, 12
CATALOGS: tuple[dict[str, Any], ...] = (
    {"id": 1, "key": "root", "name": "根目录", "level": 0, "desc": "", "parent": None},
    {"id": COMMON_CATALOG, "key": "SANDBOX", "name": "沙箱服务", "level": 1, "desc": "", "parent": 1},
    {
        "id": APPROVE_CATALOG,
        "key": "approve_service_catalog",
        "name": "内置审批目录",
        "level": 1,
        "desc": "",
        "parent": 1,
    },
)

_APPROVER = Field(key="approver", name="审批人", type="MEMBERS")
_SIMPLE_FORM = (TITLE, _APPROVER, Field(key="content", name="内容", type="TEXT", required=False))
_FAST_FORM = (
    TITLE,
    Field(key="APPROVER", name="审批人", type="MEMBERS"),
    Field(key="APPROVAL_CONTENT", name="审批内容", type="TEXT"),
)
_COLLECTOR_FORM = (
    TITLE,
    Field(key="bk_biz_id", name="业务"),
    Field(key="approvals", name="审批人", type="MEMBERS"),
    Field(key="collector_detail", name="采集详情", type="CUSTOM-FORM"),
    Field(key="apply_reason", name="申请原因", type="TEXT", required=False),
)


def _simple(number: int, name: str, desc: str, *nodes: Node, revocable: bool = True) -> Service:
    return Service(id=number, name=name, desc=desc, form=_SIMPLE_FORM, nodes=nodes, revocable=revocable)


def _from_form(state_id: int, name: str, *, everybody: bool = False) -> Node:
    return approval(state_id, name, people_from=_APPROVER.key, everybody=everybody)


SERVICES: dict[int, Service] = {
    one.id: one
    for one in (
        Service(
            id=NO_CATALOG,
            name="未发布的服务",
            desc="In no catalogue: nothing can be submitted",
            form=_SIMPLE_FORM,
            nodes=(),
            catalog_id=None,
            listed=False,
        ),
        Service(
            id=FAST_APPROVAL,
            name="内置审批服务",
            desc="The built-in approval (fast_approval)",
            form=_FAST_FORM,
            # The numbers of the measured server, so that its requests can be sent as they were.
            submit_state=14,
            nodes=(approval(15, "内置审批节点", people_from="APPROVER"),),
            catalog_id=APPROVE_CATALOG,
            listed=False,
        ),
        Service(
            id=LOG_COLLECTOR,
            name="日志采集接入",
            desc="A log collector goes live after one approval",
            form=_COLLECTOR_FORM,
            nodes=(approval(1101, "接入审批", people_from="approvals"),),
            display_role=LOG_SEARCH,
            display_type="API",
        ),
        _simple(ONE_APPROVAL, "单级审批", "One approval", _from_form(1201, "审批")),
        _simple(
            TWO_APPROVALS,
            "两级审批",
            "Two approvals in a row; the second is the administrator's",
            _from_form(1301, "一级审批"),
            approval(1302, "二级审批"),
        ),
        _simple(COUNTERSIGN, "多人会签", "Everybody must agree", _from_form(1401, "会签", everybody=True)),
        _simple(NO_APPROVAL, "无审批节点", "Finishes by itself, without approval"),
        _simple(NOT_REVOCABLE, "不可撤单", "Cannot be withdrawn", _from_form(1601, "审批"), revocable=False),
        _simple(
            DELIVERABLE,
            "可转单审批",
            "The administrator may hand the approval over",
            approval(80, "审批节点", deliverable=True, terminable=True),
        ),
        log_service(LOG_BUILT_IN),
    )
}


def services(log_services: LogServices) -> dict[int, Service]:
    """Return the services of a new sandbox; ``log_services`` are those with the log platform's display role."""
    # Live workflows change: each sandbox has its own.
    found = {number: replace(service, live=LiveWorkflow()) for number, service in SERVICES.items()}
    for number, name in ((LOG_COLLECTOR, "approval"), (LOG_BUILT_IN, "built-in")):
        role = LOG_SEARCH if log_services in {name, "both"} else ""
        found[number] = replace(found[number], display_role=role)
    return found


class ServiceBook(Mapping[int, Service]):
    """Services by number, in their present version.

    A ticket keeps the version it was opened in only until the sandbox restarts.
    """

    def __init__(self, *, database: Database, log_services: LogServices = "approval") -> None:
        self._database = database
        self._services = services(log_services)
        self.catalogs: dict[int, dict[str, Any]] = {one["id"]: dict(one) for one in CATALOGS}
        self.catalogs |= {int(key): body for key, body in database.load("catalog").items()}
        for key, body in database.load("service").items():
            self._services[int(key)] = service_exports.service_of(int(key), body)
        for key, signal in database.load("deleted_node").items():
            number, _, state_id = key.partition("/")
            self._services[int(number)].live.delete_node(int(state_id), signal=signal)

    def __getitem__(self, number: int) -> Service:
        return self._services[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._services)

    def __len__(self) -> int:
        return len(self._services)

    def named(self, name: str) -> Service | None:
        """Return the service of a name, which is unique."""
        return next((one for one in self._services.values() if one.name == name), None)

    def put(self, body: Mapping[str, Any], number: int | None = None) -> Service:
        """Import an export as a new service, or as the new version of one.

        :raises Refusal: its flow has steps of a type the sandbox does not support.
        """
        number = max(self._services) + 1 if number is None else number
        service = service_exports.service_of(number, body)
        self._restore_nodes(number)
        self._services[number] = service
        self._database.save("service", number, dict(body))
        return service

    def delete_node(self, number: int, state_id: int, *, signal: bool) -> None:
        """Delete a node of a service's live workflow, also under its open tickets.

        :raises LookupError: there is no such service or node.
        """
        if self._services[number].node(state_id) is None:
            raise LookupError(state_id)
        self._services[number].live.delete_node(state_id, signal=signal)
        self._database.save("deleted_node", f"{number}/{state_id}", signal)

    def _restore_nodes(self, number: int) -> None:
        """Restore the deleted nodes of a service: a new version has all its nodes."""
        for key in self._database.load("deleted_node"):
            if key.startswith(f"{number}/"):
                self._database.delete("deleted_node", key)

    def add_catalog(self, parent: Mapping[str, Any], name: str, desc: str) -> dict[str, Any]:
        """Create a catalogue below another."""
        number = max(self.catalogs) + 1
        made = {
            "id": number,
            "key": f"catalog_{number}",
            "name": name,
            "level": parent["level"] + 1,
            "desc": desc,
            "parent": parent["id"],
        }
        self.catalogs[number] = made
        self._database.save("catalog", number, made)
        return made

    def tree(self, parent: int | None = None) -> list[dict[str, Any]]:
        """Return catalogues as ``get_service_catalogs`` shows them."""
        return [
            {key: one[key] for key in ("id", "key", "name", "level", "desc")} | {"children": self.tree(one["id"])}
            for one in self.catalogs.values()
            if one["parent"] == parent
        ]
