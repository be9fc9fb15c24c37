# SPDX-License-Identifier: Apache-2.0
"""What the approver sees: the ticket's title and the collector with its ETL payload. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pendulum

from airflow_provider_bkitsm.collectors.clean_config import canonical, verify
from airflow_provider_bkitsm.collectors.collector import Collector, as_collector
from airflow_provider_bkitsm.itsm.dialect import Dialect

_SCHEME = "base_text_scheme"
_PAYLOAD = "ETL "
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}(?![0-9a-f])")
# Characters of a collector's unreadable parameters that the approver sees.
_LONGEST_UNREAD = 2000
# ITSM cleans HTML out of titles when saving and writes quotes as entities, six characters each, which its limit
# counts; the full-width forms pass unchanged and read the same.
_TITLE_SAFE = str.maketrans({"<": "\uff1c", ">": "\uff1e", "&": "\uff06", '"': "\uff02", "'": "\uff07"})

Row = tuple[str, str]


def ticket_title(*, dialect: Dialect, space: str, collector_name: str, created: date, marker: str) -> str:
    """Return the log platform's title with the application's marker at its end.

    A title that is too long loses its middle, never the marker: a lost ticket is found by it.

    :param created: the collector's creation; an aware time is read as people in Shanghai do.
    :raises ValueError: the limit leaves no room for the collector.
    """
    head, tail = "【日志采集】", f"-{day_in_shanghai(created):%Y%m%d} [#{marker}]"
    limit = dialect.title_limit
    room = limit - dialect.title_length(f"{head}{tail}")
    if room < 1:
        raise ValueError(f"A title of {limit} characters has no room for the marker {marker!r}")
    plain = " ".join(f"{space}-{collector_name}".split()).translate(_TITLE_SAFE)
    shortened, kept = plain, min(room, len(plain))
    while dialect.title_length(title := f"{head}{shortened}{tail}") > limit:
        kept -= 1
        shortened = f"{plain[: kept - kept // 2]}…{plain[len(plain) - kept // 2 :]}"
    return title


def collector_detail(
    *,
    collector: Mapping[str, Any],
    etl_payload: Mapping[str, Any],
    digest: str,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the value of ITSM's CUSTOM-FORM field, in the log platform's shape.

    An object: ITSM escapes the quotes of a text, which its page then cannot parse, and stores an object as it is.
    Unlike the log platform's, the rows go on with the ETL payload and its digest: these are what is approved.

    :param more: further rows, value by label, between collector and payload.
    :raises CollectItsmDigestMismatch: ``digest`` is not the payload's.
    """
    rows = [_node(label, value) for label, value in _rows(collector, etl_payload, digest, more or {})]
    return {
        "config": {},
        "schemes": {
            _SCHEME: {
                "type": "text",
                "attrs": {"styles": {"label": ["border"], "value": ["highlight", "border"]}},
            }
        },
        "form_data": [_node("", _text(collector.get("collector_config_name"))) | {"children": rows}],
    }


def detail_text(
    *,
    collector: Mapping[str, Any],
    etl_payload: Mapping[str, Any],
    digest: str,
    more: Mapping[str, Any] | None = None,
) -> str:
    """Return the rows of ``collector_detail`` as lines, for a TEXT or STRING field.

    :raises CollectItsmDigestMismatch: ``digest`` is not the payload's.
    """
    return "\n".join(f"{label}{value}" for label, value in _rows(collector, etl_payload, digest, more or {}))


def digests_in(value: Any) -> set[str]:
    """Return every whole digest that a field's value holds, at whatever depth; one alone proves nothing."""
    return {found for text in _texts(value) for found in _DIGEST.findall(text)}


