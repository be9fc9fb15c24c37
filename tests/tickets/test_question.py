# SPDX-License-Identifier: Apache-2.0
"""What is asked has one digest: equal for the same question only, in every process and on every Airflow (P3)."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from collections import OrderedDict, UserDict, UserList, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from functools import reduce
from itertools import combinations
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, overload
from uuid import UUID
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from airflow_provider_bkitsm.itsm.errors import ItsmInvalidRequestError
from airflow_provider_bkitsm.tickets.question import Question, encode

ASKED = Question(
    title="Drop a table",
    fields={"APPROVER": "alice", "APPROVAL_CONTENT": "tmp_2"},
    service_id=7,
    creator="bot",
    processors={"3": "alice,bob"},
    policy={"verdict_field": "result", "require_evidence": True},
)
NOON = datetime(2026, 11, 29, 12, 0, 0, 5, tzinfo=UTC)
SHANGHAI = timezone(timedelta(hours=8))


class Level(str, Enum):  # noqa: UP042 - shows itself otherwise than a StrEnum does
    """As DAG authors name a choice."""

    HIGH = "high"


class Number(IntEnum):
    """A choice by number."""

    ONE = 1


class Colour(Enum):
    """A choice that is neither text nor number."""

    ONE = 1
    TEXT = "1"


class Size(Enum):
    """Another one with the same value."""

    ONE = 1


class Loud(str):
    """A text that shows itself otherwise than it is sent."""

    def __str__(self) -> str:
        return "LOUD"


class Lazy(Sequence[Any]):
    """As Airflow gives a mapped task's results: read one by one, and not shown in its text."""

    def __init__(self, *values: Any) -> None:
        self._values = values

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._values[index]

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return "Lazy(<unevaluated length>)"


def digest(value: Any) -> str:
    return replace(ASKED, fields={"value": value}).digest


def same(one: Any, other: Any) -> bool:
    return digest(one) == digest(other)


# --- the table: what is different, although it looks alike

CAFE = "caf\u00e9"
DIFFERENT: tuple[tuple[Any, ...], ...] = (
    (1, 1.0, "1", True, Decimal("1"), Decimal("1.0"), b"1", Colour.ONE, Colour.TEXT, Size.ONE, [1], {1}, {"1": 1}),
    (0, 0.0, -0.0, "0", False, None, "", "None", "null", "false", [], {}, (None,), set()),
    (CAFE, unicodedata.normalize("NFD", CAFE), "cafe", "CAF\u00c9", f"{CAFE} ", f"{CAFE}\u200b", f" {CAFE}"),
    ("\u5220\u9664", "\\u5220\\u9664", "\U0001f600", "\ud83d", "\\ud83d", "\0", "\\0"),
    (float("nan"), float("inf"), float("-inf"), "nan", "inf", Decimal("NaN"), Decimal("Infinity")),
    (0.1, 0.1 + 2**-56, Decimal("0.1"), "0.1", Decimal("0.10")),
    (2**63, 2**63 - 1, 2.0**63, -(2**63), hex(2**63), ["int", hex(2**63)], str(2**63)),
    (["a", "b"], ["b", "a"], ["a,b"], "a,b", "['a', 'b']", '["a","b"]', {"a", "b"}, {"a": "b"}, [["a", "b"]]),
    ([["a"], "b"], ["a", ["b"]], [["a", "b"]], [[["a"]], "b"], [[], "a", "b"]),
    ({"a": {"b": 1}}, {"a.b": 1}, {"a": {"b": "1"}}, {"a": [["b", 1]]}, [["a", {"b": 1}]], {"b": {"a": 1}}),
    ({1: "x"}, {"1": "x"}, {1.5: "x"}, {None: "x"}, {"None": "x"}, {(1,): "x"}, {"(1,)": "x"}),
    ({"a": 1, "b": 2}, {"a": 2, "b": 1}, {"a": 1}, {"a": 1, "b": 2, "c": None}, {"a": None, "b": 2}),
    ({"A": 1}, {"a": 1}, {"a ": 1}, {"\u0430": 1}, {CAFE: 1}, {unicodedata.normalize("NFD", CAFE): 1}),
    # What looks like the tags of another value.
    (1.0, ["float", "1.0"], ["list", "float", "1.0"], '["float","1.0"]', {"float": "1.0"}),
    ({"a": 1}, ["mapping", ["a", 1]], ["mapping", ["list", "a", 1]], {"mapping": ["a", 1]}),
    ({"a"}, ["set", "a"], frozenset({"set", "a"})),
    (b"a", "a", "YQ==", ["bytes", "YQ=="], b"YQ==", b""),
    (
        *(NOON, NOON.isoformat(), NOON.replace(tzinfo=None), NOON.astimezone(SHANGHAI), NOON.timestamp()),
        *(NOON.replace(microsecond=6), NOON.date(), NOON.timetz(), NOON.time(), ["datetime", NOON.isoformat()]),
    ),
    (date(2026, 1, 2), datetime(2026, 1, 2), "2026-01-02", time(0)),
    (
        *(timedelta(days=200_000, microseconds=1), timedelta(days=200_000, microseconds=2)),
        *(timedelta(seconds=1), 1.0, 1, "0:00:01", timedelta(days=-1), timedelta(0)),
    ),
    (UUID(int=1), str(UUID(int=1)), PurePosixPath("/a"), "/a", PurePosixPath("a")),
)


