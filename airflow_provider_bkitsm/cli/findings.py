# SPDX-License-Identifier: Apache-2.0
"""What ``check`` says of one thing that it looked at: a level, a sentence, and what to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

from airflow_provider_bkitsm.cli.cures import with_cure
from airflow_provider_bkitsm.translation import Language, Text

_CLOCK_WARNING, _CLOCK_WRONG = 60.0, 300.0


class Level(StrEnum):
    """How well something is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


_WORDS = {Level.OK: Text("ok"), Level.WARNING: Text("warning"), Level.WRONG: Text("wrong")}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of ``check``.

    :param cure: what to do about it; None where all is well.
    """

    check: Text
    level: Level
    text: Text
    cure: Text | None = None

    def line(self, language: Language) -> str:
        """Return the line that a person reads."""
        finding = Text("{check}: {text}", check=self.check, text=with_cure(self.text, self.cure, language))
        return f"{_WORDS[self.level].into(language):<8}{finding.into(language)}"

    def as_row(self) -> dict[Text, Text]:
        """Return the row of a table."""
        return {
            Text("check"): self.check,
            Text("level"): _WORDS[self.level],
            Text("finding"): self.text,
            Text("what_to_do"): self.cure or Text(""),
        }


def ok(check: Text, text: Text) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(check=check, level=Level.OK, text=text)


def warning(check: Text, text: Text, cure: Text) -> Finding:
    """Return a finding that works, with a weakness."""
    return Finding(check=check, level=Level.WARNING, text=text, cure=cure)


def wrong(check: Text, text: Text, cure: Text) -> Finding:
    """Return a finding that has to be mended."""
    return Finding(check=check, level=Level.WRONG, text=text, cure=cure)


def with_scheme(finding: Finding, address: str | None, place: Text) -> Finding:
    """Return a finding with another cure, where an address speaks only the other of http and https.

    :param address: with that scheme; None: the scheme is right.
    :param place: where the address is set.
    """
    if address is None or finding.level is not Level.WRONG:
        return finding
    cure = (
        Text("{place} has to be {address}: TLS is spoken there", place=place, address=address)
        if address.startswith("https:")
        else Text(
            "no TLS is spoken there: write the port of https into {place}, or, if there is none, {address} (all"
            " that is sent is then readable on its way)",
            place=place,
            address=address,
        )
    )
    return replace(finding, cure=cure)


def judge_clock(check: Text, date: str | None, now: datetime) -> Finding:
    """Judge this machine's clock by the header ``Date`` of an answer."""
    try:
        offset = (now - parsedate_to_datetime(date or "")).total_seconds()
    except (TypeError, ValueError):
        text = Text("its answers have no time, so the clocks were not compared")
        return warning(check, text, Text("compare them by hand"))
    if abs(offset) < _CLOCK_WARNING:
        return ok(check, Text("less than {seconds} s apart", seconds=f"{_CLOCK_WARNING:.0f}"))
    seconds = f"{abs(offset):.0f}"
    text = (
        Text("this machine's clock is {seconds} s ahead of the other's", seconds=seconds)
        if offset > 0
        else Text("this machine's clock is {seconds} s behind the other's", seconds=seconds)
    )
    found = wrong if abs(offset) >= _CLOCK_WRONG else warning
    return found(check, text, Text("have both machines take their time by NTP; deadlines are wrong by as much"))
