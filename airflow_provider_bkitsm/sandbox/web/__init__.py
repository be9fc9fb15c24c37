# SPDX-License-Identifier: Apache-2.0
"""The pages of the sandbox, where a person sees what waits and decides it."""
