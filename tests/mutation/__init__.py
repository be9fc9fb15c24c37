# SPDX-License-Identifier: Apache-2.0
"""What mutation testing leaves over, checked against the committed list of what may survive and why.

``make mutation`` runs it; docs/mutation.md tells how to read it.
"""
