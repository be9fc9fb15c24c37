# SPDX-License-Identifier: Apache-2.0
"""Waits and tickets that the version before has begun."""
