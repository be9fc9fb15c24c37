# SPDX-License-Identifier: Apache-2.0
"""The store's three databases, as the collectors' tests have them."""

from tests.collectors.conftest import engine

__all__ = ["engine"]
