# SPDX-License-Identifier: Apache-2.0
"""The state of the log platform: its collectors, the tables metadata keeps for it, and how it is set up."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from airflow_provider_bkitsm.sandbox.bklog import result_table
from airflow_provider_bkitsm.sandbox.bklog.clean_config import TEXT, normalized
from airflow_provider_bkitsm.sandbox.bklog.seed import CLUSTERS, COLLECTORS, COLUMNS, Cluster
from airflow_provider_bkitsm.sandbox.database import Database
from airflow_provider_bkitsm.sandbox.times import shanghai

Row = dict[str, Any]
MetadataCall = Literal["get_result_table", "get_result_table_storage", "get_cluster_info", "create_result_table"]

_CACHED_SECONDS = 600
_FIRST_INDEX_SET = 9000
_STORAGE_KEYS = ("storage_cluster_id", "retention", "allocation_min_days")
_ETL_KEYS = ("etl_config", "etl_params", "fields", "table_id")
DEFAULT_SHARDS = {"storage_shards_nums": 3, "storage_shards_size": 30}
_SMALLEST = {"storage_cluster_id": 3, "retention": 7, "allocation_min_days": 0, "etl_config": TEXT}


class Denial(BaseModel):
    """A right that IAM does not give.

    :param username: whom; "" is everybody.
    :param bk_biz_id: of which business; None is every business.
    :param actions: of ``view_business``, ``view_collection``, ``manage_collection``.
    """

    username: str = ""
    bk_biz_id: int | None = None
    actions: tuple[str, ...] = ("view_business", "view_collection", "manage_collection")

    def covers(self, username: str, business: int, action: str) -> bool:
        """Whether it denies this."""
        return self.username in ("", username) and self.bk_biz_id in (None, business) and action in self.actions


class Setup(BaseModel):
    """How the log platform is set up, and how what it depends on behaves.

    :param collect_itsm: the platform's own switch: a body with ``need_assessment`` opens a native ticket.
    :param itsm_down: ITSM does not answer the platform, which counts the switch as off then.
    :param ext_json_businesses: businesses that may expand undefined JSON (``ext_json_expand_depth``).
    :param v4_link: the platform uses its newer data link.
    :param table_change: what metadata does with a change of a table: the platform's answer never tells.
    :param table_change_seconds: how long a ``late`` change takes.
    :param clears_list_cache: a change clears the ten-minute cache behind the list (platforms since June 2026).
    :param keeps_case: metadata keeps the case of a table's name.
    :param metadata_down: metadata's calls that fail.
    :param denials: rights that IAM does not give. Nobody has business 0.
    :param cluster_groups_granted: the application may read the storage clusters, which is no public call.
    """

    model_config = ConfigDict(extra="forbid")

    collect_itsm: bool = False
    itsm_down: bool = False
    ext_json_businesses: tuple[int, ...] = ()
    v4_link: bool = False
    table_change: Literal["now", "late", "refused"] = "now"
    table_change_seconds: float = 3.0
    clears_list_cache: bool = True
    keeps_case: bool = False
    metadata_down: tuple[MetadataCall, ...] = ()
    denials: tuple[Denial, ...] = (Denial(bk_biz_id=0),)
    cluster_groups_granted: bool = False

    @property
    def asks_itsm(self) -> bool:
        """Whether the platform's own switch is on, as the platform sees it."""
        return self.collect_itsm and not self.itsm_down


