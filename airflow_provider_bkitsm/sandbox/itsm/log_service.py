# SPDX-License-Identifier: Apache-2.0
"""The log platform's own service, as ITSM installs it: capacity is assessed, and the verdict is a form field.

No field names approvers; no step is of type APPROVAL, so ``approve_result`` is true whatever was decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_bkitsm.sandbox.itsm.services import TITLE, YES_NO, Field, Node, Service

LOG_SEARCH = "LOG_SEARCH"
"""Display role by which the log platform finds its service."""

_NO_RULE: Mapping[str, Any] = {"rule": {"expressions": [], "type": "and"}}
_EMPTY_FORM = '{\n    "schemes": {},\n    "form_data": []\n}'


def _described(*, wide: bool = False, rule: str = "") -> dict[str, Any]:
    expression = {"condition": "", "key": "", "source": "field", "type": rule, "value": ""}
    config = {"rule": {"expressions": [expression], "type": "and"}} if rule else _NO_RULE
    return {"layout": "COL_12" if wide else "COL_6", "regex": "EMPTY", "regex_config": config}


def _required(key: str, name: str, kind: str, *, rule: bool = False) -> Field:
    return Field(key=key, name=name, type=kind, more=_described(rule=kind if rule else ""))


def _details(key: str, name: str, *, rule: str = "") -> Field:
    return Field(
        key=key,
        name=name,
        type="CUSTOM-FORM",
        required=False,
        default={"schemes": {}, "form_data": []},
        more=_described(wide=True, rule=rule) | {"default": _EMPTY_FORM},
    )


_CMDB: Mapping[str, Any] = {
    "layout": "COL_6",
    "source_type": "API",
    "api_instance_id": 2,
    "api_info": {
        "api_instance_info": {
            "remote_api": 40,
            "req_params": {},
            "req_body": {"fields": ["bk_biz_id", "bk_biz_name"]},
            "rsp_data": "data.info",
        },
        "remote_api_info": {
            "func_name": "search_business",
            "method": "POST",
            "path": "/api/c/compapi/v2/cc/search_business/",
        },
    },
    "kv_relation": {"name": "bk_biz_name", "key": "bk_biz_id"},
    "regex": "EMPTY",
}

_FORM = (
    TITLE,
    Field(
        key="bk_biz_id",
        name="关联业务",
        type="SELECT",
        desc="请选择关联业务",
        from_cmdb=True,
        more=_CMDB,
    ),
    _required("expect_access_data", "期待接入日期", "DATE"),
    _required("single_log_size", "单条日志大小(Bytes)", "INT", rule=True),
    _required("single_host_peak", "单机流量峰值（KB/S）", "INT", rule=True),
    _required("single_host_log_volume", "单机增长日志量", "INT"),
    _required("expect_host_size", "预计接入主机数", "INT"),
    _required("log_keep_days", "日志保留天数", "INT"),
    _required("hot_data_days", "热数据天数", "STRING", rule=True),
    Field(key="apply_reason", name="申请原因", type="TEXT", required=False, more=_described(wide=True)),
    _details("collector_detail", "采集详情"),
    _details("capacity_formula", "容量公式", rule="CUSTOM-FORM"),
)
_ASSESSMENT = Node(
    state_id=1701,
    name="评估采集容量",
    kind="NORMAL",
    fields=(
        Field(key="approval_result", name="审批意见", type="RADIO", choice=YES_NO, default="true"),
        Field(
            key="can_use_independent_es_cluster",
            name="是否使用独立ES集群",
            type="RADIO",
            choice=(("true", "使用"), ("false", "不使用")),
            default="false",
        ),
        Field(key="remark_1", name="备注", type="TEXT", required=False),
        Field(key="remark_2", name="备注", type="TEXT", on_refusal=True),
    ),
)


def log_service(number: int) -> Service:
    """Return the service under a number."""
    return Service(
        id=number,
        name="日志平台容量评估",
        desc="日志检索采集接入服务",
        form=_FORM,
        nodes=(_ASSESSMENT,),
        revocable=False,
        display_role=LOG_SEARCH,
        display_type="API",
        ranked=False,
    )