@pytest.mark.parametrize("row", DIFFERENT)
def test_p3_values_that_only_look_alike_have_different_digests(row: tuple[Any, ...]) -> None:
    found = [(one, other) for one, other in combinations(row, 2) if same(one, other)]
    assert found == []


@pytest.mark.parametrize("row", DIFFERENT)
def test_p3_and_so_they_have_inside_of_any_container(row: tuple[Any, ...]) -> None:
    for wrap in (lambda one: [one], lambda one: {"deep": {"er": [0, one]}}, lambda one: (one, "last")):
        assert len({digest(wrap(one)) for one in row}) == len(row)


def test_numbers_that_python_does_not_write_as_decimals_are_whole() -> None:
    long = 10**5000
    assert len({digest(one) for one in (long, long + 1, -long, hex(long))}) == 4


# --- the table: what is alike on purpose

ALIKE: tuple[tuple[Any, ...], ...] = (
    (["a", 1], ("a", 1), Lazy("a", 1), UserList(["a", 1]), deque(["a", 1])),
    ([[1], [2, 3]], ((1,), (2, 3)), [Lazy(1), (2, 3)], Lazy([1], Lazy(2, 3))),
    ({1, "1", None}, frozenset([None, "1", 1]), dict.fromkeys((None, 1, "1")).keys()),
    (
        *({"a": 1, "b": 2}, {"b": 2, "a": 1}, OrderedDict(b=2, a=1), UserDict(a=1, b=2)),
        MappingProxyType({"b": 2, "a": 1}),
    ),
    ({1: "x", "1": "y", None: "z", 1.5: 0}, {None: "z", 1.5: 0, "1": "y", 1: "x"}),
    ("high", Level.HIGH, Markup("high")),
    (Loud("quiet"), "quiet"),
    (1, Number.ONE),
    (float("nan"), float("nan"), -float("nan")),
    (b"\xff\0", bytearray(b"\xff\0"), memoryview(b"\xff\0")),
    (NOON, pendulum.instance(NOON), datetime(2026, 11, 29, 12, 0, 0, 5, tzinfo=ZoneInfo("UTC"))),
    (datetime(2026, 11, 29, tzinfo=SHANGHAI), pendulum.datetime(2026, 11, 29, tz="Asia/Shanghai")),
    (date(2026, 11, 29), pendulum.date(2026, 11, 29)),
    (time(1, 2, 3, 4), pendulum.time(1, 2, 3, 4)),
    (timedelta(days=3, microseconds=1), pendulum.duration(days=3, microseconds=1)),
)


@pytest.mark.parametrize("row", ALIKE)
def test_values_that_are_one_question_have_one_digest(row: tuple[Any, ...]) -> None:
    assert len({digest(one) for one in row}) == 1
    assert len({digest({"deep": [one]}) for one in row}) == 1


# --- what cannot be compared


def _nested(depth: int, wrap: Any) -> Any:
    return reduce(lambda inner, _: wrap(inner), range(depth), 1)


WRAPS = (lambda one: [one], lambda one: (one,), lambda one: {"a": one}, Lazy)


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("depth", [150, 5_000])
def test_what_nests_too_deeply_is_refused_and_not_a_recursion_error(wrap: Any, depth: int) -> None:
    with pytest.raises(ItsmInvalidRequestError, match=r"levels deep.*Nothing was sent to ITSM.*refused again"):
        digest(_nested(depth, wrap))


@pytest.mark.parametrize("wrap", WRAPS)
def test_what_any_form_holds_is_no_problem(wrap: Any) -> None:
    assert not same(_nested(50, wrap), _nested(51, wrap))


def test_what_holds_itself_is_refused() -> None:
    listed: list[Any] = [1]
    listed += [listed, listed]
    mapped: dict[str, Any] = {}
    mapped["own"] = mapped
    for one in (listed, mapped):
        with pytest.raises(ItsmInvalidRequestError, match="levels deep"):
            digest(one)


