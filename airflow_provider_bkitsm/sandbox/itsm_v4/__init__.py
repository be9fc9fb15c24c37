# SPDX-License-Identifier: Apache-2.0
"""An ITSM v4 as its public clients use it; no real one was run. Where they disagree, ``switches`` decide."""
