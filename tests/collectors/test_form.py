# SPDX-License-Identifier: Apache-2.0
"""What the approver sees."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_bkitsm.collectors.clean_config import digest
from airflow_provider_bkitsm.collectors.collector import Collector
from airflow_provider_bkitsm.collectors.errors import CollectItsmDigestMismatch
from airflow_provider_bkitsm.collectors.form import (
    capacity_gb,
    collector_detail,
    detail_text,
    digests_in,
    is_detail_of,
    ticket_title,
)
from airflow_provider_bkitsm.itsm.v2.dialect import V2, DialectV2
from airflow_provider_bkitsm.itsm.v2.four_byte import escaped
from airflow_provider_bkitsm.itsm.v4.dialect import V4Dialect
from tests.record import EVIDENCE

DAY = date(2026, 11, 24)
COLLECTOR: dict[str, Any] = {
    "collector_config_name": "app-runtime",
    "description": "运行日志",
    "collector_scenario_id": "row",
    "collector_scenario_name": "行日志",
    "data_encoding": "UTF-8",
    "params": {"paths": ["/data/a.log", "/data/b.log"]},
}
PAYLOAD: dict[str, Any] = {
    "table_id": "t",
    "etl_config": "bk_log_json",
    "fields": [
        {"field_name": "level", "field_type": "string", "is_delete": False},
        {"field_name": "ts", "field_type": "long", "is_delete": False, "is_time": True},
        {"is_delete": True, "field_index": 3},
    ],
    "etl_params": {"separator": "|"},
    "view_roles": None,
    "retention": 7,
}
DIGEST = digest(PAYLOAD)


def _rows(**changed: Any) -> dict[str, str]:
    arguments = {"collector": COLLECTOR, "etl_payload": PAYLOAD, "digest": DIGEST} | changed
    form = collector_detail(**arguments)
    return {row["label"]: row["value"] for row in form["form_data"][0]["children"]}


UNREADABLE = "{'paths': ['/data/a.log'], 'conditions': <Conditions object>}"


def test_p3_parameters_that_cannot_be_read_are_shown_as_text() -> None:
    rows = _rows(collector=Collector(COLLECTOR | {"params": UNREADABLE}))
    assert rows["采集参数（无法解析）："] == UNREADABLE
    assert not [label for label in rows if label.startswith("日志路径")]
    lines = detail_text(
        collector=Collector(COLLECTOR | {"params": UNREADABLE}), etl_payload=PAYLOAD, digest=DIGEST
    )
    assert f"采集参数（无法解析）：{UNREADABLE}" in lines.splitlines()


def test_parameters_that_cannot_be_read_are_cut_with_their_length() -> None:
    text = UNREADABLE + "x" * 5000
    shown = _rows(collector=Collector(COLLECTOR | {"params": text}))["采集参数（无法解析）："]
    assert shown.startswith(UNREADABLE)
    assert shown.endswith(f"…（共 {len(text)} 字符）")
    assert len(shown) < 2100


@pytest.mark.parametrize(
    "params", [COLLECTOR["params"], str(COLLECTOR["params"]), json.dumps(COLLECTOR["params"])]
)
def test_parameters_are_shown_alike_however_the_platform_spells_them(params: object) -> None:
    rows = _rows(collector=Collector(COLLECTOR | {"params": params}))
    assert (rows["日志路径-1："], rows["日志路径-2："]) == ("/data/a.log", "/data/b.log")
    assert "采集参数（无法解析）：" not in rows


@pytest.mark.parametrize("params", [None, "", "{}", {}, {"paths": None}])
def test_a_collector_without_paths_has_no_rows_of_them(params: object) -> None:
    assert not [label for label in _rows(collector=Collector(COLLECTOR | {"params": params})) if "路径" in label]


def limited(limit: int) -> DialectV2:
    """An ITSM whose titles have another limit."""
    itsm = DialectV2()
    itsm.title_limit = limit
    return itsm


def test_a_title_for_itsm_v4_keeps_to_its_own_limit() -> None:
    title = ticket_title(dialect=V4Dialect(), space="s", collector_name="c" * 200, created=DAY, marker="a1b2c3d4")
    assert len(title) == 120
    assert len(V4Dialect().fitting_title("t" * 200, room_for=10)) == 110


def test_title() -> None:
    title = ticket_title(dialect=V2, space="蓝鲸", collector_name="app-runtime", created=DAY, marker="a1b2c3d4")
    assert title == "【日志采集】蓝鲸-app-runtime-20261124 [#a1b2c3d4]"


def test_a_title_holds_nothing_that_itsm_changes() -> None:
    title = ticket_title(
        dialect=V2, space=" a\n<b>  &\"'", collector_name="c\U0001f600", created=DAY, marker="12345678"
    )
    assert title == "【日志采集】a \uff1cb\uff1e \uff06\uff02\uff07-c\U0001f600-20261124 [#12345678]"


@given(
    space=st.text(min_size=1, max_size=200),
    name=st.text(min_size=1, max_size=200) | st.text("x\U0001f600", min_size=1, max_size=200),
    marker=st.text("0123456789abcdef", min_size=8, max_size=32),
    limit=st.integers(60, 128),
)
def test_title_never_exceeds_the_limit_and_keeps_the_marker_p2(
    space: str, name: str, marker: str, limit: int
) -> None:
    """P2: by its marker a ticket whose answer was lost is recognised."""
    title = ticket_title(dialect=limited(limit), space=space, collector_name=name, created=DAY, marker=marker)
    assert len(escaped(title)) <= limit
    assert title.endswith(f"-20261124 [#{marker}]")
    assert title.startswith("【日志采集】")
    assert not set(title) & set("<>&\n\"'"), "ITSM would store something else, and its limit counts that"


def test_a_long_title_is_cut_in_the_middle() -> None:
    title = ticket_title(dialect=V2, space="s" * 128, collector_name="n" * 64, created=DAY, marker="12345678")
    assert len(title) == 128
    assert title.endswith("nnn-20261124 [#12345678]")


def test_a_title_that_just_fits_is_not_cut() -> None:
    fits = ticket_title(dialect=V2, space="space", collector_name="name", created=DAY, marker="12345678")
    for limit, cut in ((len(fits), False), (len(fits) - 1, True)):
        title = ticket_title(
            dialect=limited(limit), space="space", collector_name="name", created=DAY, marker="12345678"
        )
        assert (len(title), "…" in title) == (limit, cut)


@pytest.mark.parametrize("room", [1, 2, 3])
def test_a_title_may_shrink_to_almost_nothing(room: int) -> None:
    fixed = len("【日志采集】-20261124 [#12345678]")
    title = ticket_title(
        dialect=limited(fixed + room), space="space", collector_name="name", created=DAY, marker="12345678"
    )
    assert len(title) == fixed + room
    assert "…" in title


def test_a_title_without_room_for_the_collector_is_an_error() -> None:
    with pytest.raises(ValueError, match="no room"):
        ticket_title(dialect=limited(40), space="s", collector_name="n", created=DAY, marker="1" * 32)


def test_an_aware_time_gives_the_day_in_shanghai() -> None:
    late = datetime(2026, 11, 23, 16, 30, tzinfo=UTC)
    title = ticket_title(dialect=V2, space="s", collector_name="n", created=late, marker="12345678")
    assert "-20261124 [#" in title


def test_detail_has_the_log_platforms_shape() -> None:
    form = collector_detail(collector=COLLECTOR, etl_payload=PAYLOAD, digest=DIGEST)
    assert form["config"] == {}
    assert form["schemes"] == {
        "base_text_scheme": {
            "type": "text",
            "attrs": {"styles": {"label": ["border"], "value": ["highlight", "border"]}},
        }
    }
    (item,) = form["form_data"]
    assert {key: item[key] for key in ("label", "scheme", "value")} == {
        "label": "",
        "scheme": "base_text_scheme",
        "value": "app-runtime",
    }
    assert item["children"][:6] == [
        {"label": label, "scheme": "base_text_scheme", "value": value}
        for label, value in [
            ("名称：", "app-runtime"),
            ("备注说明：", "运行日志"),
            ("日志类型：", "行日志"),
            ("日志字符集：", "UTF-8"),
            ("日志路径-1：", "/data/a.log"),
            ("日志路径-2：", "/data/b.log"),
        ]
    ]


def test_detail_shows_what_is_approved() -> None:
    rows = _rows()
    assert rows["ETL retention："] == "7"
    assert rows["ETL view_roles："] == ""
    assert rows["ETL etl_params："] == '{"separator": "|"}'
    assert rows["ETL fields："] == "level string; ts long is_time; - is_delete"
    assert json.loads(rows["ETL JSON："]) == PAYLOAD
    assert rows["ETL SHA-256："] == DIGEST
    assert [label for label in rows if label.startswith("ETL ")][:6] == [f"ETL {key}：" for key in sorted(PAYLOAD)]


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("fields", [], "-"),
        ("fields", None, ""),
        ("fields", [{"field_name": "a", "field_type": "string", "is_analyzed": True}], "a string is_analyzed"),
        ("fields", [{"field_name": "a", "is_analyzed": False, "is_delete": "yes"}], "a"),
        ("view_roles", [1, 2], "[1, 2]"),
        ("alias_settings", [], "[]"),
        ("etl_params", {"b": 1, "a": "名"}, '{"a": "名", "b": 1}'),
        ("table_id", "名", "名"),
    ],
)
def test_every_value_is_spelled_for_people(key: str, value: Any, shown: str) -> None:
    payload = PAYLOAD | {key: value}
    assert _rows(etl_payload=payload, digest=digest(payload))[f"ETL {key}："] == shown


def test_the_form_is_the_structure_that_was_recorded_to_come_back_intact() -> None:
    """An object: a JSON text is stored with its quotes escaped, and ITSM's page cannot parse it any more."""
    sent = EVIDENCE["create_ticket__log_search_approved"]["request"]["fields"]
    (recorded,) = (field["value"] for field in sent if field["key"] == "collector_detail")
    (stored,) = (
        field["value"]
        for field in EVIDENCE["get_ticket_info__log_search_approved"]["body"]["data"]["fields"]
        if field["key"] == "collector_detail"
    )
    assert stored == recorded
    form = collector_detail(collector=COLLECTOR, etl_payload=PAYLOAD, digest=DIGEST)
    assert form.keys() == recorded.keys()
    assert (form["config"], form["schemes"]) == (recorded["config"], recorded["schemes"])
    (block,), (theirs,) = form["form_data"], recorded["form_data"]
    assert block.keys() == theirs.keys()
    assert {tuple(row) for row in block["children"]} == {tuple(row) for row in theirs["children"]}