def test_what_unfolds_without_end_is_refused_in_bounded_time() -> None:
    """Few objects that hold each other many times: 2**60 values."""
    with pytest.raises(ItsmInvalidRequestError, match="more than 1000000 values"):
        digest(_nested(60, lambda one: [one, one]))


def test_a_long_form_is_read_whole() -> None:
    """No value is shown shortened, as texts of arrays and tables are."""
    many = [f"table {number}" for number in range(20_000)]
    assert not same(many, [*many[:10_000], "ORDERS", *many[10_001:]])
    text = "x" * 5_000_000
    assert not same(text, f"{text[:-1]}y")


class Plain:
    """An object whose text is its address."""


class Row:
    """An object whose text leaves out what counts."""

    def __repr__(self) -> str:
        return "Row(...)"


def _generated() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    "value", [Plain(), Row(), object(), _generated(), iter([1]), print, lambda: 1, Plain, 1j, Ellipsis, range]
)
def test_p3_what_has_no_text_that_says_all_of_it_is_refused_by_its_type(value: Any) -> None:
    """Its digest would be another one in every try, or the same for other contents."""
    for one in (value, [{"a": value}], {"a": (value,)}):
        with pytest.raises(ItsmInvalidRequestError, match=r"cannot be compared.*give texts") as caught:
            digest(one)
        assert type(value).__qualname__ in str(caught.value)
        assert "0x" not in str(caught.value)


def test_models_are_refused_rather_than_shortened() -> None:
    from airflow.sdk import Param
    from pydantic import BaseModel

    class Model(BaseModel):
        name: str = "a"

    for one in (Model(), Param("a", type="string")):
        with pytest.raises(ItsmInvalidRequestError, match="cannot be compared"):
            digest(one)
    assert same(Model().model_dump(), {"name": "a"})


def test_what_airflow_makes_of_params_is_their_values() -> None:
    from airflow.sdk.definitions.param import Param, ParamsDict

    params = ParamsDict({"table": Param("ORDERS", type="string"), "count": Param(1)})
    assert same(params, {"table": "ORDERS", "count": 1})
    assert not same(params, ParamsDict({"table": Param("tmp_2", type="string"), "count": Param(1)}))


# --- templates


@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("{{ value }}", [1, 1.0, "x", True, None, ["a", 1], ("a", 1), {"a": {"b": [1]}}, b"x", NOON, {1, 2}]),
        ("{{ value }}", ["2026", "true", "None", "01"]),
        ("{{ value | tojson }}", [{"b": 1, "a": [1, 2]}, "a"]),
        ("drop {{ value }}", ["ORDERS", 5, 1.50]),
        ("{{ value[0] }}{{ value[1] }}", [("a", "b"), ("ab", "")]),
    ],
)
@pytest.mark.parametrize("native", [True, False])
def test_what_templates_render_has_one_digest_each_time_it_is_rendered(
    template: str, values: list[Any], native: bool
) -> None:
    from airflow.sdk import DAG

    environment = DAG("d", schedule=None, render_template_as_native_obj=native).get_template_env()
    for value in values:
        rendered = [environment.from_string(template).render(value=value) for _ in range(2)]
        assert same(*rendered)
        if native and template == "{{ value }}" and not isinstance(value, str):
            assert same(rendered[0], value)


def test_an_xcom_has_the_digest_of_what_was_pushed() -> None:
    """A retry reads from the database what the first try had in its hands."""
    try:
        from airflow.sdk.serde import deserialize, serialize
    except ImportError:  # before Airflow 3.2
        from airflow.serialization.serde import deserialize, serialize  # type: ignore[no-redef]

    pushed = {
        "list": ["a", ("b",)],
        "when": NOON,
        "set": {1, 2},
        "at": pendulum.instance(NOON),
        "n": Decimal("1.5"),
    }
    assert same(deserialize(serialize(pushed)), pushed)


# --- every part of a question


@pytest.mark.parametrize(
    "changed",
    [
        {"title": "Drop a table "},
        {"title": ""},
        {"fields": {"APPROVER": "alice"}},
        {"fields": {"APPROVER": "mallory", "APPROVAL_CONTENT": "tmp_2"}},
        {"fields": {"APPROVER": "alice", "APPROVAL_CONTENT": "ORDERS"}},
        {"fields": {"APPROVER": ["alice"], "APPROVAL_CONTENT": "tmp_2"}},
        {"fields": {}},
        {"service_id": 8},
        {"service_id": None},
        {"service_id": "drop tables"},
        {"fast_approval": True},
        {"processors": {"3": "alice"}},
        {"processors": {"4": "alice,bob"}},
        {"processors": {}},
        {"policy": {"verdict_field": "other", "require_evidence": True}},
        {"policy": {"verdict_field": "result", "require_evidence": False}},
        {"policy": {"verdict_field": "result"}},
        {"policy": {}},
    ],
    ids=str,
)
def test_p3_each_part_of_what_is_asked_is_in_both_digests(changed: dict[str, Any]) -> None:
    other = replace(ASKED, **changed)
    assert other.digest != ASKED.digest
    assert other.asked_digest != ASKED.asked_digest


