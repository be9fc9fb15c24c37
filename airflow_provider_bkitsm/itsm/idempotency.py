# SPDX-License-Identifier: Apache-2.0
"""Finding the ticket that was already opened for an approval, so that no second one is (promise P2).

ITSM has no idempotency key. Two handles survive a lost answer: a tag, which some versions search by, and a marker
in the title, which shows that a found ticket is really ours even where an older server ignores the tag. Both come
from a secret of the connection, so that nobody can prepare a ticket that carries them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from airflow_provider_bkitsm.itsm.dialect import DialectFlow, ask
from airflow_provider_bkitsm.itsm.models import TicketInfo, TicketSummary
from airflow_provider_bkitsm.itsm.people import is_shown_as

TAG_LENGTH = 32
"""Characters of a tag."""

# How far ITSM's clock may be behind ours before a search by creation time misses a ticket.
_CLOCK_MARGIN = timedelta(days=1)
# A digit first: "[#hotfix]" at a title's end is a person's word, and no marker.
_FIRST, _OTHERS = "23456789", 5
# Only at the end counts: what stands before it may be anybody's text.
_MARKED = re.compile(r"\[#([2-9][a-z2-7]{5})\]\Z")
# As versions up to 0.2 have marked titles: the beginning of the tag, and of the digest of what is asked.
_FIRST_MARKER_LENGTH = _FIRST_DIGEST_LENGTH = 8
_FIRST_MARKED = re.compile(r"#([0-9a-f]{8})(?:-([0-9a-f]{8}))?\Z")


def approval_tag(key: bytes, *, subject: str, nonce: str, digest: str) -> str:
    """Derive the 32-character tag of one approval round: nobody without the key can compute it.

    :param key: a secret of the connection: the key that signs its callbacks.
    :param subject: what the round is of; ``nonce`` is its random part, ``digest`` that of what is asked.
    """
    text = json.dumps(["tag", subject, nonce, digest])
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:TAG_LENGTH]


def creation_tag(*parts: object) -> str:
    """Return the tag that versions without approval records gave a ticket: anybody can compute it."""
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:TAG_LENGTH]


def marker(tag: str) -> str:
    """Return a tag's marker, 6 characters: in brackets it ends the ticket's title.

    28 bits are enough, since the marker is never all that is compared. A ticket is taken for ours only if it was
    opened in our creator's name since our attempt, and its service, title and form are what was sent (v2 compares
    the whole tag besides, v4 the form's field for it). So two can be mistaken for each other only where one
    creator asks exactly the same twice: among 1,000 such tickets the chance is 4 in a million, for each answer
    that is lost. Who wants to forge one has to hit it in a ticket that asks what we ask.
    """
    digest = hashlib.sha256(tag.encode()).digest()
    return _FIRST[digest[-1] % len(_FIRST)] + base64.b32encode(digest).decode().lower()[:_OTHERS]


def marks(tag: str) -> tuple[str, str]:
    """Return how this version ends a title, and how versions up to 0.2 have: either may be on an open ticket."""
    return f"[#{marker(tag)}]", f"#{tag[:_FIRST_MARKER_LENGTH]}"


def marked_title(title: str, tag: str) -> str:
    """Return the title as it is sent; too long a one is refused when the ticket is opened."""
    return f"{title} {marks(tag)[0]}"


def is_marked(title: str, tag: str) -> bool:
    """Whether a title ends with this tag's marker: only a ticket opened for that approval does."""
    found = _MARKED.search(title)
    return hmac.compare_digest(found[1], marker(tag)) if found else is_marked_as_before(title, tag)


def is_marked_as_before(title: str, tag: str) -> bool:
    """Whether a title ends with this tag's marker as versions up to 0.2 have written it."""
    found = _FIRST_MARKED.search(title)
    return found is not None and hmac.compare_digest(found[1].encode(), tag[:_FIRST_MARKER_LENGTH].encode())


def shows_marker(title: str) -> bool:
    """Whether a title ends with any tag's marker: this provider opened the ticket."""
    return _MARKED.search(title) is not None or _FIRST_MARKED.search(title) is not None


def unmarked_title(title: str, *, is_ours: bool = False) -> str:
    """Return a title for people, without the marker at its end.

    :param is_ours: whether a record says that this provider opened the ticket. Without one, ``#20261124`` at the
        end, which looks like a marker of versions up to 0.2, is taken for a day and kept.
    """
    found = _MARKED.search(title) or (_FIRST_MARKED.search(title) if is_ours else None)
    return title[: found.start()].rstrip() if found else title


def asks_for(title: str, digest: str) -> bool:
    """Whether a ticket of an older version asks for what has this digest, so far as its title shows one."""
    shown = _FIRST_MARKED.search(title)
    return shown is None or shown[2] is None or shown[2] == digest.rpartition(":")[2][:_FIRST_DIGEST_LENGTH]


# ITSM dates a ticket by its own clock, some moments after its opening was begun.
_SAME_TICKET = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class TicketIdentity:
    """What is recorded of a ticket's opening, by which another one that has its number is known.

    A connection may lead to another ITSM than before, and a counter of numbers may begin anew.

    :param begun_at: when its opening was begun last (aware); None: not known.
    :param creator: in whose name it was asked for; empty: not known.
    :param service_id: None: not known.
    """

    tag: str
    begun_at: datetime | None = None
    creator: str = ""
    service_id: int | str | None = None

    @classmethod
    def of(cls, tag: str | None, begun_at: datetime | None, request: Mapping[str, Any] | None) -> Self | None:
        """Return the identity of a ticket that was opened with a request; None where that is not known."""
        if not tag or "fields" not in (request or {}):
            return None
        sent = dict(request or {})
        service_id = None if sent.get("fast_approval") else sent.get("service_id")
        return cls(tag=tag, begun_at=begun_at, creator=str(sent.get("creator") or ""), service_id=service_id)

    def is_another(self, info: TicketInfo) -> bool:
        """Whether a ticket of the same number is another one.

        A ticket with the mark is the one. People may edit its title: then creator, service and time tell, which
        nobody can edit.
        """
        if is_marked(info.title, self.tag):
            return False
        is_of_its_time = self.begun_at is None or abs(info.created_at - self.begun_at) <= _SAME_TICKET
        is_its_creators = not self.creator or is_shown_as(info.creator, self.creator)
        in_its_service = self.service_id is None or str(self.service_id).strip() == str(info.service_id)
        return not (is_of_its_time and is_its_creators and in_its_service)


def find_opened(tag: str, *, creator: str, since: datetime) -> DialectFlow[tuple[TicketSummary, ...]]:
    """Search the tickets opened with this tag, oldest first.

    :param creator: in whose name the ticket was asked for.
    :param since: when the first attempt to open it may have been made (aware).
    """
    earliest = since - _CLOCK_MARGIN
    found = yield from ask(lambda itsm: itsm.find_tagged(tag, creator=creator, since=earliest))
    ours = [one for one in found if is_shown_as(one.creator, creator) and is_marked(one.title, tag)]
    return tuple(sorted(ours, key=lambda one: one.id))
