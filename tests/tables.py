# SPDX-License-Identifier: Apache-2.0
"""Large tables of cases in one test each: as tests of their own they cost more than what they test."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import pytest

_NAMED = 20


def table(
    names: str | tuple[str, ...], rows: Iterable[Any], *, ids: Callable[[Any], object] = repr
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test with each row, all of them, and name the cases that fail; a stand-in for ``parametrize``.

    For tests that leave nothing behind: all cases share the fixtures.

    :param names: one name for rows that are single values, or a tuple of names.
    :param ids: what a case is called, from its row.
    """
    wanted, cases = (names,) if isinstance(names, str) else names, list(rows)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(test)
        fixtures = [one for name, one in signature.parameters.items() if name not in wanted]

        @wraps(test)
        def whole(**given: Any) -> None:
            assert cases, "a table without cases tests nothing"
            failed = {}
            for row in cases:
                values = (row,) if isinstance(names, str) else row
                try:
                    test(**given, **dict(zip(wanted, values, strict=True)))
                except (Exception, pytest.fail.Exception) as error:
                    failed[f"{ids(row)}: {_first_line(error)}"] = error
            if failed:
                listed = "\n".join(f"- {one}" for one in list(failed)[:_NAMED])
                first = next(iter(failed.values()))
                raise AssertionError(f"{len(failed)} of {len(cases)} cases fail:\n{listed}") from first

        whole.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
        return whole

    return decorate


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
