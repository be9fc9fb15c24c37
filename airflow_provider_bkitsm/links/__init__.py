# SPDX-License-Identifier: Apache-2.0
"""Buttons on the task page."""