@pytest.mark.parametrize("params", [None, {}, {"paths": None}, {"paths": []}, "{}"])
def test_a_collector_without_parameters_is_tolerated(params: Any) -> None:
    rows = _rows(collector={"collector_scenario_id": "row", "params": params})
    assert (rows["名称："], rows["日志类型："]) == ("", "row")
    assert not any(label.startswith("日志路径") for label in rows)


@pytest.mark.parametrize("params", [{"paths": "/a.log"}, {"paths": ("/a.log",)}, "{'paths': ['/a.log']}"])
def test_paths_are_shown_however_they_come(params: Any) -> None:
    rows = _rows(collector={"params": params})
    assert [row for row in rows.items() if row[0].startswith("日志路径")] == [("日志路径-1：", "/a.log")]


def test_parameters_that_cannot_be_read_are_shown_as_they_are() -> None:
    params = "OrderedDict([('paths', ['/a.log'])])"
    assert _rows(collector={"params": params})["采集参数（无法解析）："] == params


def test_every_character_is_shown_as_it_is() -> None:
    """ITSM stores an object as JSON with escapes, whatever its database takes."""
    payload = PAYLOAD | {"note": "\U0001f600"}
    rows = _rows(etl_payload=payload, digest=digest(payload))
    assert rows["ETL note："] == "\U0001f600"
    assert json.loads(rows["ETL JSON："]) == payload


