# SPDX-License-Identifier: Apache-2.0
"""Sensors: wait for the decision on a ticket."""
