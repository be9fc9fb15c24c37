# SPDX-License-Identifier: Apache-2.0
"""What the approvals pages show: rows, a list's pages, a ticket's story, a collector's path. Pure."""
