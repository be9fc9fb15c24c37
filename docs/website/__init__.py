# SPDX-License-Identifier: Apache-2.0
"""What Sphinx does besides when it builds the site."""
