# SPDX-License-Identifier: Apache-2.0
"""The log platform's rules for one value of an ETL payload: its type, its range, whether it may be missing.

The rules are a pydantic model, which is used in two ways. The strict pass names every fault by its place. The
lenient pass keeps what is faulty and spells everything else as the platform reads it, so that ``clean_config`` can
compare keys although one of them is wrong: the author gets all faults at once. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from airflow_provider_bkitsm.itsm.form import excerpt

_WORDS = """
    __dist_01 __dist_03 __dist_05 __dist_07 __dist_09 __ext __ext_json __parse_failure __shard_key__
    __unique_key__ add all alter and any as asc badescape badregex badstring begin bk_biz_id bk_cloud_id
    bk_cmdb_level_id bk_cmdb_level_name bk_host_id bk_supplier_id boundparam by cloud_id cloudid colon comma
    company_id continuous create d database databases datetime default delete desc destinations diagnostics
    distinct div dot doublecolon drop dteventtimestamp dteventtimestampnanos duration durationval e end eof eq
    eqregex every exists explain false field filename for from group groups gseindex gt gte i ident if illegal
    in inf insert integer into ip items iterationindex key keys kill limit log lparen lt lte measurement
    measurements mul name neq neqregex not number offset on or order password path plat_id policies policy
    privileges queries query read regex replication repo resample retention revoke rparen select semicolon
    series server serverip set shard shards show signature slimit soffset stats string sub subscription
    subscriptions tag tagkey time timestamp to true utctime values view where wineventactivityid wineventapi
    wineventchannel wineventcomputername wineventdata wineventid wineventkeywords wineventlevel wineventopcode
    wineventprocesspid wineventprocessthreadid wineventproviderguid wineventrecordid wineventrelatedactivityid
    wineventtask wineventtimecreated wineventuserdata wineventuserdomain wineventuseridentifier wineventusername
    wineventusertype wineventversion with write ws
"""
RESERVED_NAMES = frozenset(_WORDS.split())
"""In lower case; the platform compares without regard to case."""


def is_reserved(name: str) -> bool:
    """Whether the log platform refuses a field of this name."""
    return name.lower() in RESERVED_NAMES


EtlKind = Literal["bk_log_text", "bk_log_json", "bk_log_delimiter", "bk_log_regexp"]
ETL_KINDS: tuple[str, ...] = get_args(EtlKind)
TEXT, JSON, DELIMITER, REGEXP = ETL_KINDS

_LONGEST_VALUE = 120
_LENIENT = {"lenient": True}


def quoted(value: Any) -> str:
    """Return a value as a message quotes it, shortened."""
    return excerpt(value, _LONGEST_VALUE)


def _as_given(value: Any) -> Any:
    return value


def _cleaned(clean: Callable[[Any], Any] = _as_given) -> WrapValidator:
    """Spell a value as the platform reads it, then check it; in the lenient pass, keep what does not fit."""

    def read(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        value = clean(value)
        try:
            return check(value)
        except ValidationError:
            if info.context is None:
                raise
            return value

    return WrapValidator(read)


def _flag(value: Any) -> Any:
    """Return a boolean for 0 and 1."""
    return bool(value) if type(value) is int and value in (0, 1) else value


def _text(value: Any) -> Any:
    """Return a number's text."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _trimmed(value: Any) -> Any:
    value = _text(value)
    return value.strip() if isinstance(value, str) else value


def _depth(value: Any) -> Any:
    """Return the number whose text it is, as the platform does."""
    return int(value) if isinstance(value, str) and value in ("1", "2", "3") else value


def _check_depth(depth: int) -> int:
    if depth not in (1, 2, 3):
        raise PydanticCustomError("depth", "one of 1, 2, 3")
    return depth


def _table_name(value: Any) -> Any:
    """Return the name as metadata stores it (docs/log-platform-behaviour.md#names-of-tables)."""
    return value.strip().lower() if isinstance(value, str) else value


