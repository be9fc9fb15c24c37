# SPDX-License-Identifier: Apache-2.0
"""What the approvals pages show: rows, pages of rows, a ticket in detail, a collector's states. Pure."""
