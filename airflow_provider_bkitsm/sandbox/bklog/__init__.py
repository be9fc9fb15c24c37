# SPDX-License-Identifier: Apache-2.0
"""The log platform of the sandbox: collectors, their clean configurations, and the platform's own approval."""
