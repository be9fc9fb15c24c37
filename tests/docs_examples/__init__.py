# SPDX-License-Identifier: Apache-2.0
"""The DAGs that the documentation shows; ``tests/test_docs_examples.py`` loads and serialises each."""
