# SPDX-License-Identifier: Apache-2.0
"""Measurements. Nothing here is asserted in tests; figures are medians and ratios of one run."""
