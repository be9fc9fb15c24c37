# SPDX-License-Identifier: Apache-2.0
"""The note on a waiting task: whom its ticket waits for, where people look in Airflow. Pure.

Airflow shows a task instance's note on its page and marks it in the grid. A note is one text for everybody, and
Airflow renders it as Markdown. Nothing that comes from ITSM or from an XCom may become markup: such a text is a
code span, in which Markdown knows neither links nor images nor HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, tzinfo
from urllib.parse import quote

from airflow_provider_bkitsm.approvals.rows import TaskKey
from airflow_provider_bkitsm.approvals.snapshot import TicketSnapshot
from airflow_provider_bkitsm.itsm.models import Progress, web_address
from airflow_provider_bkitsm.tickets.approval import ticket_tab_path
from airflow_provider_bkitsm.translation import Language, Text, verbatim

NOTE_PREFIX = "**BlueKing ITSM**"
"""How a note of ours begins, in every language."""

LONGEST_NOTE = 1000
"""Characters that Airflow stores of a note."""
_MOST_PEOPLE, _LONGEST_NAME, _LONGEST_STEP = 5, 60, 100


@dataclass(frozen=True, kw_only=True)
class NoteStyle:
    """How notes are written; the same for all API servers, which would undo each other's notes otherwise.

    :param language: of the text around names and times.
    :param base_url: Airflow's address; a link leads to the task's own tab. Without an http(s) address only the
        path of it counts, as Airflow's pages are below it wherever they are opened.
    :param time_zone: of the deadline.
    """

    language: Language
    base_url: str
    time_zone: tzinfo


@dataclass(frozen=True, kw_only=True)
class StoredNote:
    """A note as Airflow stores it; ``user_id`` is the person who has written it last."""

    content: str | None
    user_id: str | None

    @property
    def is_ours(self) -> bool:
        """Whether no person has written it: Airflow stores a person with every note that it is given."""
        return self.user_id is None and (self.content or "").startswith(NOTE_PREFIX)


def is_outdated(stored: StoredNote | None, text: str) -> bool:
    """Whether a waiting task's note has to become this text. A person's own note stays."""
    return stored is None or (stored.is_ours and stored.content != text)


def note_text(task: TaskKey, sn: str, seen: TicketSnapshot | None, style: NoteStyle) -> str:
    """Return the note of a task that waits for a ticket.

    :param seen: the ticket as the triggerer last read it; None: it was not read yet.
    """
    number = Text("ticket {sn}", sn=_code(sn, _LONGEST_NAME))
    address = f"{_base(style.base_url)}/{ticket_tab_path(**asdict(task))}"
    linked = _sentence(seen, f"[{number.into(style.language)}]({address})", style)
    return linked if len(linked) <= LONGEST_NOTE else _sentence(seen, number, style)


def _sentence(seen: TicketSnapshot | None, ticket: str, style: NoteStyle) -> str:
    state = _state(seen)
    if seen and (step := _code(seen.step, _LONGEST_STEP)):
        state = Text("{state} at {step}", state=state, step=step)
    if seen and (time := _time(seen.deadline, style.time_zone)):
        state = Text("{state} until {time}", state=state, time=time)
    return Text("{begin}: {state}, {ticket}", begin=NOTE_PREFIX, state=state, ticket=ticket).into(style.language)


def _state(seen: TicketSnapshot | None) -> Text:
    if seen is not None and seen.progress is Progress.SUSPENDED:
        return Text("suspended by a person")
    if seen is not None and seen.stalled:
        return Text("asks nobody, so nobody can decide")
    people = _people(seen.approvers if seen else ())
    return Text("waits for {people}", people=people) if people else Text("waits for a decision")


def _people(names: Sequence[str]) -> Text | None:
    codes = [code for name in names if (code := _code(name, _LONGEST_NAME))]
    if not codes:
        return None
    shown = verbatim(codes[0])
    for code in codes[1:_MOST_PEOPLE]:
        shown = Text("{people}, {person}", people=shown, person=code)
    more = len(codes) - _MOST_PEOPLE
    return Text("{people} and {count} more", people=shown, count=more) if more > 0 else shown


def _time(moment: datetime | None, zone: tzinfo) -> str:
    """Return a moment with its time zone; empty for none, and for one at the end of the calendar."""
    try:
        local = moment.astimezone(zone) if moment else None
    except OverflowError:
        local = None
    if local is None:
        return ""
    offset = f"{local:%z}"
    name = "UTC" if offset == "+0000" else f"UTC{offset[:3]}:{offset[3:5]}"
    return f"{local:%Y-%m-%d %H:%M} {name}"


def _code(text: str, longest: int) -> str:
    """Return a text as a code span of Markdown; empty where nothing of it can be seen."""
    seen = "".join(letter if letter.isprintable() else " " for letter in text)
    plain = " ".join(seen.replace("`", "'").split())
    if len(plain) > longest:
        plain = plain[: longest - 1].rstrip() + "…"
    return f"`{plain}`" if plain else ""


def _base(base_url: str) -> str:
    """Return the address in front of Airflow's pages, without a slash at the end; a bracket would end a link."""
    return quote(web_address(base_url).rstrip("/"), safe=":/%[]@")
