# SPDX-License-Identifier: Apache-2.0
"""What only BK-ITSM v2 says."""
