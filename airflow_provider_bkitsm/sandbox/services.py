"""The services a sandbox ships: flows as data.

A flow is a submit form and the steps a person takes; an ``APPROVAL`` step has an opinion and two remarks, as
ITSM's own (reference 4.2).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

FAST_APPROVAL = 2
LOG_COLLECTOR = 11
ONE_APPROVAL = 12
TWO_APPROVALS = 13
COUNTERSIGN = 14
NO_APPROVAL = 15
NOT_REVOCABLE = 16
LOG_BUILT_IN = 17


@dataclass(frozen=True, kw_only=True)
class Field:
    """A form field."""

    key: str
    name: str
    type: str = "STRING"
    required: bool = True
    choice: tuple[tuple[str, str], ...] = ()
    default: str | None = None
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A step people take.

    :param people_from: the submit field that names them; else ``people``.
    :param everybody: all of them must answer (countersign).
    """

    state_id: int
    name: str
    fields: tuple[Field, ...]
    kind: str = "APPROVAL"
    people_from: str | None = None
    people: tuple[str, ...] = ("admin",)
    everybody: bool = False


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service; ``submit_state_id`` is its submit step."""

    id: int
    name: str
    form: tuple[Field, ...]
    nodes: tuple[Node, ...]
    revocable: bool = True
    display_role: str = ""
    display_type: str = "OPEN"
    listed: bool = True
    desc: str = ""

    @property
    def submit_state_id(self) -> int:
        """Number of the submit step."""
        return self.id * 100


_YES_NO = (("true", "通过"), ("false", "拒绝"))
TITLE = Field(key="title", name="标题")


def _random_word(*parts: object) -> str:
    """A key as ITSM makes them: random per installation, here stable."""
    return "k" + hashlib.md5("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()[:31]


def _approval(state_id: int, name: str, **more: object) -> Node:
    fields = (
        Field(
            key=_random_word(state_id, "opinion"),
            name="审批意见",
            type="RADIO",
            choice=_YES_NO,
            default="true",
            code="APPROVE_RESULT",
        ),
        Field(key=_random_word(state_id, "remark"), name="备注", type="TEXT", required=False),
        Field(key=_random_word(state_id, "refusal"), name="备注", type="TEXT"),
    )
    return Node(state_id=state_id, name=name, fields=fields, **more)  # type: ignore[arg-type]


def _simple(number: int, name: str, *nodes: Node, **more: object) -> Service:
    form = (
        TITLE,
        Field(key="approver", name="审批人", type="MEMBERS"),
        Field(key="content", name="内容", type="TEXT", required=False),
    )
    return Service(id=number, name=name, form=form, nodes=nodes, **more)  # type: ignore[arg-type]


_BUILT_IN_FORM = (
    TITLE,
    Field(key="bk_biz_id", name="业务"),
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
        Field(key="approval_result", name="审批结果", type="RADIO", choice=_YES_NO, default="true"),
        Field(
            key="can_use_independent_es_cluster",
            name="独立集群",
            type="RADIO",
            choice=_YES_NO,
            default="false",
        ),
        Field(key="remark_1", name="备注", type="TEXT", required=False),
        Field(key="remark_2", name="备注", type="TEXT", required=False),
    ),
)
_COLLECTOR_FORM = (
    TITLE,
    Field(key="bk_biz_id", name="业务"),
    Field(key="approvals", name="审批人", type="MEMBERS"),
    Field(key="collector_detail", name="采集详情", type="CUSTOM-FORM"),
    Field(key="apply_reason", name="申请原因", type="TEXT", required=False),
)
_FAST_FORM = (
    TITLE,
    Field(key="APPROVER", name="审批人", type="MEMBERS"),
    Field(key="APPROVAL_CONTENT", name="审批内容", type="TEXT"),
)

SERVICES: dict[int, Service] = {
    one.id: one
    for one in (
        Service(
            id=FAST_APPROVAL,
            name="内置审批服务",
            form=_FAST_FORM,
            nodes=(_approval(201, "内置审批节点", people_from="APPROVER"),),
            listed=False,
        ),
        Service(
            id=LOG_COLLECTOR,
            name="日志采集接入",
            desc="A log collector goes live after one approval",
            form=_COLLECTOR_FORM,
            nodes=(_approval(1101, "接入审批", people_from="approvals"),),
            display_role="LOG_SEARCH",
            display_type="API",
        ),
        _simple(ONE_APPROVAL, "单级审批", _approval(1201, "审批", people_from="approver")),
        _simple(
            TWO_APPROVALS,
            "两级审批",
            _approval(1301, "一级审批", people_from="approver"),
            _approval(1302, "二级审批"),
        ),
        _simple(COUNTERSIGN, "多人会签", _approval(1401, "会签", people_from="approver", everybody=True)),
        _simple(NO_APPROVAL, "无审批节点"),
        _simple(
            NOT_REVOCABLE,
            "不可撤单",
            _approval(1601, "审批", people_from="approver"),
            revocable=False,
        ),
        Service(
            id=LOG_BUILT_IN,
            name="日志平台容量评估",
            form=_BUILT_IN_FORM,
            nodes=(_ASSESSMENT,),
            revocable=False,
            display_role="LOG_SEARCH_BUILTIN",
            display_type="API",
        ),
    )
}


def opinion_key(node: Node) -> str:
    """Key of the field that holds the node's verdict."""
    return next(one.key for one in node.fields if one.type == "RADIO")


def answer(node: Node, *, approve: bool, remark: str) -> dict[str, str]:
    """Fill a node's form the way ITSM's own page does: every remark field gets the remark."""
    texts = {one.key: remark for one in node.fields if one.type == "TEXT"}
    defaults = {one.key: one.default for one in node.fields if one.default is not None}
    return defaults | texts | {opinion_key(node): "true" if approve else "false"}
