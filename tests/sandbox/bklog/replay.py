# SPDX-License-Identifier: Apache-2.0
"""What had happened on the real log platform before each recorded request, done to a sandbox of its own.

Recordings of one situation share its name: of a write, and of the list and the detail read after it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from airflow_provider_bkitsm.sandbox.bklog.platform import Denial
from airflow_provider_bkitsm.sandbox.bklog.seed import collector
from airflow_provider_bkitsm.sandbox.server import create_app
from airflow_provider_bkitsm.sandbox.settings import BKLOG_ROOT, Settings
from tests.record import BKLOG

Body = dict[str, Any]
STORAGE = {"table_id": "app_runtime", "storage_cluster_id": 3, "retention": 7, "allocation_min_days": 0}
LEVEL = {"field_name": "level", "field_type": "string", "is_delete": False}
KEPT = {"retain_original_text": True}
ROW = {
    "collector_config_name_en": "app_runtime",
    "bk_biz_id": 2,
    "description": "d",
    "environment": None,
    "target_node_type": "INSTANCE",
    "target_nodes": [],
    "params": {"paths": ["/a.log"], "conditions": {"type": "none"}},
    "subscription_id": None,
    "task_id_list": [],
    "bk_data_id": None,
}


def _json(*fields: Body, params: Body = KEPT, **more: Any) -> Body:
    return STORAGE | {"etl_config": "bk_log_json", "etl_params": params, "fields": list(fields)} | more


def _recorded(situation: str) -> Body:
    body: Body = BKLOG[f"clean_config__{situation}"]["request"]
    return body


def _time(kind: str, zone: int, time_format: str) -> Body:
    option = {"time_zone": zone, "time_format": time_format}
    return {"field_name": "ts", "field_type": kind, "is_delete": False, "is_time": True, "option": option}


TEXT, WHOLE = _recorded("bk_log_text_created"), _recorded("bk_log_json_created")
BEFORE_CHANGE = _json(LEVEL, es_shards=1, storage_replies=1)
CHINESE = {
    "paths": ["/数据/应用/*.log", "/data/app/info*.log", "C:\\logs\\错误.log"],
    "exclude_files": [".*\\.gz$"],
    "conditions": {
        "type": "separator",
        "separator": "|",
        "separator_filters": [
            {"fieldindex": "1", "word": "错误", "op": "=", "logic_op": "and"},
            {"fieldindex": "2", "word": 'it\'s "quoted"', "op": "!=", "logic_op": "or"},
        ],
    },
    "multiline_pattern": None,
    "multiline_max_lines": None,
    "multiline_timeout": None,
    "encoding": None,
    "tail_files": True,
}


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What had happened.

    :param row: what the collector has that others have not.
    :param before: clean configurations that were written before anything went wrong.
    :param setup: how the platform was set up then.
    :param write: the clean configuration whose answer was recorded, or after which was read.
    :param then: how the platform was set up after that.
    :param reads_first: the list was read before ``write``, which fills its cache.
    :param seconds: passed before the recorded read.
    """

    row: Body = field(default_factory=dict)
    before: tuple[Body, ...] = ()
    setup: Body = field(default_factory=dict)
    write: Body | None = None
    then: Body | None = None
    reads_first: bool = False
    seconds: float = 0


