# SPDX-License-Identifier: Apache-2.0
"""A collector as the log platform's list or detail gives it, with odd spellings made plain. Pure.

See docs/log-platform-behaviour.md#list-and-detail.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_bkitsm.collectors.errors import CollectItsmHasApply
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError

_LONGEST_PARAMS = 100_000
_DEEPEST_PARAMS = 50


class Collector(Mapping[str, Any]):
    """One row of the log platform's list, or one detail.

    It reads like the platform's own answer, except that:

    - ``params`` is an object: the list gives it as a text, in Python's spelling. A text that cannot be read is
      kept as ``unread_params``, and ``params`` is then empty;
    - an unknown value is None: the platform gives cluster -1 and retention 0 for a table whose storage it could
      not read, and an empty text for a collector without a table.
    """

    def __init__(self, row: Mapping[str, Any]) -> None:
        params, self.unread_params = _params(row.get("params"))
        unknown = {"storage_cluster_id": (-1, 0), "retention": (0,), "table_id": ("",)}
        self._values = {
            key: None if key in unknown and type(value) in (int, str) and value in unknown[key] else value
            for key, value in row.items()
        }
        if "params" in row:
            self._values["params"] = params

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Collector({self._values!r})"

    @property
    def number(self) -> int | None:
        """Its ``collector_config_id``."""
        return self._values.get("collector_config_id")

    @property
    def bare_table_id(self) -> str | None:
        """Its table's name without the business, or None while it has no table.

        The platform gives the prefix (``2_bklog_``, ``space_7_bklog_``) apart from the bare name; older ones list
        the full name, ``2_bklog.app``.
        """
        name = self._values.get("table_id")
        if not name:
            return None
        if self._values.get("table_id_prefix"):
            owner = self._owner + "."
            return str(name).removeprefix(owner)
        return str(name).rpartition(".")[2]

    @property
    def table_id(self) -> str | None:
        """Its table's full name, as everything behind the log platform calls it: ``2_bklog.app``."""
        if self.bare_table_id is None or not self._values.get("table_id_prefix"):
            return self._values.get("table_id")
        return f"{self._owner}.{self.bare_table_id}"

    @property
    def _owner(self) -> str:
        return str(self._values["table_id_prefix"]).rstrip("_.")

    def has_table_named(self, name: Any) -> bool:
        """Whether this is its table, without regard to case: metadata lower-cases names, some versions do not."""
        existing = self.bare_table_id
        return isinstance(name, str) and existing is not None and existing.lower() == name.strip().lower()

    @property
    def is_natively_applying(self) -> bool:
        """Whether the log platform's own approval of this collector is under way."""
        return self._values.get("itsm_ticket_status") == "applying"

    @property
    def knows_storage(self) -> bool:
        """Whether the platform could read the table's storage.

        See docs/log-platform-behaviour.md#storage-that-is-not-known.
        """
        return self._values.get("retention") is not None and self._values.get("storage_cluster_id") is not None


def as_collector(row: Mapping[str, Any]) -> Collector:
    """Return a row of the log platform as a collector."""
    return row if isinstance(row, Collector) else Collector(row)


def check_eligible(collector: Mapping[str, Any]) -> None:
    """Refuse a collector that would get two tickets, or whose ETL cannot be written.

    :param collector: as the log platform's list shows it.
    :raises CollectItsmHasApply: the platform's own approval of this collector is under way.
    :raises ItsmConfigurationError: its ETL is not the platform's.
    """
    number = collector.get("collector_config_id")
    if as_collector(collector).is_natively_applying:
        raise CollectItsmHasApply(
            f"the log platform itself is applying for collector {number} (ticket"
            f" {collector.get('itsm_ticket_sn')}). No ticket was opened; a retry succeeds once that one has"
            " ended"
        )
    if collector.get("etl_processor") == "bkbase":
        raise ItsmConfigurationError(
            f"collector {number} is cleaned by the data platform (etl_processor bkbase); only transfer is"
            " supported. No ticket was opened"
        )


def bare_table_id(row: Mapping[str, Any]) -> str | None:
    """Return the name of a collector's table without its business, or None while it has no table."""
    return as_collector(row).bare_table_id


def _params(value: Any) -> tuple[Mapping[str, Any], str | None]:
    """Return the collecting parameters, or their text if it cannot be parsed. The text is never executed."""
    if not isinstance(value, str):
        return (value if isinstance(value, Mapping) else {}), None
    if not value.strip():
        return {}, None
    found = _literal(value) if len(value) <= _LONGEST_PARAMS and _depth(value) <= _DEEPEST_PARAMS else None
    return (found, None) if isinstance(found, Mapping) else ({}, value[:_LONGEST_PARAMS])


def _literal(text: str) -> Any:
    for read in (ast.literal_eval, json.loads):
        try:
            return read(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return None


def _depth(text: str) -> int:
    """Return how deep brackets lie in each other, those inside texts counted too: an upper bound."""
    depth = deepest = 0
    for character in text:
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    return deepest
