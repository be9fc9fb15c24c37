# SPDX-License-Identifier: Apache-2.0
"""Tests of what only BK-ITSM v2 says."""