def test_further_rows_stand_between_collector_and_payload() -> None:
    labels = list(_rows(more={"更多：": 7}))
    assert labels.index("日志路径-2：") < labels.index("更多：") < labels.index("ETL etl_config：")
    assert _rows(more={"更多：": 7})["更多："] == "7"


@pytest.mark.parametrize("more", [None, {"更多：": 7}])
def test_text_has_the_same_rows(more: Any) -> None:
    text = detail_text(collector=COLLECTOR, etl_payload=PAYLOAD, digest=DIGEST, more=more)
    assert text.splitlines() == [f"{label}{value}" for label, value in _rows(more=more).items()]


@pytest.mark.parametrize("make", [collector_detail, detail_text])
def test_a_digest_of_something_else_is_never_shown_p3(make: Any) -> None:
    with pytest.raises(CollectItsmDigestMismatch):
        make(collector=COLLECTOR, etl_payload=PAYLOAD, digest=digest({}))


@pytest.mark.parametrize(
    "value",
    [
        DIGEST,
        detail_text(collector=COLLECTOR, etl_payload=PAYLOAD, digest=DIGEST),
        collector_detail(collector=COLLECTOR, etl_payload=PAYLOAD, digest=DIGEST),
        # Tickets of earlier versions hold JSON text, as ITSM has stored it.
        json.dumps(collector_detail(collector=COLLECTOR, etl_payload=PAYLOAD, digest=DIGEST)),
        json.dumps(collector_detail(collector=COLLECTOR, etl_payload=PAYLOAD, digest=DIGEST)).replace(
            '"', "&quot;"
        ),
        [{"a": [None, 1, {"b": f"({DIGEST})"}]}],
    ],
)
def test_a_digest_is_found_wherever_it_is_shown(value: Any) -> None:
    assert digests_in({"title": "x", "y": value}) == {DIGEST}