def is_detail_of(value: Any, *, etl_payload: Mapping[str, Any], digest: str) -> bool:
    """Whether a value of ``collector_detail`` or ``detail_text`` shows this payload, and no other (promise P3).

    The value must end with the payload's rows as they are rendered, have none of their labels before, and hold one
    digest only.

    :raises CollectItsmDigestMismatch: ``digest`` is not the payload's.
    """
    wanted = list(_payload_rows(verify(etl_payload, digest), digest))
    if digests_in(value) != {digest}:
        return False
    if isinstance(value, str):
        lines = "\n".join(f"{label}{text}" for label, text in wanted)
        before, found, _ = f"\n{value}".rpartition(f"\n{lines}")
        return value.endswith(lines) and bool(found) and f"\n{_PAYLOAD}" not in before
    rows = _shown_rows(value)
    others = rows[: -len(wanted)]
    return rows[-len(wanted) :] == wanted and not any(label.startswith(_PAYLOAD) for label, _ in others)


def capacity_gb(*, daily_gb_per_host: float, hosts: int, keep_days: int, replicas: int = 1) -> int:
    """Return the storage to ask for, by the log platform's formula of 2021.

    See docs/log-platform-behaviour.md#capacity-formula.

    Its last factor, "分片数", is always 2 there: the data and one replica, the platform's default. Here it follows
    the number of replicas.
    """
    daily = Decimal(str(daily_gb_per_host)) * hosts
    return math.ceil(daily * (keep_days + 1) * Decimal("1.5") * (replicas + 1))


def day_in_shanghai(moment: date) -> date:
    """Return the day people in Shanghai have at an aware time; any other date as it is."""
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        return pendulum.instance(moment).in_timezone("Asia/Shanghai")
    return moment


def _node(label: str, value: str) -> dict[str, Any]:
    return {"label": label, "scheme": _SCHEME, "value": value}


def _rows(
    collector: Mapping[str, Any], etl_payload: Mapping[str, Any], digest: str, more: Mapping[str, Any]
) -> Iterator[Row]:
    payload = verify(etl_payload, digest)
    yield "名称：", _text(collector.get("collector_config_name"))
    yield "备注说明：", _text(collector.get("description"))
    kind = collector.get("collector_scenario_name") or collector.get("collector_scenario_id")
    yield "日志类型：", _text(kind)
    yield "日志字符集：", _text(collector.get("data_encoding"))
    yield from _source_rows(as_collector(collector))
    for label, value in more.items():
        yield _text(label), _text(value)
    yield from _payload_rows(payload, digest)


def _payload_rows(payload: Mapping[str, Any], digest: str) -> Iterator[Row]:
    for key in sorted(payload):
        yield f"{_PAYLOAD}{key}：", _summary(key, payload[key])
    yield f"{_PAYLOAD}JSON：", _text(canonical(payload).decode())
    yield f"{_PAYLOAD}SHA-256：", digest


def _shown_rows(value: Any) -> list[Row]:
    """Return label and value of the rows of a detail; none of what is no detail."""
    try:
        (head,) = value["form_data"]
        return [(row["label"], row["value"]) for row in head["children"]]
    except (KeyError, TypeError, ValueError):
        return []


def _source_rows(collector: Collector) -> Iterator[Row]:
    """Return where the logs come from; parameters that cannot be read are shown as they are, not hidden."""
    paths = (collector.get("params") or {}).get("paths")
    for number, path in enumerate(paths if isinstance(paths, list | tuple) else [paths] if paths else (), start=1):
        yield f"日志路径-{number}：", _text(path)
    unread = collector.unread_params
    if unread is not None:
        cut = f"…（共 {len(unread)} 字符）" if len(unread) > _LONGEST_UNREAD else ""
        yield "采集参数（无法解析）：", f"{unread[:_LONGEST_UNREAD]}{cut}"


def _summary(key: str, value: Any) -> str:
    if key == "fields" and isinstance(value, list):
        return _text("; ".join(map(_field_summary, value)) or "-")
    return _text(value)


def _field_summary(field: Mapping[str, Any]) -> str:
    notes = [note for note in ("is_time", "is_analyzed", "is_delete") if field.get(note) is True]
    return " ".join(
        filter(None, (str(field.get("field_name") or "-"), str(field.get("field_type") or ""), *notes))
    )


def _text(value: Any) -> str:
    """Return any JSON value as text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