class LogPlatform:
    """The log platform of one sandbox.

    :param clock: seconds since the epoch.
    """

    def __init__(self, *, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self.clock = clock
        stored = {int(key): row for key, row in database.load("collector").items()}
        self.collectors: dict[int, Row] = {row["collector_config_id"]: dict(row) for row in COLLECTORS} | stored
        self.etl_writes = Counter({int(key): count for key, count in database.load("etl_writes").items()})
        self.tables: dict[str, Row] = database.load("result_table")
        self.stashes: dict[int, Row] = {int(key): body for key, body in database.load("clean_stash").items()}
        self.parked: dict[str, Row] = database.load("native_application")
        self.setup = Setup(**database.load("meta").get("bklog_setup", {}))
        self._due: list[tuple[float, str, Row]] = []
        self._cache: dict[str, tuple[float, Row | None]] = {}

    # --- collectors

    def save(self, row: Row) -> Row:
        """Store a collector and write it through."""
        number = int(row["collector_config_id"])
        self.collectors[number] = row
        self._database.save("collector", number, row)
        return row

    def touched(self, row: Row) -> Row:
        """Return a collector with the time of now as its last change."""
        return row | {"updated_at": f"{shanghai(self.clock())}+0800"}

    def index_set_of(self, row: Row) -> int:
        """Return the number of a collector's index set, which its first clean configuration makes."""
        return int(row["index_set_id"] or row["collector_config_id"] + _FIRST_INDEX_SET)

    def stash(self, number: int, body: Row) -> None:
        """Store the clean configuration posted last."""
        self.stashes[number] = body
        self._database.save("clean_stash", number, body)

    def count_write(self, number: int) -> None:
        """Count a clean configuration that was written."""
        self.etl_writes[number] += 1
        self._database.save("etl_writes", number, self.etl_writes[number])

    def put(self, number: int, row: Row) -> None:
        """Create or replace a collector, as an administrator of the database could.

        Keys of a table (ETL and storage) make one; those that say what the collector shows already keep it.
        """
        shown = self.shown(number) if number in self.collectors else {}
        kept = shown.get("table_id") and all(row.get(key) == shown.get(key) for key in _ETL_KEYS)
        table_id = row.get("table_id")
        columns = {key: value for key, value in row.items() if key in COLUMNS}
        if not table_id:
            self.save(columns)
            return
        cleaned = {"etl_config": TEXT, "index_set_id": self.index_set_of(row), **DEFAULT_SHARDS}
        self.save(columns | {key: value for key, value in cleaned.items() if not columns[key]})
        body = {key: row[key] for key in (*_STORAGE_KEYS, *_ETL_KEYS) if row.get(key) is not None}
        body = _SMALLEST | body | {"table_id": table_id.rpartition(".")[2]}
        if not kept:
            body = normalized(body)
            cluster = CLUSTERS[body["storage_cluster_id"]]
            self.tables[table_id] = result_table.built(body, cluster, v4_link=self.setup.v4_link)
            self.stash(number, body)
        self._write(table_id, self.tables[table_id] | {"storage": {key: body[key] for key in _STORAGE_KEYS}})

    def shown(self, number: int) -> Row:
        """Return a collector with its ETL and storage, as they are: no cache, no failure, no rights."""
        row = self.collectors[number]
        table = self.table(row["table_id"]) if row["table_id"] else None
        etl: Row = {"etl_params": {}, "fields": [], **dict.fromkeys(_STORAGE_KEYS)}
        if table is not None:
            etl |= table["storage"]
            # What a detail does not survive, it does not show.
            with suppress(ValueError, TypeError):
                etl["etl_params"], etl["fields"] = result_table.shown(
                    table, row["etl_config"], self.stash_of(number)
                )
        return {key: value for key, value in row.items() if key != "updated_at"} | etl

    def stash_of(self, number: int) -> Row:
        """Return what was posted last for a collector."""
        return self.stashes.get(number, {"fields": []})

    # --- metadata

    def table(self, table_id: str) -> Row | None:
        """Return a table as metadata has it now."""
        self._settle()
        return self.tables.get(table_id)

    def table_name(self, name: str) -> str:
        """Return a name as metadata keeps it."""
        return name.strip() if self.setup.keeps_case else name.strip().lower()

    def create_table(self, table_id: str, table: Row) -> None:
        """Make a table, at once."""
        self._write(table_id, table)

    def change_table(self, table_id: str, table: Row) -> None:
        """Change a table, which metadata does in its own time, or not at all."""
        self._settle()
        if self.setup.table_change == "refused":
            return
        late = self.setup.table_change_seconds if self.setup.table_change == "late" else 0
        self._due.append((self.clock() + late, table_id, copy.deepcopy(table)))
        self._settle()

    def listed_storage(self, table_id: str) -> Row | None:
        """Return a table's storage as a list shows it: from a cache of ten minutes, a failure cached as well.

        See docs/log-platform-behaviour.md#cache-of-the-list.
        """
        self._settle()
        until, storage = self._cache.get(table_id, (0.0, None))
        if until <= self.clock():
            down = "get_result_table_storage" in self.setup.metadata_down
            table = self.tables.get(table_id)
            storage = None if down or table is None else table["storage"]
            self._cache[table_id] = (self.clock() + _CACHED_SECONDS, storage)
        return storage

    def clear_list_cache(self) -> None:
        """Forget what the list has cached, as ten minutes do."""
        self._cache.clear()

    def _settle(self) -> None:
        """Do the changes whose time has come."""
        now = self.clock()
        for when, table_id, table in self._due:
            if when <= now:
                self._write(table_id, table)
                if self.setup.clears_list_cache:
                    self._cache.pop(table_id, None)
        self._due = [one for one in self._due if one[0] > now]

    def _write(self, table_id: str, table: Row) -> None:
        self.tables[table_id] = table
        self._database.save("result_table", table_id, table)

    # --- what it is set up to do

    def change_setup(self, changes: Row) -> None:
        """Change settings of the platform.

        :raises ValueError: there is no such setting, or not with this value.
        """
        self.setup = Setup(**self.setup.model_dump() | changes)
        self._database.save("meta", "bklog_setup", self.setup.model_dump(mode="json"))

    def allows(self, username: str, business: int, action: str) -> bool:
        """Whether IAM gives a right."""
        return not any(one.covers(username, business, action) for one in self.setup.denials)

    def park(self, sn: str, application: Row) -> None:
        """Keep the payload of a native application until it is decided; it is never deleted."""
        self.parked[sn] = application
        self._database.save("native_application", sn, application)


def cluster_of(number: int) -> Cluster | None:
    """Return a storage cluster."""
    return CLUSTERS.get(number)
