# SPDX-License-Identifier: Apache-2.0
"""The stored state of a sandbox: JSON documents in one SQLite table, written through."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

_TABLE = "CREATE TABLE IF NOT EXISTS document (kind TEXT, id TEXT, body TEXT, PRIMARY KEY (kind, id))"


class Database:
    """Documents by kind and id. Reading happens once, at the start; everything else is writing."""

    def __init__(self, *, file: Path | None) -> None:
        if file is not None:
            _keep_private(file)
        # Opened by the thread that builds the application, used by the one that serves it; never by both.
        self._connection = sqlite3.connect(file or ":memory:", isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(_TABLE)

    def load(self, kind: str) -> dict[str, Any]:
        """Return all documents of a kind, by id, oldest first."""
        rows = self._connection.execute("SELECT id, body FROM document WHERE kind = ? ORDER BY rowid", (kind,))
        return {key: json.loads(body) for key, body in rows}

    def save(self, kind: str, key: object, body: Any) -> None:
        """Write one document."""
        self._connection.execute(
            "INSERT INTO document VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
            (kind, str(key), json.dumps(body, ensure_ascii=False)),
        )

    def delete(self, kind: str, key: object) -> None:
        """Delete one document."""
        self._connection.execute("DELETE FROM document WHERE kind = ? AND id = ?", (kind, str(key)))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _keep_private(file: Path) -> None:
    """Create the file for its owner alone: it holds callbacks' signatures. SQLite's side files copy its mode."""
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for one in (file, *(file.with_name(f"{file.name}{suffix}") for suffix in ("-wal", "-shm"))):
        with suppress(FileNotFoundError):
            one.chmod(0o600)
