# SPDX-License-Identifier: Apache-2.0
"""Clean configurations: which ones the log platform's endpoint takes, and how it normalizes them. Pure.

The platform converts where it can (numbers as text, flags as text) and says nothing about much that harms later:
a retention of 0, a dotted table name, a time zone that is no number.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_bkitsm.sandbox.bklog.serializing import (
    Invalid,
    anything,
    choice,
    flag,
    invalid,
    listed,
    mapping,
    nullable,
    optional,
    required,
    structure,
    text,
    whole,
)
from airflow_provider_bkitsm.sandbox.refusals import Refusal

_RESERVED_WORDS = """
__dist_01 __dist_03 __dist_05 __dist_07 __dist_09 __ext __ext_json __parse_failure __shard_key__
__unique_key__ add all alter and any as asc badescape badregex badstring begin bk_biz_id bk_cloud_id
bk_cmdb_level_id bk_cmdb_level_name bk_host_id bk_supplier_id boundparam by cloud_id cloudid colon comma
company_id continuous create d database databases datetime default delete desc destinations diagnostics
distinct div dot doublecolon drop dteventtimestamp dteventtimestampnanos duration durationval e end eof
eq eqregex every exists explain false field filename for from group groups gseindex gt gte i ident if
illegal in inf insert integer into ip items iterationindex key keys kill limit log lparen lt lte
measurement measurements mul name neq neqregex not number offset on or order password path plat_id
policies policy privileges queries query read regex replication repo resample retention revoke rparen
select semicolon series server serverip set shard shards show signature slimit soffset stats string sub
subscription subscriptions tag tagkey time timestamp to true utctime values view where
wineventactivityid wineventapi wineventchannel wineventcomputername wineventdata wineventid
wineventkeywords wineventlevel wineventopcode wineventprocesspid wineventprocessthreadid
wineventproviderguid wineventrecordid wineventrelatedactivityid wineventtask wineventtimecreated
wineventuserdata wineventuserdomain wineventuseridentifier wineventusername wineventusertype
wineventversion with write ws
"""
RESERVED = frozenset(_RESERVED_WORDS.split())
"""Names that no field may have, whatever their case: of the query language, the platform and its data."""

RESERVED_BY_V4 = frozenset({"json_data", "iter_item", "iter_string", "bk_separator_object"})
"""Further names that no field may have on the platform's newer data link."""

EPOCHS = frozenset({"epoch_millis", "epoch_second", "epoch_minute", "epoch_micros"})
"""Formats of a time that is a number."""

NANO_FORMATS = frozenset(
    {
        "yyyy-MM-dd HH:mm:ss.SSSSSS",
        "basic_date_time_micros",
        "YYYY-MM-DDTHH:mm:ss.SSSSSSZ",
        "strict_date_time_micros",
        "epoch_micros",
    }
)
"""Formats finer than a millisecond: such a time is kept in a second field."""

_GROK_PATTERNS_WORDS = """
USERNAME USER EMAILLOCALPART EMAILADDRESS HTTPDUSER INT BASE10NUM NUMBER BASE16NUM BASE16FLOAT POSINT
NONNEGINT WORD NOTSPACE SPACE DATA GREEDYDATA QUOTEDSTRING QS UUID URN MAC CISCOMAC WINDOWSMAC COMMONMAC
IPV6 IPV4 IP HOSTNAME HOST IPORHOST HOSTPORT PATH UNIXPATH TTY WINPATH URIPROTO URIHOST URIPATH URIPARAM
URIPATHPARAM URI MONTH MONTHNUM MONTHNUM2 MONTHDAY DAY YEAR HOUR MINUTE SECOND TIME DATE_US DATE_EU
ISO8601_TIMEZONE ISO8601_SECOND TIMESTAMP_ISO8601 DATE DATESTAMP TZ DATESTAMP_RFC822 DATESTAMP_RFC2822
DATESTAMP_OTHER DATESTAMP_EVENTLOG SYSLOGTIMESTAMP PROG SYSLOGPROG SYSLOGHOST SYSLOGFACILITY HTTPDATE
LOGLEVEL SYSLOGBASE COMMONAPACHELOG COMBINEDAPACHELOG HTTPD_COMMONLOG HTTPD_COMBINEDLOG
"""
GROK_PATTERNS = frozenset(_GROK_PATTERNS_WORDS.split())
"""Patterns a grok expression may name."""


