# SPDX-License-Identifier: Apache-2.0
"""Finding the ticket of a lost create answer: by title marker, creator and time, since v4 has no tag.

Whether a filter is honoured is not known (facts ``list-filters``, ``ignored-filter``): first a marker that nobody
has is searched for. Where that finds tickets, everything of the time in question is read, and compared here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from airflow_provider_bkitsm.itsm.errors import (
    ItsmConflictError,
    ItsmError,
    ItsmInvalidRequestError,
    ItsmTicketNotFoundError,
    ItsmUnexpectedAnswerError,
)
from airflow_provider_bkitsm.itsm.idempotency import is_marked, marks
from airflow_provider_bkitsm.itsm.protocol import Call, Flow, chunks
from airflow_provider_bkitsm.itsm.v4 import calls
from airflow_provider_bkitsm.itsm.v4.reading import Page, V4Ticket, local_text
from airflow_provider_bkitsm.itsm.v4.settings import V4Settings

# A search begins a day before the first attempt, and ends two days behind it: clocks and zones differ.
_SPAN = timedelta(days=3)
_PAGES = 40

Listing = Callable[..., Call[Page]]


def find_marked(tag: str, *, creator: str, since: datetime, settings: V4Settings) -> Flow[tuple[V4Ticket, ...]]:
    """Search the tickets whose title ends with a tag's marker, in every list that may show them.

    A list that an application may not read hides no ticket that another one shows.

    :raises ItsmError: nothing was found, and a list could not be read.
    :raises ItsmConflictError: nothing was found, and a list is too long to be read.
    """
    found: dict[str, V4Ticket] = {}
    failure: ItsmError | None = None
    for listing in _listings(settings):
        try:
            rows = yield from _search(listing, tag, creator=creator, since=since, settings=settings)
        except ItsmError as error:
            failure = failure or error
        else:
            found |= {row.id: row for row in rows}
    if failure is not None and not found:
        raise failure
    return tuple(found.values())


def filters_honoured(listing: Listing, nobody: str) -> Flow[bool]:
    """Whether a list goes by its filters: a title that no ticket has must find none."""
    page: Page = yield listing(title__contains=nobody, page_size=1)
    return not page.count and not page.rows and not page.problem


def _listings(settings: V4Settings) -> Sequence[Listing]:
    """Return the lists: what an application sees in the first is not known (fact ``list-visibility``)."""
    system = settings.system_id
    if system is None:
        return (calls.ticket_list,)
    return (calls.ticket_list, lambda **filters: calls.system_ticket_list(system, **filters))


def _search(
    listing: Listing, tag: str, *, creator: str, since: datetime, settings: V4Settings
) -> Flow[tuple[V4Ticket, ...]]:
    nobody = hashlib.sha256(f"nobody has {tag}".encode()).hexdigest()[:16]
    searches = [{"title__contains": mark} for mark in marks(tag)]
    if not (yield from filters_honoured(listing, nobody)):
        span = ",".join(local_text(at, settings.zone) for at in (since, since + _SPAN))
        searches = [{"creator__in": creator, "created_at__range": span}]
    for filters in searches:
        rows, is_all = yield from _pages(listing, **filters)
        found = yield from _marked(rows, tag, settings)
        if found:
            return found
        if not is_all:
            raise ItsmConflictError(
                f"ITSM v4 ignores the filter of its list, and lists more than {len(rows)} tickets: whether one"
                f" marked {marks(tag)[0]} was opened cannot be told. No second one was opened. Look for that mark"
                " in ITSM; give the connection a system_id of its own, whose list is shorter"
            )
    return ()


def _marked(rows: Sequence[V4Ticket], tag: str, settings: V4Settings) -> Flow[tuple[V4Ticket, ...]]:
    """Return the listed tickets that carry a tag; a row without title or creator is read once more."""
    found = []
    for listed in rows:
        row = listed if _title(listed, settings) and listed.creator else (yield from detail_or_none(listed.id))
        if row is not None and _is_of(row, tag, settings):
            found.append(row)
    return tuple(found)


def _pages(listing: Listing, **filters: str) -> Flow[tuple[tuple[V4Ticket, ...], bool]]:
    """Read pages until nothing new comes, whatever the list counts; also say whether that was all.

    :raises ItsmUnexpectedAnswerError: a row cannot be read, which may be the one that is searched for.
    """
    seen: dict[str, V4Ticket] = {}
    for number in range(1, _PAGES + 1):
        page: Page = yield listing(page=number, **filters)
        if page.problem:
            raise ItsmUnexpectedAnswerError(page.problem)
        new = {row.id: row for row in page.rows if row.id not in seen}
        seen |= new
        if not new:
            return tuple(seen.values()), True
    return tuple(seen.values()), False


def _is_of(row: V4Ticket, tag: str, settings: V4Settings) -> bool:
    """Whether a ticket carries a tag: its title does, and its form where that has a place for it."""
    return is_marked(_title(row, settings), tag) and row.form.get(settings.client_ref_key, tag) in (tag, "", None)


def _title(row: V4Ticket, settings: V4Settings) -> str:
    return row.title or str(row.form.get(settings.title_key) or "")


def listed_rows(ids: Sequence[str], settings: V4Settings) -> Flow[dict[str, V4Ticket]]:
    """Read tickets as the lists show them, by their ids; what none of them shows is left out."""
    found: dict[str, V4Ticket] = {}
    for listing in reversed(_listings(settings)):
        for some in chunks([one for one in ids if one not in found], calls.LARGEST_PAGE):
            page: Page = yield listing(id__in=list(some))
            found |= {row.id: row for row in page.rows if row.id in some}
    return found


def rows_of_ids(ids: Sequence[str], settings: V4Settings) -> Flow[tuple[V4Ticket, ...]]:
    """Read tickets as the lists show them; what none of them shows is read one by one, or left out."""
    found = yield from listed_rows(ids, settings)
    for ticket_id in ids:
        if ticket_id not in found and (row := (yield from detail_or_none(ticket_id))) is not None:
            found[ticket_id] = row
    return tuple(found.values())


def detail_or_none(ticket_id: str) -> Flow[V4Ticket | None]:
    """Read a ticket; None where ITSM refuses, which it does for an id that it does not know.

    A refusal without a code is none of ITSM's: something on the way did not take the request.
    """
    try:
        ticket: V4Ticket = yield calls.ticket_detail(ticket_id)
    except ItsmTicketNotFoundError:
        return None
    except ItsmInvalidRequestError as error:
        if error.code is None:
            raise
        return None
    return ticket if ticket.id == ticket_id else None