@pytest.mark.parametrize(
    "value",
    [[], None, {DIGEST: 1}, DIGEST[:-1], DIGEST + "0", "", "sha256:", DIGEST.removeprefix("sha256:"), "None"],
)
def test_anything_else_does_not_show_it_p3(value: Any) -> None:
    assert digests_in(value) == set()


def test_every_digest_shown_can_be_told() -> None:
    other = "sha256:" + "0" * 64
    longer = other + "0"
    assert digests_in([f"{DIGEST}, {longer}", {"x": [other]}, None]) == {DIGEST, other}


MAKERS = pytest.mark.parametrize("make", [collector_detail, detail_text])
PAYLOADS = st.dictionaries(
    st.text(min_size=1), st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=4), max_size=4
)


@MAKERS
@given(
    PAYLOADS, st.dictionaries(st.text().filter(lambda text: "ETL " not in text), st.text("ab\n #&<>"), max_size=3)
)
def test_p3_a_rendered_detail_is_its_payloads_and_no_others(make: Any, payload: Any, more: Any) -> None:
    shown = {"etl_payload": payload, "digest": digest(payload)}
    detail = make(collector=COLLECTOR, more=more, **shown)
    assert is_detail_of(detail, **shown)
    assert is_detail_of(json.loads(json.dumps(detail)), **shown)
    other = payload | {"retention": 70}
    assert not is_detail_of(detail, etl_payload=other, digest=digest(other)) or other == payload


@MAKERS
@pytest.mark.parametrize(
    "more",
    [
        {"x": f"sha256:{'0' * 64}"},
        {f"sha256:{'0' * 64}": "x"},
        {"ETL retention：": "1"},
        {"x": f"y\nETL SHA-256：sha256:{'0' * 64}"},
    ],
)
def test_p3_a_detail_that_also_shows_something_else_is_not_the_payloads(make: Any, more: Any) -> None:
    detail = make(collector=COLLECTOR, etl_payload=PAYLOAD, digest=DIGEST, more=more)
    assert not is_detail_of(detail, etl_payload=PAYLOAD, digest=DIGEST)


@MAKERS
def test_p3_a_detail_that_goes_on_or_lacks_a_row_is_not_the_payloads(make: Any) -> None:
    detail = make(collector=COLLECTOR, etl_payload=PAYLOAD, digest=DIGEST)
    if isinstance(detail, str):
        lines = detail.splitlines()
        worse: list[Any] = [f"{detail}\nor not", "\n".join(lines[:-3] + lines[-2:]), "\n".join(reversed(lines))]
    else:
        (head,) = detail["form_data"]
        rows = head["children"]
        several = ([*rows, {"label": "or", "value": "not"}], rows[:-3] + rows[-2:], rows[::-1])
        worse = [{"form_data": [head | {"children": one}]} for one in several]
        worse += [{"form_data": [head, head]}, {"form_data": [head | {"children": [DIGEST]}]}]
    for value in worse:
        assert not is_detail_of(value, etl_payload=PAYLOAD, digest=DIGEST), value


@pytest.mark.parametrize("value", [None, "", DIGEST, [], {}, [DIGEST], {"form_data": DIGEST}, 7, {"x": DIGEST}])
def test_p3_what_is_no_detail_shows_no_payload(value: Any) -> None:
    assert not is_detail_of(value, etl_payload=PAYLOAD, digest=DIGEST)


@pytest.mark.parametrize(
    ("daily", "hosts", "days", "expected"), [(10, 5, 7, 1200), (1.1, 10, 0, 33), (0.001, 1, 1, 1), (0, 5, 7, 0)]
)
def test_capacity_of_2021(daily: float, hosts: int, days: int, expected: int) -> None:
    assert capacity_gb(daily_gb_per_host=daily, hosts=hosts, keep_days=days) == expected


@pytest.mark.parametrize(("replicas", "expected"), [(0, 600), (1, 1200), (2, 1800)])
def test_capacity_follows_the_replicas(replicas: int, expected: int) -> None:
    assert capacity_gb(daily_gb_per_host=10, hosts=5, keep_days=7, replicas=replicas) == expected
