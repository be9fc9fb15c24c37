# SPDX-License-Identifier: Apache-2.0
"""The one tree of errors: what ITSM answered, and whether trying again is safe.

Every error carries ITSM's ``code`` (an int on most endpoints, a string on seven of them), the server's
``message`` and the ``request_id`` where the gateway gave one. Messages are Chinese or mixed: they are shown,
never matched.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any, ClassVar, Self

Code = int | str


def printable(text: object) -> str:
    """Return a text as one line that shows all of it: for logs, errors and terminals.

    Whatever comes from elsewhere may hold line ends, terminal sequences, or marks that turn the reading direction:
    with them a remark writes lines of a log. Every character that has no shape of its own is spelled instead
    (``\\n``, ``\\x1b``, ``\\u202e``). A text that was spelled once stays as it is.
    """
    line = str(text)
    if line.isprintable():
        return line
    return "".join(one if one.isprintable() or _is_blank(one) else _spelled(one) for one in line)


def _is_blank(character: str) -> bool:
    """Whether it is one of Unicode's blanks, such as the wide one of Chinese texts."""
    return unicodedata.category(character) == "Zs"


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode()


class ItsmError(Exception):
    """Base of everything this provider raises on purpose.

    ``retry_safe`` tells whether the same call may simply be made again without doing anything twice. The text is
    :func:`printable`, whoever wrote parts of it. ``lines`` stand below it.
    """

    retry_safe: ClassVar[bool] = False
    lines: tuple[str, ...] = ()

    def __init__(self, message: str, *, code: Code | None = None, request_id: str | None = None) -> None:
        self.message = printable(message)
        super().__init__(self.message)
        self.code = code
        self.request_id = request_id

    def without(self, secrets: Iterable[str]) -> Self:
        """Return this error with asterisks where it would show one of these texts."""
        for secret in secrets:
            self.message = self.message.replace(secret, "***")
            self.request_id = self.request_id and self.request_id.replace(secret, "***")
            self.code = self.code.replace(secret, "***") if isinstance(self.code, str) else self.code
        self.args = (self.message,)
        return self

    def with_lines(self, lines: Iterable[str]) -> Self:
        """Return this error with lines below its message."""
        self.lines = tuple(map(printable, lines))
        return self

    def __str__(self) -> str:
        facts = {"code": self.code, "request": self.request_id}
        known = ", ".join(f"{name} {value}" for name, value in facts.items() if value not in (None, ""))
        first = f"{self.message} [{printable(known)}]" if known else self.message
        return "\n".join((first, *self.lines))


# What a code is made of; anything else could be a part of somebody's data.
_CODE = re.compile(r"[A-Z0-9_-]{1,20}")


def kind_and_code(error: ItsmError) -> dict[str, Any]:
    """Return an error for a report that holds nothing of a site: a message could hold anything."""
    code = "" if error.code is None else str(error.code)
    return {"error": type(error).__name__, "code": code if _CODE.fullmatch(code) else None}


class ItsmConfigurationError(ItsmError):
    """The connection or the task is filled in wrongly. Nothing was sent."""


class ItsmAnotherDialectError(ItsmConfigurationError):
    """The connection's extra ``dialect`` is not the one the ticket was opened in. The ticket is as it was.

    A retry goes on once the connection says the ticket's dialect again.
    """


class ItsmAuthenticationError(ItsmError):
    """The gateway refused the app code, the app secret or the user. Nothing was done; mend the connection."""


class ItsmPermissionError(ItsmError):
    """The app or the person may not make this call. Nothing was done, and a retry is refused as well."""


class ItsmNotFoundError(ItsmError):
    """What was asked for does not exist. Nothing was done."""


class ItsmEndpointNotFoundError(ItsmNotFoundError):
    """The gateway has no such path or method: the connection's host is most likely wrong. Nothing was done."""


class ItsmTicketNotFoundError(ItsmNotFoundError):
    """ITSM knows no ticket with this number (code 3900022, or left out of a list answer). Nothing was done."""


class CollectItsmNotExists(ItsmNotFoundError):
    """The ITSM service (approval process) does not exist. No ticket was opened."""


class ItsmInvalidRequestError(ItsmError):
    """ITSM refused the request as invalid, or it was not even sent. No ticket was opened or changed.

    The same request will be refused again.
    """


class ItsmRefusedError(ItsmInvalidRequestError):
    """ITSM's catch-all 3900004: not allowed, already over, invalid, or in trouble. The ticket was not changed.

    See docs/itsm-behaviour.md#catch-all-code. Re-read the ticket to know which, as
    :func:`~airflow_provider_bkitsm.itsm.actions.operate` does.
    """


class ItsmConflictError(ItsmError):
    """The ticket, as re-read after a refusal, is not in a state that allows this. It was not changed."""


class ItsmAnotherQuestionError(ItsmError):
    """A ticket that is to answer a task asks something else. It is as it was; a retry is refused again."""


class ItsmOrphanError(ItsmError):
    """A ticket was created whose flow never started: it asks nobody and can be neither withdrawn nor terminated.

    Only ITSM's administrators can delete it.
    """


class ItsmAmbiguousError(ItsmError):
    """More than one ticket carries this number, so no answer about it is believed. None of them was changed."""


class ItsmUnavailableError(ItsmError):
    """ITSM or its gateway is down or answered nonsense. Nothing was done: it was a read, or never sent."""

    retry_safe = True


class ItsmCrashError(ItsmUnavailableError):
    """ITSM itself answers, and fails over this question. Nothing was done: it was a read.

    One of the tickets that were asked about may be the cause, and others can still be read.
    """


class ItsmTimeoutError(ItsmUnavailableError):
    """No answer in time, or one too large to be read. A smaller question may be answered."""


class ItsmUnexpectedAnswerError(ItsmUnavailableError):
    """A well-formed answer to a read without the keys or types the call is known to have. Nothing was done.

    Of a list ``rows`` are those that could be read all the same, and ``unreadable`` the numbers of tickets in the
    others, so far as they have one; ``rows`` is None where there is no list.
    """

    def __init__(
        self,
        message: str,
        *,
        code: Code | None = None,
        request_id: str | None = None,
        rows: tuple[Any, ...] | None = None,
        unreadable: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(message, code=code, request_id=request_id)
        self.rows = rows
        self.unreadable = unreadable


class ItsmRateLimitedError(ItsmUnavailableError):
    """Too many calls; the gateway did not let this one through, so nothing was done.

    ``retry_after`` is the pause it asked for in seconds, if it named one.
    """

    def __init__(
        self,
        message: str,
        *,
        code: Code | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code=code, request_id=request_id)
        self.retry_after = retry_after


class ItsmOutcomeUnknownError(ItsmError):
    """The answer to a write was lost: the ticket may or may not have been opened or changed.

    Look before doing it again.
    """


class CollectItsmTokenIllega(ItsmError):
    """ITSM did not recognise the token of a callback. The callback changed nothing, the ticket is as it was."""