def _check_bare(name: str) -> str:
    if "." in name:
        why = "with a dot in it, the platform's list of the whole business fails from then on"
        context = {"name": repr(name.rpartition(".")[2]), "why": f": {why}"}
        raise PydanticCustomError("bare_name", "the bare name {name}", context)
    return name


# PostgreSQL and the platform's own database store no NUL.
_Storable = Annotated[StrictStr, Field(pattern=r"^[^\x00]*$")]
_Filled = Annotated[_Storable, Field(min_length=1)]
Flag = Annotated[StrictBool, _cleaned(_flag)]
"""True or false. The platform also reads many a word, which is refused as a slip."""
Whole = Annotated[StrictInt, _cleaned()]
"""A whole number. The platform also takes its text, and a float without a fraction: slips, both of them."""
FromZero = Annotated[StrictInt, Field(ge=0), _cleaned()]
FromOne = Annotated[StrictInt, Field(ge=1), _cleaned()]
Text = Annotated[_Storable, _cleaned(_trimmed)]
"""The platform makes a text of a number, and cuts blanks off both ends."""
Untrimmed = Annotated[_Storable, _cleaned(_text)]
NotEmpty = Annotated[_Filled, _cleaned(_trimmed)]
Object = Annotated[dict[str, Any], _cleaned()]
_Items = Annotated[list[Any], _cleaned()]
# The default of a key that may be missing; a key that is not given is never in the result.
_ABSENT: Any = None


class _Part(BaseModel):
    """An object of the payload. Keys it does not name are let through: a newer platform may read them."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any, info: ValidationInfo) -> Any:
        """Let the lenient pass go on although required keys are missing."""
        if info.context is None or not isinstance(value, Mapping):
            return value
        return {key: None for key, field in cls.model_fields.items() if field.is_required()} | dict(value)


class MetadataField(_Part):
    """A column made of the file's path."""

    field_name: NotEmpty
    value: Text | None
    metadata_type: Annotated[Literal["path"], _cleaned()]


class ExtJsonConfig(_Part):
    """How deep the keys no field takes are expanded."""

    expand_depth: Annotated[StrictInt, AfterValidator(_check_depth), _cleaned(_depth)] | None = _ABSENT


class EtlParams(_Part):
    """How a line is cleaned."""

    separator_regexp: Text | None = _ABSENT
    is_grok: Flag = _ABSENT
    separator: Untrimmed | None = _ABSENT
    retain_original_text: Flag = _ABSENT
    original_text_is_case_sensitive: Flag = _ABSENT
    original_text_tokenize_on_chars: Untrimmed | None = _ABSENT
    retain_extra_json: Flag = _ABSENT
    ext_json_config: Annotated[ExtJsonConfig, _cleaned()] = _ABSENT
    enable_retain_content: Flag = _ABSENT
    record_parse_failure: Flag = _ABSENT
    path_regexp: Text | None = _ABSENT
    metadata_fields: Annotated[list[Annotated[MetadataField, _cleaned()]], _cleaned()] = _ABSENT


class EtlField(_Part):
    """One column of the table."""

    is_delete: Flag
    field_name: Text | None = _ABSENT
    field_type: Text | None = _ABSENT
    field_index: Whole | None = _ABSENT
    alias_name: Text | None = _ABSENT
    description: Text | None = _ABSENT
    is_analyzed: Flag = _ABSENT
    is_dimension: Flag = _ABSENT
    is_time: Flag = _ABSENT
    is_built_in: Flag = _ABSENT
    is_case_sensitive: Flag = _ABSENT
    tokenize_on_chars: Untrimmed | None = _ABSENT
    option: Object = _ABSENT


class Visibility(_Part):
    """Which businesses see a platform index."""

    type: Annotated[Literal["multi_biz", "biz_attr"], _cleaned()]
    bk_biz_ids: Annotated[list[Whole], _cleaned()] | None = _ABSENT
    bk_biz_labels: Object | None = _ABSENT


class IndexFilter(_Part):
    """Which rows of a platform index a business sees."""

    field: NotEmpty
    value_ref: Annotated[Literal["space_id", "bk_biz_id"], _cleaned()]


