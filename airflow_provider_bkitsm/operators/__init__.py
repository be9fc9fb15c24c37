# SPDX-License-Identifier: Apache-2.0
"""Operators: open a ticket, take a collector through its approval."""
