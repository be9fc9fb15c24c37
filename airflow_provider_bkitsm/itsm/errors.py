"""The one tree of errors: what ITSM answered, and whether trying again is safe.

Every error carries ITSM's ``code`` (an int on most endpoints, a string on seven of them), the server's
``message`` and the ``request_id`` where the gateway gave one. Messages are Chinese or mixed: they are shown,
never matched.
"""

from __future__ import annotations

from typing import ClassVar

Code = int | str


class ItsmError(Exception):
    """Base of everything this provider raises on purpose.

    ``retry_safe`` tells whether the same call may simply be made again without doing anything twice.
    """

    retry_safe: ClassVar[bool] = False

    def __init__(self, message: str, *, code: Code | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.request_id = request_id

    def __str__(self) -> str:
        facts = {"code": self.code, "request": self.request_id}
        known = ", ".join(f"{name} {value}" for name, value in facts.items() if value not in (None, ""))
        return f"{self.message} [{known}]" if known else self.message


class ItsmConfigurationError(ItsmError):
    """The connection or the task is filled in wrongly. Nothing was sent."""


class ItsmAuthenticationError(ItsmError):
    """The gateway refused the app code, the app secret or the user. Nothing was done."""


class ItsmPermissionError(ItsmError):
    """The app or the person may not make this call. Nothing was done."""


class ItsmNotFoundError(ItsmError):
    """What was asked for does not exist."""


class ItsmEndpointNotFoundError(ItsmNotFoundError):
    """The gateway has no such path or method: the connection's host is most likely wrong."""


class ItsmTicketNotFoundError(ItsmNotFoundError):
    """ITSM knows no ticket with this number (code 3900022, or left out of a list answer)."""


class CollectItsmNotExists(ItsmNotFoundError):
    """The ITSM service (approval process) does not exist. No ticket was opened."""


class ItsmInvalidRequestError(ItsmError):
    """ITSM refused the request as invalid; the same request will be refused again."""


class ItsmRefusedError(ItsmInvalidRequestError):
    """ITSM's catch-all 3900004: not allowed, already over, or invalid. Re-read the ticket to know which."""


class ItsmConflictError(ItsmError):
    """The ticket is not in a state that allows this."""


class ItsmAmbiguousError(ItsmError):
    """More than one ticket carries this number, so no answer about it can be trusted."""


class ItsmUnavailableError(ItsmError):
    """ITSM or its gateway is down or answered nonsense. Nothing is known to have been done."""

    retry_safe = True


class ItsmTimeoutError(ItsmUnavailableError):
    """No answer in time. A smaller question may be answered sooner."""


class ItsmUnexpectedAnswerError(ItsmUnavailableError):
    """A well-formed answer without the keys or types this call is known to have."""


class ItsmRateLimitedError(ItsmUnavailableError):
    """Too many calls; ``retry_after`` is the pause the gateway asked for in seconds, if it named one."""

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
    """The answer to a write was lost: it may or may not have been done. Look before doing it again."""


class CollectItsmTokenIllega(ItsmError):
    """ITSM did not recognise the token of a callback. The callback changed nothing."""