NOT_WRITTEN = Situation()
DENIED = {"denials": (Denial(),)}
APPLYING = Situation(setup={"collect_itsm": True}, write=_recorded("native_application_opened"))
CHANGED = Situation(before=(BEFORE_CHANGE,), write=_recorded("storage_change_accepted"))
STORAGE_DOWN = {"metadata_down": ("get_result_table_storage",)}
SITUATIONS: dict[str, Situation] = {
    **{
        kind: Situation(write=_recorded(f"{kind}_created"))
        for kind in ("bk_log_text", "bk_log_json", "bk_log_delimiter")
    },
    "bk_log_regexp": Situation(write=_recorded("bk_log_regexp_same_again")),
    "bk_log_text_smallest": Situation(write=STORAGE | {"etl_config": "bk_log_text"}),
    "hot_warm_cluster": Situation(
        write=STORAGE | {"etl_config": "bk_log_text", "storage_cluster_id": 4, "allocation_min_days": 3}
    ),
    "aliases": Situation(
        write=_json(
            LEVEL | {"alias_name": "severity"},
            LEVEL | {"field_name": "日志", "alias_name": "log_text"},
            LEVEL | {"field_name": "a.b"},
            LEVEL | {"field_name": "plain"},
            alias_settings=[{"field_name": "plain", "query_alias": "p", "path_type": "keyword"}],
        )
    ),
    "original_text_options": Situation(
        write=_json(
            LEVEL,
            params={
                "retain_original_text": True,
                "original_text_is_case_sensitive": True,
                "original_text_tokenize_on_chars": "-,/",
                "retain_extra_json": True,
                "enable_retain_content": False,
                "record_parse_failure": False,
            },
        )
    ),
    "original_text_not_kept": Situation(write=_json(LEVEL, params={"retain_original_text": False})),
    "is_time_field": Situation(write=_json(_time("string", 8, "yyyy-MM-dd HH:mm:ss"), LEVEL)),
    "is_time_field_epoch_millis": Situation(write=_json(_time("long", 0, "epoch_millis"), LEVEL)),
    "path_regexp_and_metadata_fields": Situation(
        write=_json(
            LEVEL,
            params=KEPT
            | {
                "path_regexp": "/data/(?P<app>\\w+)/",
                "metadata_fields": [{"field_name": "app", "value": "x", "metadata_type": "path"}],
            },
        )
    ),
    "params_chinese_paths_filters_null": Situation(
        row={"collector_config_name": "应用运行日志", "description": "中文描述", "params": CHINESE}
    ),
    "params_null": Situation(row={"params": None}),
    "is_display_false": Situation(
        row={"collector_config_name": "hidden", "collector_config_name_en": "hidden", "is_display": False}
    ),
    "stopped": Situation(row={"is_active": False}, before=(TEXT,)),
    "no_rights": Situation(write=TEXT, then=DENIED),
    "business_0_no_rights": NOT_WRITTEN,
    # The platform's own application
    "natively_applying": APPLYING,
    "natively_applying_after_write": Situation(
        setup={"collect_itsm": True}, before=(APPLYING.write, APPLYING.write), write=WHOLE
    ),
    "natively_applying_without_need_assessment": Situation(
        setup={"collect_itsm": True}, before=(APPLYING.write,), write=WHOLE
    ),
    "native_application_opened": APPLYING,
    "native_application_second": Situation(
        setup={"collect_itsm": True}, before=(APPLYING.write,), write=APPLYING.write
    ),
    "natively_applying_switch_on": APPLYING,
    "filter_itsm_ticket_status": APPLYING,
    "filter_itsm_ticket_status_none_left": APPLYING,
    "itsm_down_natively_applying": Situation(
        row={"is_active": False},
        setup={"collect_itsm": True},
        before=(APPLYING.write,),
        write=APPLYING.write,
        then={"itsm_down": True},
    ),
    "itsm_down_need_assessment": Situation(
        setup={"collect_itsm": True, "itsm_down": True}, write=_recorded("itsm_down_need_assessment")
    ),
    "itsm_down_not_applying": Situation(write=WHOLE, then={"itsm_down": True}),
    # What metadata does
    "metadata_storage_down": Situation(write=TEXT, then=STORAGE_DOWN),
    "metadata_result_table_down": Situation(write=WHOLE, then={"metadata_down": ("get_result_table",)}),
    "metadata_back_after_storage_down": Situation(
        before=(TEXT,), setup=STORAGE_DOWN, reads_first=True, then={"metadata_down": ()}
    ),
    "metadata_back_cache_cleared": Situation(
        before=(TEXT,), setup=STORAGE_DOWN, reads_first=True, then={"metadata_down": ()}, seconds=600
    ),
    "metadata_cluster_info_down": Situation(
        setup={"metadata_down": ("get_cluster_info",)}, write=WHOLE, then={"metadata_down": ()}
    ),
    "metadata_refuses_creation": Situation(setup={"metadata_down": ("create_result_table",)}, write=WHOLE),
    "metadata_refuses_creation_then_accepts": Situation(write=WHOLE),
    "storage_before_change": Situation(write=BEFORE_CHANGE),
    "storage_change_accepted": CHANGED,
    "storage_change_list_cached": Situation(
        before=CHANGED.before, write=CHANGED.write, setup={"clears_list_cache": False}, reads_first=True
    ),
    "storage_change_metadata_3s_late": Situation(
        before=CHANGED.before, write=CHANGED.write, setup={"table_change": "late"}
    ),
    "storage_change_metadata_3s_late_at_once": Situation(
        before=CHANGED.before, write=CHANGED.write, setup={"table_change": "late"}, seconds=2.9
    ),
    "storage_change_metadata_3s_late_after_4s": Situation(
        before=CHANGED.before, write=CHANGED.write, setup={"table_change": "late"}, seconds=4
    ),
    "storage_change_metadata_refuses": Situation(
        before=CHANGED.before, write=CHANGED.write, setup={"table_change": "refused"}
    ),
    "kind_change_metadata_refuses": Situation(
        before=(BEFORE_CHANGE,), write=TEXT, setup={"table_change": "refused"}
    ),
    "kind_change_json_to_text": Situation(before=(WHOLE,), write=TEXT),
    "table_id_upper_case": Situation(write=_recorded("table_id_upper_case")),
    "table_id_upper_case_kept": Situation(setup={"keeps_case": True}, write=_recorded("table_id_upper_case_kept")),
    "try_reserved_name_on_written": Situation(before=(WHOLE,), write=_recorded("try_reserved_name_on_written")),
    "try_etl_processor_bkbase": Situation(row={"etl_processor": "bkbase"}),
    **{
        f"{kind}_same_again": Situation(before=(_recorded(f"{kind}_same_again"),))
        for kind in ("bk_log_text", "bk_log_json", "bk_log_regexp")
    },
    **dict.fromkeys(("ok", "twice"), Situation(before=(TEXT,))),
}

