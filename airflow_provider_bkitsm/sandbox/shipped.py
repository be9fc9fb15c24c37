# SPDX-License-Identifier: Apache-2.0
"""The services a sandbox ships, with numbers that stay."""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.sandbox.services import TITLE, YES_NO, Field, Node, Service, approval

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
_BUILT_IN_FORM = (
    TITLE,
    Field(key="bk_biz_id", name="业务", type="SELECT"),
    Field(key="expect_access_data", name="期望接入日期", type="DATE"),
    Field(key="single_log_size", name="单条日志大小", type="INT"),
    Field(key="single_host_peak", name="单机流量峰值", type="INT"),
    Field(key="single_host_log_volume", name="单机增长日志量", type="INT"),
    Field(key="expect_host_size", name="预计接入主机数量", type="INT"),
    Field(key="log_keep_days", name="日志保留天数", type="INT"),
    Field(key="hot_data_days", name="热数据天数"),
    Field(key="apply_reason", name="申请原因", type="TEXT", required=False),
    Field(key="collector_detail", name="采集详情", type="CUSTOM-FORM", required=False),
    Field(key="capacity_formula", name="容量计算公式", type="CUSTOM-FORM", required=False),
)
_ASSESSMENT = Node(
    state_id=1701,
    name="评估采集容量",
    kind="NORMAL",
    fields=(
        Field(key="approval_result", name="审批结果", type="RADIO", choice=YES_NO, default="true"),
        Field(
            key="can_use_independent_es_cluster",
            name="是否使用独立集群",
            type="RADIO",
            choice=(("true", "是"), ("false", "否")),
            default="false",
        ),
        Field(key="remark_1", name="备注", type="TEXT", required=False),
        Field(key="remark_2", name="备注", type="TEXT", on_refusal=True),
    ),
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
            display_role="LOG_SEARCH",
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
        Service(
            id=LOG_BUILT_IN,
            name="日志平台容量评估",
            desc="As the log platform ships it: the verdict is the field approval_result",
            form=_BUILT_IN_FORM,
            nodes=(_ASSESSMENT,),
            revocable=False,
            display_role="LOG_SEARCH_BUILTIN",
            display_type="API",
        ),
    )
}
