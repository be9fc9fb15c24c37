# SPDX-License-Identifier: Apache-2.0
"""Finding the ticket that was already opened for an approval, so that no second one is (promise P2).

ITSM has no idempotency key. Two handles survive a lost answer: a tag, which some versions search by, and a marker
in the title, which shows that a found ticket is really ours even where an older server ignores the tag. Both come
from a secret of the connection, so that nobody can prepare a ticket that carries them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import datetime, timedelta

from airflow_provider_bkitsm.itsm.dialect import DialectFlow, ask
from airflow_provider_bkitsm.itsm.models import TicketSummary
from airflow_provider_bkitsm.itsm.people import is_shown_as

TAG_LENGTH = 32
"""Characters of a tag."""

# How far ITSM's clock may be behind ours before a search by creation time misses a ticket.
_CLOCK_MARGIN = timedelta(days=1)
_MARKER_LENGTH = 8
_DIGEST_LENGTH = 8
# Only at the end counts: what stands before it may be anybody's text.
_MARKED = re.compile(r"#([0-9a-f]{8})(?:-([0-9a-f]{8}))?\Z")


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
    """Return the part of a tag that stands, after a ``#``, at the end of the ticket's title."""
    return tag[:_MARKER_LENGTH]


def marked_title(title: str, tag: str, *, digest: str = "") -> str:
    """Return the title as it is sent; too long a one is refused when the ticket is opened.

    :param digest: of what is asked, as ``sha256:...``; its beginning is shown behind the marker, for people.
    """
    shown = f"-{digest.rpartition(':')[2][:_DIGEST_LENGTH]}" if digest else ""
    return f"{title} #{marker(tag)}{shown}"


def is_marked(title: str, tag: str) -> bool:
    """Whether a title ends with this tag's marker: only a ticket opened for that approval does."""
    found = _MARKED.search(title)
    return found is not None and hmac.compare_digest(found[1], marker(tag))


def shows_marker(title: str) -> bool:
    """Whether a title ends with any tag's marker: this provider opened the ticket."""
    return _MARKED.search(title) is not None


def asks_for(title: str, digest: str) -> bool:
    """Whether a ticket of an older version asks for what has this digest, so far as its title shows one."""
    shown = _MARKED.search(title)
    return shown is None or shown[2] is None or shown[2] == digest.rpartition(":")[2][:_DIGEST_LENGTH]


def find_opened(tag: str, *, creator: str, since: datetime) -> DialectFlow[tuple[TicketSummary, ...]]:
    """Search the tickets opened with this tag, oldest first.

    :param creator: in whose name the ticket was asked for.
    :param since: when the first attempt to open it may have been made (aware).
    """
    earliest = since - _CLOCK_MARGIN
    found = yield from ask(lambda itsm: itsm.find_tagged(tag, creator=creator, since=earliest))
    ours = [one for one in found if is_shown_as(one.creator, creator) and is_marked(one.title, tag)]
    return tuple(sorted(ours, key=lambda one: one.id))
