# SPDX-License-Identifier: Apache-2.0
"""One ticket over time: its record, opened once, waited for, ended."""
