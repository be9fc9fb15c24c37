# SPDX-License-Identifier: Apache-2.0
"""What Airflow's other processes see of a DAG."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # Airflow 3.1
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization


def serialised(dag: DAG) -> Any:
    """Return a DAG as it comes out of Airflow's database."""
    return DagSerialization.from_dict(DagSerialization.to_dict(dag))
