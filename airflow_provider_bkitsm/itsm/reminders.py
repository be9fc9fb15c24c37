# SPDX-License-Identifier: Apache-2.0
"""When an open ticket is reminded of, and when it is escalated. Pure.

Every time is counted from the ticket's opening, in real time. What falls outside of the working hours waits until
they begin. Of several reminders that are due together, as after an outage, only the latest is one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError

MOST_REMINDERS = 20
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WORKDAYS = "mon-fri"
_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)")
_MIDNIGHT = "24:00"
# Beyond a year nobody waits, and nobody has holidays for so long.
_LONGEST = timedelta(days=366)


class WorkingHours:
    """The hours in which people are reminded: ``WorkingHours("09:00", "18:00", time_zone="Asia/Shanghai")``.

    :param start: ``HH:MM``, by the clocks of the time zone.
    :param end: likewise, later on the same day; ``24:00`` is its end. Hours over midnight are refused.
    :param days: ``mon-fri``, ``mon,wed,fri``, or a list of such names.
    :param time_zone: name of the IANA's, such as ``Asia/Shanghai``.
    :param holidays: days that are none of the working days, as dates or ``YYYY-MM-DD``.
    :raises ItsmConfigurationError: none of this can be read, or no time is left.
    """

    __slots__ = ("_days", "_end", "_holidays", "_start", "_zone")

    def __init__(
        self,
        start: str = "09:00",
        end: str = "18:00",
        *,
        days: str | Iterable[str] = _WORKDAYS,
        time_zone: str = "UTC",
        holidays: Iterable[str | date] = (),
    ) -> None:
        self._start, self._end = _minutes("start", start), _minutes("end", end)
        if self._start >= self._end:
            raise _wrong(f"end {end!r} is not after start {start!r} on the same day")
        self._days = _read_days(days)
        self._zone = _read_zone(time_zone)
        self._holidays = frozenset(_read_date(one) for one in holidays)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WorkingHours) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return hash(str(self.as_dict()))

    def __repr__(self) -> str:
        return f"WorkingHours({', '.join(f'{name}={value!r}' for name, value in self.as_dict().items())})"

    def as_dict(self) -> dict[str, Any]:
        """Return the arguments as JSON has them: ``WorkingHours(**hours.as_dict()) == hours``."""
        return {
            "start": _shown(self._start),
            "end": _shown(self._end),
            "days": ",".join(_DAYS[day] for day in sorted(self._days)),
            "time_zone": self.time_zone,
            "holidays": sorted(day.isoformat() for day in self._holidays),
        }

    @property
    def time_zone(self) -> str:
        """Name of the time zone."""
        return str(self._zone.key)

    def hold(self, moment: datetime) -> bool:
        """Whether a moment (aware) is within these hours."""
        local = moment.astimezone(self._zone)
        minutes = local.hour * 60 + local.minute
        return self._is_workday(local.date()) and self._start <= minutes < self._end

    def earliest(self, moment: datetime) -> datetime:
        """Return a moment (aware) if it is within these hours, else when they next begin (UTC).

        Hours that begin in the hour that a change of clocks leaves out begin after it; of an hour that comes twice
        the first counts.
        """
        if self.hold(moment):
            return moment
        day, last = moment.astimezone(self._zone).date(), (moment + _LONGEST).date()
        while day <= last:
            begins = self._begin_of(day)
            if begins is not None and begins >= moment:
                return begins
            day += timedelta(days=1)
        return moment + _LONGEST

    def _begin_of(self, day: date) -> datetime | None:
        if not self._is_workday(day):
            return None
        begins = datetime.combine(day, time(*divmod(self._start, 60)), self._zone).astimezone(UTC)
        return begins if self.hold(begins) else None

    def _is_workday(self, day: date) -> bool:
        return day.weekday() in self._days and day not in self._holidays


def _read_hours(given: WorkingHours | Mapping[str, Any] | None) -> WorkingHours | None:
    """Return working hours that are given as such, or as a mapping of their arguments.

    :raises ItsmConfigurationError: see :class:`WorkingHours`.
    """
    if given is None or isinstance(given, WorkingHours):
        return given
    try:
        return WorkingHours(**given)
    except TypeError as error:
        raise _wrong(f"{error}") from None


@dataclass(frozen=True, kw_only=True)
class Due:
    """What is due for a ticket, in seconds after its opening; None: nothing of the kind."""

    reminder: float | None = None
    escalation: float | None = None

    def __bool__(self) -> bool:
        return self.reminder is not None or self.escalation is not None


@dataclass(frozen=True, kw_only=True)
class ReminderPlan:
    """When people are reminded of a ticket, and when it is escalated, in seconds after its opening.

    :param remind_after: rising, each once.
    :param hours: None: at any time.
    """

    remind_after: tuple[float, ...] = ()
    escalate_after: float | None = None
    hours: WorkingHours | None = None

    def __bool__(self) -> bool:
        return bool(self.remind_after) or self.escalate_after is not None

    def at(self, opened: datetime, after: float) -> datetime:
        """Return when something is done that is to be done so many seconds after a ticket's opening (aware)."""
        moment = opened + timedelta(seconds=after)
        return self.hours.earliest(moment) if self.hours else moment

    def due(self, opened: datetime, now: datetime) -> Due:
        """Return what is due: of the reminders the latest, which stands for those before it."""
        if self.hours and not self.hours.hold(now):
            return Due()
        reminders = [after for after in self.remind_after if self.at(opened, after) <= now]
        escalates = self.escalate_after is not None and self.at(opened, self.escalate_after) <= now
        return Due(reminder=max(reminders, default=None), escalation=self.escalate_after if escalates else None)

    def next_at(self, opened: datetime, now: datetime) -> datetime | None:
        """Return when something becomes due that is not due now (aware); None: nothing does any more."""
        escalation = () if self.escalate_after is None else (self.escalate_after,)
        moments = [self.at(opened, after) for after in (*self.remind_after, *escalation)]
        later = [one for one in moments if one > now]
        if self.hours and len(later) < len(moments) and not self.hours.hold(now):
            later.append(self.hours.earliest(now))
        return min(later, default=None)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return {
            "remind_after": list(self.remind_after),
            "escalate_after": self.escalate_after,
            "hours": self.hours.as_dict() if self.hours else None,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ReminderPlan:
        """Return the plan that ``as_dict`` gave."""
        return read_plan(
            remind_after=stored.get("remind_after"),
            escalate_after=stored.get("escalate_after"),
            hours=stored.get("hours"),
        )


Times = timedelta | float | Iterable[timedelta | float]


def read_plan(
    *,
    remind_after: Times | None = None,
    escalate_after: timedelta | float | None = None,
    hours: WorkingHours | Mapping[str, Any] | None = None,
) -> ReminderPlan:
    """Return a plan of what an author gives: timedeltas or seconds, one or several reminders.

    :raises ItsmConfigurationError: something in it is no time after the opening, or there are too many.
    """
    given = () if remind_after is None else remind_after
    single = isinstance(given, timedelta | float | int | str)
    each = [_seconds("remind_after", one) for one in ([given] if single else given)]  # type: ignore[union-attr]
    if len(set(each)) > MOST_REMINDERS:
        raise ItsmConfigurationError(f"remind_after has {len(set(each))} times, more than {MOST_REMINDERS}")
    return ReminderPlan(
        remind_after=tuple(sorted(set(each))),
        escalate_after=None if escalate_after is None else _seconds("escalate_after", escalate_after),
        hours=_read_hours(hours),
    )


def _seconds(name: str, given: object) -> float:
    value = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ItsmConfigurationError(
            f"{name} must be a timedelta or a number of seconds, more than 0, not {given!r}"
        )
    if value > _LONGEST.total_seconds():
        raise ItsmConfigurationError(f"{name} {given!r} is more than a year after the ticket's opening")
    return float(value)


def _minutes(name: str, given: object) -> int:
    found = _CLOCK.fullmatch(given) if isinstance(given, str) else None
    minutes = int(found[1]) * 60 + int(found[2]) if found else -1
    if not 0 <= minutes <= 24 * 60:
        raise _wrong(f"{name} must be a time such as '09:00', not {given!r}")
    return minutes


def _shown(minutes: int) -> str:
    return _MIDNIGHT if minutes == 24 * 60 else f"{minutes // 60:02}:{minutes % 60:02}"


def _read_days(given: object) -> frozenset[int]:
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, Iterable):
        raise _wrong(f"days must be names such as 'mon-fri', not {given!r}")
    found = frozenset(day for name in names for day in _days_of(name))
    if not found:
        raise _wrong("days names no day")
    return found


def _days_of(name: object) -> Iterable[int]:
    first, dash, last = str(name).strip().lower().partition("-")
    ends = [first.strip(), last.strip() if dash else first.strip()]
    if not all(end in _DAYS for end in ends):
        raise _wrong(f"days: {name!r} is none of {', '.join(_DAYS)}, nor two of them as in 'mon-fri'")
    start, end = map(_DAYS.index, ends)
    if end < start:
        raise _wrong(f"days: {name!r} goes backwards; the week begins on mon")
    return range(start, end + 1)


def _read_zone(given: object) -> ZoneInfo:
    try:
        return ZoneInfo(given)  # type: ignore[arg-type]
    except (KeyError, ValueError, TypeError, OSError):
        raise _wrong(f"time_zone {given!r} is no name of a time zone such as 'Asia/Shanghai'") from None


def _read_date(given: object) -> date:
    if isinstance(given, date):
        return given.date() if isinstance(given, datetime) else given
    try:
        return date.fromisoformat(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise _wrong(f"holidays: {given!r} is no day such as '2026-10-01'") from None


def _wrong(why: str) -> ItsmConfigurationError:
    return ItsmConfigurationError(f"working_hours: {why}")
