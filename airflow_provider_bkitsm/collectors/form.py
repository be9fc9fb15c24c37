"""What the approver reads: the ticket's title and its ``collector_detail``.

The log platform shows only name, type, charset and paths of a collector (reference 2.4); here the ETL payload
and its digest follow, so that what is approved is what will run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from airflow_provider_bkitsm.collectors.clean_config import canonical

Row = tuple[str, str]

_SCHEME = {
    "type": "text",
    "attrs": {"styles": {"label": ["border"], "value": ["highlight", "border"]}},
}
_SCHEME_NAME = "base_text_scheme"


def ticket_title(*, space: str, collector_name: str, opened: datetime, limit: int) -> str:
    """Return the log platform's title pattern with the application's own date, shortened to ``limit``."""
    start, end = "【日志采集】", f"-{opened:%Y%m%d}"
    middle = f"{space}-{collector_name}"
    room = limit - len(start) - len(end)
    return start + (middle if len(middle) <= room else middle[: room - 1] + "…") + end


def collector_detail(*, collector: Mapping[str, Any], etl_payload: Mapping[str, Any], etl_digest: str) -> str:
    """Return the JSON text of ITSM's CUSTOM-FORM field."""
    rows = detail_rows(collector=collector, etl_payload=etl_payload, etl_digest=etl_digest)
    form = {
        "config": {},
        "schemes": {_SCHEME_NAME: _SCHEME},
        "form_data": [
            {
                "label": "",
                "scheme": _SCHEME_NAME,
                "value": _text(collector.get("collector_config_name")),
                "children": [
                    {"label": label, "scheme": _SCHEME_NAME, "value": value} for label, value in rows
                ],
            }
        ],
    }
    return json.dumps(form, ensure_ascii=False)


def detail_text(*, collector: Mapping[str, Any], etl_payload: Mapping[str, Any], etl_digest: str) -> str:
    """Return the same as plain lines, for services that show a text field."""
    rows = detail_rows(collector=collector, etl_payload=etl_payload, etl_digest=etl_digest)
    return "\n".join(f"{label}{value}" for label, value in rows)


def detail_rows(
    *, collector: Mapping[str, Any], etl_payload: Mapping[str, Any], etl_digest: str
) -> tuple[Row, ...]:
    """Return what the approver reads, as label and value."""
    return (*_collector_rows(collector), *_etl_rows(etl_payload), ("ETL 摘要：", etl_digest))


def shows(fields: Iterable[Any], text: str) -> bool:
    """Whether one of the ticket's form values holds a text, e.g. the digest that was approved."""
    return any(text in json.dumps(value, ensure_ascii=False, default=str) for value in fields)


def _collector_rows(collector: Mapping[str, Any]) -> Iterator[Row]:
    params = collector.get("params")
    paths = params.get("paths") if isinstance(params, Mapping) else None
    yield "名称：", _text(collector.get("collector_config_name"))
    yield "备注说明：", _text(collector.get("description"))
    yield (
        "日志类型：",
        _text(collector.get("collector_scenario_name") or collector.get("collector_scenario_id")),
    )
    yield "日志字符集：", _text(collector.get("data_encoding"))
    for number, path in enumerate(paths or (), start=1):
        yield f"日志路径-{number}：", _text(path)


def _etl_rows(payload: Mapping[str, Any]) -> Iterator[Row]:
    for key in sorted(payload):
        value = payload[key]
        if key == "fields" and isinstance(value, list):
            value = ", ".join(_field(one) for one in value if isinstance(one, Mapping))
        yield f"ETL {key}：", _text(value)
    yield "ETL 配置：", canonical(payload).decode()


def _field(field: Mapping[str, Any]) -> str:
    mark = " (deleted)" if field.get("is_delete") else ""
    return f"{field.get('field_name') or '?'}:{field.get('field_type') or '?'}{mark}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