FIELD_RULE, BODY_RULE = "3600400", "3600001"
TEXT, JSON, DELIMITER, REGEXP = "bk_log_text", "bk_log_json", "bk_log_delimiter", "bk_log_regexp"
KINDS_WITH_FIELDS = frozenset({JSON, DELIMITER, REGEXP})
_NUMBERS = frozenset({"int", "long"})
_TIME_KEYS = frozenset({"time_zone", "time_format"})
_PLATFORM_KEYS = ("platform_index_visibility", "platform_index_filter")
# A visibility needs a further key, by its type.
_VISIBLE_TO = {"multi_biz": "bk_biz_ids", "biz_attr": "bk_biz_labels"}

Body = dict[str, Any]


def normalized(body: Any) -> Body:
    """Return a clean configuration as the platform normalizes it.

    :raises Refusal: with the platform's code.
    """
    try:
        found: Body = _BODY(body)
    except Invalid as problem:
        places = "\n".join(f"  {place} {message}" for place, message in problem.places.items())
        raise Refusal(FIELD_RULE, f"参数校验失败:\n{places}") from None
    return found


def _body_rules(body: Body) -> Body:
    if body["need_assessment"] and not body.get("assessment_config"):
        raise Refusal(BODY_RULE, "评估配置不能为空")
    if body["is_platform_index"] and not all(body[key] for key in _PLATFORM_KEYS):
        raise Refusal(BODY_RULE, "平台级索引需要可见范围和过滤条件")
    params = body.get("etl_params", {})
    expands = params.get("ext_json_config") is not None
    if expands and not (body["etl_config"] == JSON and params["retain_extra_json"]):
        raise Refusal(BODY_RULE, "仅JSON清洗且保留未定义字段时可配置动态解析")
    return body | {"fields": _fields_of(body) if body["etl_config"] in KINDS_WITH_FIELDS else []}


def _fields_of(body: Body) -> list[Body]:
    if not body.get("fields"):
        raise Refusal(BODY_RULE, "[字段提取]请输入需要提取的字段信息")
    fields = [one for one in body["fields"] if not one["is_built_in"]]
    if body["etl_config"] == DELIMITER and any("_index_given" not in one for one in fields):
        raise Refusal(BODY_RULE, "分隔符必须指定field_index")
    if sum(one["is_time"] for one in fields) > 1:
        raise Refusal(BODY_RULE, "仅可以设置一个时间字段")
    if all(one["is_delete"] for one in fields):
        raise Refusal(BODY_RULE, "清洗需要配置有效字段")
    return [{key: value for key, value in one.items() if key != "_index_given"} for one in fields]


def _field_rules(field: Body) -> Body:
    if field["is_delete"]:
        return field
    if not field["field_name"] or not field["field_type"]:
        raise Refusal(BODY_RULE, "参数不能为空：field_name/field_type")
    return field if field["is_built_in"] else _live_field_rules(field)


def _live_field_rules(field: Body) -> Body:
    stored_as = field["alias_name"] or field["field_name"]
    if stored_as.lower() in RESERVED:
        raise Refusal(BODY_RULE, f"字段名与保留字段冲突，请更换字段名：{stored_as}")
    if field["is_time"]:
        _time_rules(field)
    if field["is_analyzed"] and field["field_type"] != "string":
        raise Refusal(BODY_RULE, "只有字符串类型的字段才可以设置为分词")
    return field | {"is_dimension": not field["is_analyzed"]}


def _time_rules(field: Body) -> None:
    option = field.get("option") or {}
    if not option.keys() >= _TIME_KEYS:
        raise Refusal(BODY_RULE, "时间字段需配置时区、格式")
    is_epoch = isinstance(option["time_format"], str) and option["time_format"] in EPOCHS
    if is_epoch != (field["field_type"] in _NUMBERS):
        raise Refusal(BODY_RULE, "时间字段类型与格式不匹配")


