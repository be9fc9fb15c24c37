# SPDX-License-Identifier: Apache-2.0
"""The ITSM of the sandbox: its entrances and calls, its services, its tickets and how they move."""
