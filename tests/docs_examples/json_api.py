# SPDX-License-Identifier: Apache-2.0
"""A client of the JSON API, as a portal might have it."""

# --8<-- [start:client]
import os
from collections.abc import Iterator
from typing import Any

import httpx


def sign_in(airflow: httpx.Client, username: str, password: str) -> None:
    """Have every further request bear a token of Airflow."""
    answer = airflow.post("/auth/token", json={"username": username, "password": password})
    answer.raise_for_status()
    airflow.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def approvals(airflow: httpx.Client, **filters: Any) -> Iterator[dict[str, Any]]:
    """Yield every approval that the filters leave, the latest first."""
    seen = set()
    page = 1_000_000  # beyond the end is the last page
    while page > 0:
        order = {"sort": "since", "descending": False, "page": page, "size": 100}
        answer = airflow.get("/bkitsm/api/v1/approvals", params={**filters, **order})
        if answer.is_error:
            raise RuntimeError(f"{answer.status_code}: {answer.json()['detail']}")
        for row in reversed(answer.json()["rows"]):
            task = row["dag_id"], row["run_id"], row["task_id"], row["map_index"]
            if task not in seen:
                seen.add(task)
                yield row
        page = answer.json()["page"] - 1


if __name__ == "__main__":
    with httpx.Client(base_url=os.environ["AIRFLOW_URL"], timeout=30) as airflow:
        sign_in(airflow, os.environ["AIRFLOW_USER"], os.environ["AIRFLOW_PASSWORD"])
        for row in approvals(airflow, view="waiting"):
            print(row["since"], row["dag_id"], row["sn"], row["title"], ", ".join(row["approvers"]))
# --8<-- [end:client]
