# SPDX-License-Identifier: Apache-2.0
"""The stored state of a sandbox."""

from __future__ import annotations

import os

from airflow_provider_bkitsm.sandbox.database import Database


def modes(folder) -> set[int]:
    return {file.stat().st_mode & 0o777 for file in folder.iterdir()}


def test_p8_only_its_owner_reads_it(tmp_path):
    before = os.umask(0)
    try:
        database = Database(file=tmp_path / "itsm.db")
        database.save("ticket", 1, {"headers": "secret"})
        assert len(list(tmp_path.iterdir())) > 1
        assert modes(tmp_path) == {0o600}
        database.close()
    finally:
        os.umask(before)


def test_p8_one_that_others_could_read_is_closed_to_them(tmp_path):
    for suffix in ("", "-wal", "-shm"):
        file = tmp_path / f"itsm.db{suffix}"
        file.touch()
        file.chmod(0o644)
    database = Database(file=tmp_path / "itsm.db")
    database.save("ticket", 1, {})
    assert modes(tmp_path) == {0o600}
    assert database.load("ticket") == {"1": {}}
    database.close()
