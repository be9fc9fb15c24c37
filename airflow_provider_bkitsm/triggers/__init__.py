# SPDX-License-Identifier: Apache-2.0
"""Triggers: wait without a worker."""