def _visibility_rules(visibility: Body) -> Body:
    needed = _VISIBLE_TO[visibility["type"]]
    if not visibility[needed]:
        raise invalid(f"{visibility['type']} 需要 {needed}")
    return visibility


_OPTIONAL_TEXT = nullable(text(blank=True))
_UNTRIMMED = nullable(text(blank=True, trim=False))

_PARAMS = structure(
    {
        "separator_regexp": optional(_OPTIONAL_TEXT, None),
        "is_grok": optional(flag),
        "separator": optional(_UNTRIMMED, None),
        "retain_original_text": optional(flag, True),
        "original_text_is_case_sensitive": optional(flag, False),
        "original_text_tokenize_on_chars": optional(_UNTRIMMED, ""),
        "retain_extra_json": optional(flag, False),
        "ext_json_config": optional(structure({"expand_depth": optional(nullable(choice(1, 2, 3)), 2)})),
        "enable_retain_content": optional(flag, True),
        "record_parse_failure": optional(flag, True),
        "path_regexp": optional(_OPTIONAL_TEXT, None),
        "metadata_fields": optional(
            listed(
                structure(
                    {
                        "field_name": required(text()),
                        "value": required(_OPTIONAL_TEXT),
                        "metadata_type": required(choice("path")),
                    }
                )
            )
        ),
    }
)
_FIELD_KEYS = structure(
    {
        "tokenize_on_chars": optional(_UNTRIMMED, ""),
        "field_index": optional(nullable(whole()), None),
        "field_name": optional(_OPTIONAL_TEXT, None),
        "alias_name": optional(_OPTIONAL_TEXT, None),
        "field_type": optional(_OPTIONAL_TEXT, None),
        "description": optional(_OPTIONAL_TEXT, ""),
        "is_analyzed": optional(flag, False),
        "is_dimension": optional(flag, True),
        "is_time": optional(flag, False),
        "is_delete": required(flag),
        "is_built_in": optional(flag, False),
        "option": optional(mapping),
        "is_case_sensitive": optional(flag, False),
        "value": optional(anything, None),
    },
    _field_rules,
)


def _field(value: Any) -> Body:
    """Read a field, and keep in mind whether its index was given: null is, nothing is not."""
    field: Body = _FIELD_KEYS(value)
    return field | ({"_index_given": True} if "field_index" in value else {})


_BODY = structure(
    {
        "etl_params": optional(_PARAMS),
        "fields": optional(listed(_field)),
        "is_platform_index": optional(nullable(flag), None),
        "platform_index_visibility": optional(
            nullable(
                structure(
                    {
                        "type": required(choice(*_VISIBLE_TO)),
                        "bk_biz_ids": optional(nullable(listed(whole())), None),
                        "bk_biz_labels": optional(nullable(anything), None),
                    },
                    _visibility_rules,
                )
            ),
            None,
        ),
        "platform_index_filter": optional(
            nullable(
                structure(
                    {"field": required(text()), "value_ref": required(choice("space_id", "bk_biz_id"))},
                )
            ),
            None,
        ),
        "table_id": required(text()),
        "etl_config": required(text()),
        "storage_cluster_id": required(whole()),
        "retention": required(whole()),
        "allocation_min_days": required(whole()),
        "storage_replies": optional(whole(least=0), 1),
        "es_shards": optional(whole(least=1), 3),
        "view_roles": optional(listed(), []),
        "need_assessment": optional(flag, False),
        "assessment_config": optional(
            structure(
                {
                    "log_assessment": required(text()),
                    "need_approval": optional(flag, False),
                    "approvals": required(listed(text())),
                }
            )
        ),
        "alias_settings": optional(
            listed(structure(dict.fromkeys(("field_name", "query_alias", "path_type"), required(text())))), []
        ),
        "total_shards_per_node": optional(nullable(whole()), None),
    },
    _body_rules,
)
