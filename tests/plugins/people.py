# SPDX-License-Identifier: Apache-2.0
"""People who sign in, and an auth manager that knows what each may do with which DAG."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from jwt import InvalidTokenError


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who may read, and who may change, which DAGs."""

    name: str = "alice"
    reads: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()

    def get_name(self) -> str:
        return self.name

    def get_id(self) -> str:
        return self.name


@dataclass
class AuthManager:
    """What the routes ask, answered by the person's own lists."""

    signed_in: dict[str, Person] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    async def get_user_from_token(self, token: str) -> Person:
        if token not in self.signed_in:
            raise InvalidTokenError
        return self.signed_in[token]

    def sign_in(self, person: Person) -> str:
        """Return the token that Airflow would put into a browser's cookie."""
        token = f"token-{len(self.signed_in)}"
        self.signed_in[token] = person
        return token

    def is_authorized_dag(self, *, method: str, user: Person, details: Any = None, **_entity: Any) -> bool:
        dag_id = details.id if details else None
        self.asked.append((method, dag_id))
        allowed = user.reads if method == "GET" else user.changes
        return bool(allowed) if dag_id is None else dag_id in allowed

    def get_authorized_dag_ids(self, *, user: Person, method: str = "GET") -> set[str]:
        return set(user.reads if method == "GET" else user.changes)


@contextmanager
def auth_manager() -> Iterator[AuthManager]:
    """Put it in the place of Airflow's."""
    from airflow.api_fastapi import app

    with pytest.MonkeyPatch.context() as patch:
        manager = AuthManager()
        kept = getattr(app, "_AuthManagerState", None)
        if kept is None:  # Airflow 3.1
            patch.setattr(app, "auth_manager", manager)
        else:
            patch.setattr(kept, "instance", manager)
        yield manager
