# SPDX-License-Identifier: Apache-2.0
"""What the sandbox's ITSM stores and how its flows run, as measured on a real server."""