def test_who_asks_is_in_the_digest_alone() -> None:
    """Another creator asks no other question: a ticket that is open goes on, and nobody is asked again."""
    other = replace(ASKED, creator="mallory")
    assert other.digest != ASKED.digest
    assert other.asked_digest == ASKED.asked_digest


def test_parts_cannot_take_each_others_place() -> None:
    empty = Question(title="", fields={})
    moved = [
        replace(empty, title="x"),
        replace(empty, creator="x"),
        replace(empty, service_id="x"),
        replace(empty, fields={"title": "x"}),
        replace(empty, fields={"creator": "x"}),
        replace(empty, processors={"title": "x"}),
        replace(empty, policy={"title": "x"}),
    ]
    assert len({one.digest for one in (empty, *moved)}) == len(moved) + 1


def test_a_service_is_the_same_by_number_and_by_its_text() -> None:
    assert replace(ASKED, service_id="7").digest == ASKED.digest


def test_a_policy_that_is_not_set_is_none_at_all() -> None:
    """What a later version may set has no effect on the digests of those that leave it out."""
    assert replace(ASKED, policy={**ASKED.policy, "not_set": None}).digest == ASKED.digest


def test_the_order_of_a_form_does_not_count() -> None:
    assert replace(ASKED, fields=dict(reversed(ASKED.fields.items()))).digest == ASKED.digest


def test_a_digest_says_how_it_was_made_and_never_changes() -> None:
    """Records of before an upgrade hold it: another spelling would ask everybody anew."""
    assert ASKED.digest == "sha256:ad5b360ff0d56f017d1232393c5fb2b756fbd1a374a827156ee1fd05b6f30f7e"
    assert ASKED.asked_digest == "sha256:d24e7da526cd9f609d9918265468b1eb330a86e8cfcd2c16001960e909159933"


def test_every_process_makes_the_same_digest() -> None:
    """Worker, triggerer and API server: the order of sets differs between processes."""
    value = {"a": {f"text {number}" for number in range(20)}, 1: {None, 1, "1", b"1", (1, 2)}}
    code = (
        "from tests.tickets.test_question import digest\n"
        "value = {1: {(1, 2), b'1', '1', 1, None}, 'a': {f'text {number}' for number in range(20)}}\n"
        "print(digest(value))"
    )
    for seed in ("0", "1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        )
        assert done.stdout.split()[-1] == digest(value)


# --- any values at all

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]))
    | st.binary()
    | st.decimals()
    | st.datetimes(timezones=st.none() | st.just(UTC) | st.just(SHANGHAI))
    | st.dates()
    | st.times()
    | st.timedeltas()
)
KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.tuples(st.integers(), st.text())
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(KEYS, max_size=4)
    ),
    max_leaves=12,
)


def plain(value: Any) -> Any:
    """Say what a value is in another way: its type and characters, by Python's own equality of texts."""
    if isinstance(value, dict):
        return frozenset((plain(key), plain(one)) for key, one in value.items())
    if isinstance(value, list | tuple):
        return ("list", *map(plain, value))
    if isinstance(value, set):
        return ("set", frozenset(map(plain, value)))
    if isinstance(value, float | Decimal):
        return (type(value), str(value))
    return (type(value), repr(value))


@given(VALUES, VALUES)
def test_p3_two_values_have_one_digest_if_and_only_if_they_are_the_same(one: Any, other: Any) -> None:
    assert same(one, other) == (plain(one) == plain(other))


@given(st.data())
def test_p3_one_changed_value_changes_the_digest(data: st.DataObject) -> None:
    """Two values near each other: the same container, one value replaced."""
    listed = data.draw(st.lists(VALUES, min_size=1, max_size=4))
    place = data.draw(st.integers(0, len(listed) - 1))
    other = [*listed]
    other[place] = data.draw(SCALARS)
    assert same(listed, other) == (plain(listed) == plain(other))
    keyed, keyed_other = dict(enumerate(listed)), dict(enumerate(other))
    assert same(keyed, keyed_other) == (plain(listed) == plain(other))


@given(VALUES)
def test_what_is_encoded_is_json_that_reads_back(value: Any) -> None:
    import json

    encoded = encode(value)
    assert json.loads(json.dumps(encoded, allow_nan=False)) == encoded