# Lists with more than one collector: number, name, what else.
CLEANED = 315
CROWD: tuple[tuple[int, str, Body], ...] = (
    (CLEANED, "app-runtime", {}),
    (316, "第二个", {"collector_config_name_en": "second"}),
    (317, "third", {"collector_config_name_en": "third", "bk_biz_id": 3}),
    (318, "hidden", {"collector_config_name_en": "hidden", "is_display": False}),
)
OF_A_CROWD = frozenset(
    {
        *("collector_id_list_hidden", "collector_id_list_not_a_number", "collector_id_list_unknown", "keyword"),
        *("first_page_of_two", "second_page_of_two", "page_beyond_the_end", "no_business", "business_empty"),
        *("is_display_false_asked_for", "is_display_false_left_out", "no_rights"),
    }
)


class Stage:
    """One sandbox, in this process, whose clock stands still."""

    def __init__(self) -> None:
        app = create_app(Settings())
        self.platform = app.state.world.bklog
        self.platform.collectors.clear()
        self.platform.clock = lambda: self.now
        self.platform.change_setup({"denials": ()})
        self.now = 1_795_950_351.0
        self.transport = httpx.ASGITransport(app)
        named = {"bk_app_code": "sandbox", "bk_app_secret": Settings.app_secret, "bk_username": "admin"}
        self.headers = {"X-Bkapi-Authorization": json.dumps(named), "Content-Type": "application/json"}

    def add(self, number: int, name: str = "app-runtime", **row: Any) -> None:
        """Make a collector as the recorded ones were."""
        self.platform.save(self.platform.touched(collector(number, name, **(ROW | row))))

    def ask(self, record: Mapping[str, Any]) -> httpx.Response:
        """Send a recorded request."""
        body = record["request"]
        request = httpx.Request(
            record["method"],
            "http://127.0.0.1" + record["path"].replace("{bklog}", BKLOG_ROOT),
            params=record["query"],
            content=body if isinstance(body, str) else json.dumps(body) if body is not None else None,
            headers=self.headers,
        )
        return asyncio.run(self._send(request))

    async def _send(self, request: httpx.Request) -> httpx.Response:
        async with httpx.AsyncClient(transport=self.transport) as client:
            return await client.send(request)

    def write(self, number: int, body: Body | None) -> None:
        """Write a clean configuration, whatever comes of it."""
        path = f"{{bklog}}/databus_collectors/{number}/update_or_create_clean_config/"
        self.ask({"method": "POST", "path": path, "query": None, "request": body})

    def read_list(self) -> None:
        """Read the list, as any other user does."""
        query = {"bk_biz_id": 2, "page": 1, "pagesize": 50}
        self.ask({"method": "GET", "path": "{bklog}/databus_collectors/", "query": query, "request": None})


def prepared(name: str) -> Stage:
    """Return a sandbox at the moment before a recorded request."""
    call, _, situation = name.partition("__")
    stage, record = Stage(), BKLOG[name]
    if call == "list_collectors" and situation in OF_A_CROWD:
        for number, collector_name, row in CROWD:
            stage.add(number, collector_name, **row)
            stage.now += 1
            if number == CLEANED:
                stage.write(number, TEXT)
        return stage
    _happen(stage, _number(record), SITUATIONS.get(situation, NOT_WRITTEN), writes=call == "clean_config")
    if call in ("start", "stop") and situation == "twice":
        stage.ask(record)
    if situation == "business_0_no_rights":
        stage.platform.change_setup(DENIED)
    return stage


def _number(record: Mapping[str, Any]) -> int:
    """Return the collector of a recording: the path's, or the only one of its list."""
    text = record["path"].split("/")[2]
    if text.isdecimal():
        return int(text)
    rows = (record["body"]["data"] or {}).get("list") or [{"collector_config_id": 310}]
    return int(rows[0]["collector_config_id"])


def _happen(stage: Stage, number: int, what: Situation, *, writes: bool) -> None:
    """Do what had happened; the recorded write itself only where something was read after it."""
    row = dict(what.row)
    if number != 999999:
        stage.add(number, row.pop("collector_config_name", "app-runtime"), **row)
    stage.platform.change_setup({key: value for key, value in what.setup.items() if key == "collect_itsm"})
    for body in what.before:
        stage.write(number, body)
    stage.platform.change_setup(what.setup)
    if what.reads_first:
        stage.read_list()
    if writes:
        # Rights are taken away before a write, everything else of ``then`` came after it.
        stage.platform.change_setup(what.then if what.then == DENIED else {})
        return
    if what.write is not None:
        stage.write(number, what.write)
    stage.platform.change_setup(what.then or {})
    stage.now += what.seconds
