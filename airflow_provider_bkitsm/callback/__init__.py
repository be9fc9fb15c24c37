# SPDX-License-Identifier: Apache-2.0
"""ITSM's callback: an approval resumes the DAG at once, and a forged one changes nothing (promise P4)."""
