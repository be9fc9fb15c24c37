# SPDX-License-Identifier: Apache-2.0
"""The store's three databases, as the collectors' tests have them."""

from tests.collectors.conftest import engine, mariadb_url, postgres_url

__all__ = ["engine", "mariadb_url", "postgres_url"]
