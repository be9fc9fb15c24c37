# SPDX-License-Identifier: Apache-2.0
"""ITSM v4 (gateways ``cw-aitsm`` and ``bk-itsm4``), as its public clients use it. Experimental: see ``facts``."""