class Assessment(_Part):
    """The platform's own approval."""

    log_assessment: NotEmpty
    need_approval: Flag = _ABSENT
    approvals: Annotated[list[NotEmpty], _cleaned()]


class AliasSetting(_Part):
    """A second name under which a field is searched."""

    field_name: NotEmpty
    query_alias: NotEmpty
    path_type: NotEmpty


class CleanConfig(_Part):
    """The ETL payload, as ``update_or_create_clean_config`` takes it."""

    table_id: Annotated[_Filled, AfterValidator(_check_bare), _cleaned(_table_name)]
    etl_config: Annotated[EtlKind, _cleaned(_trimmed)]
    storage_cluster_id: FromOne
    retention: FromOne
    allocation_min_days: FromZero
    storage_replies: FromZero = _ABSENT
    es_shards: FromOne = _ABSENT
    view_roles: _Items = _ABSENT
    etl_params: Annotated[EtlParams, _cleaned()] = _ABSENT
    fields: Annotated[list[Annotated[EtlField, _cleaned()]], _cleaned()] = _ABSENT
    total_shards_per_node: Whole | None = _ABSENT
    is_platform_index: Flag | None = _ABSENT
    platform_index_visibility: Annotated[Visibility, _cleaned()] | None = _ABSENT
    platform_index_filter: Annotated[IndexFilter, _cleaned()] | None = _ABSENT
    need_assessment: Flag = _ABSENT
    assessment_config: Annotated[Assessment, _cleaned()] = _ABSENT
    alias_settings: Annotated[list[Annotated[AliasSetting, _cleaned()]], _cleaned()] = _ABSENT


_WANTED = {
    "int_type": "an integer",
    "greater_than_equal": "at least {ge}",
    "bool_type": "true or false",
    "string_type": "text",
    "string_too_short": "a text that is not empty",
    "string_pattern_mismatch": "text without a NUL character",
    "literal_error": "one of {expected}",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}


def read_payload(payload: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a payload as the platform reads it, and what is wrong with its single values.

    If anything is wrong, the payload is for further checks only: faulty values are in it as they were given, and
    required keys that are missing are None.
    """
    problems: list[str] = []
    try:
        config = CleanConfig.model_validate(payload)
    except ValidationError as error:
        problems = [_problem(one) for one in error.errors()]
        config = CleanConfig.model_validate(payload, context=_LENIENT)
    return config.model_dump(exclude_unset=True, warnings=False), problems


def _problem(error: ErrorDetails) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in error["loc"])
    place = "".join(steps).removeprefix(".")
    if error["type"] == "missing":
        return f"{place} is missing"
    context = error.get("ctx", {})
    if "expected" in context:  # Of a Literal, as in "'a', 'b' or 'c'".
        context["expected"] = context["expected"].replace("'", "").replace(" or ", ", ")
    template = _WANTED.get(error["type"])
    wanted = error["msg"] if template is None else template.format(**context)
    return f"{place} must be {wanted}, not {quoted(error['input'])}{context.get('why', '')}"


_GROK = re.compile(r"%\{\w+(:[^}]*)?\}")
# Syntax of Go with its spelling in Python.
_GO_ONLY = (
    (re.compile(r"\\[pP](\{\^?\w+\}|\w)"), r"\\w"),
    (re.compile(r"\\z"), r"\\Z"),
    (re.compile(r"\(\?<(?=\w)"), "(?P<"),
)


def grok_pattern(text: str) -> re.Pattern[str]:
    """Compile a regular expression with each grok pattern as any text.

    :raises re.error: it does not compile.
    """
    return go_pattern(_GROK.sub("(?:.*)", text))


def go_pattern(plain: str) -> re.Pattern[str]:
    """Compile a regular expression written for Go, in which the platform's cleaning is.

    :raises re.error: it does not compile.
    """
    try:
        return re.compile(plain)
    except re.error:
        for only_go, python in _GO_ONLY:
            plain = only_go.sub(python, plain)
        return re.compile(plain)
