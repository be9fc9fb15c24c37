# SPDX-License-Identifier: Apache-2.0
"""A diagram of a collector's states, with the changes it went through highlighted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_bkitsm.collectors.row import CollectorState, state_label

WIDTH, HEIGHT = 560, 210
_BOX_WIDTH, _BOX_HEIGHT = 156, 44

Step = tuple[CollectorState, CollectorState]

_N, _A = CollectorState.NOT_APPLY, CollectorState.APPLYING
_F, _S = CollectorState.FAIL_APPLY, CollectorState.SUCCESS_APPLY
# Left to right: nobody applied, applying, and the two ends.
_PLACES = {_N: (84, 105), _A: (284, 105), _S: (476, 40), _F: (476, 170)}
_WAYS: dict[Step, str] = {
    (_N, _A): "M 162 105 L 201 105",
    (_A, _S): "M 362 95 C 388 86 372 52 393 46",
    (_S, _A): "M 398 28 C 340 18 292 40 285 78",
    (_A, _F): "M 362 115 C 388 124 372 158 393 164",
    (_F, _A): "M 398 182 C 340 192 292 170 285 132",
}


@dataclass(frozen=True, kw_only=True)
class Box:
    """The box of one state; ``x`` and ``y`` are its middle."""

    state: str
    zh: str
    en: str
    x: int
    y: int
    width: int
    height: int
    current: bool
    visited: bool


@dataclass(frozen=True, kw_only=True)
class Way:
    """A change of state: ``path`` is an SVG path, ``times`` how often the collector went this way."""

    path: str
    start: str
    end: str
    times: int


@dataclass(frozen=True, kw_only=True)
class StateDiagram:
    """The boxes and arrows for the page's script to draw."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    ways: tuple[Way, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def state_diagram(current: CollectorState, steps: Iterable[Step]) -> StateDiagram:
    """Return the diagram of all states.

    :param current: the collector's state now.
    :param steps: its changes of state, oldest first. A step that stays in one state draws nothing.
    """
    changes = [step for step in steps if step[0] is not step[1]]
    visited = {current, *(state for change in changes for state in change)}
    return StateDiagram(
        width=WIDTH,
        height=HEIGHT,
        boxes=tuple(_box(state, current=state is current, visited=state in visited) for state in _PLACES),
        ways=tuple(
            Way(path=path, start=start.value, end=end.value, times=changes.count((start, end)))
            for (start, end), path in _WAYS.items()
        ),
    )


def _box(state: CollectorState, *, current: bool, visited: bool) -> Box:
    x, y = _PLACES[state]
    return Box(
        state=state.value,
        zh=state_label(state, language="zh"),
        en=state_label(state),
        x=x,
        y=y,
        width=_BOX_WIDTH,
        height=_BOX_HEIGHT,
        current=current,
        visited=visited,
    )
