# SPDX-License-Identifier: Apache-2.0
"""What only BK-ITSM v2 does: rules measured on its server, for the dialect-neutral modules beside this package."""
