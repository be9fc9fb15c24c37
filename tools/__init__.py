# SPDX-License-Identifier: Apache-2.0
"""What looks after this repository; no part of the package."""
