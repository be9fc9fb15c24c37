# SPDX-License-Identifier: Apache-2.0
"""The errors of a collector's application, all of them in the ``ItsmError`` tree."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_bkitsm.itsm.errors import Code, ItsmError


class CollectItsmHasApply(ItsmError):
    """Another run is already applying for this collector. No ticket was opened.

    The code is the log platform's own for this refusal (docs/log-platform-behaviour.md#error-codes), so both can
    be recognised alike.
    """

    def __init__(self, message: str, *, code: Code | None = "3631502", request_id: str | None = None) -> None:
        super().__init__(message, code=code, request_id=request_id)


class CollectItsmConflict(ItsmError):
    """The collector is not where this step expects it, most often because its ticket is an older one.

    Nothing was changed, and a retry is refused again until the cause named in the message is gone.
    """


class CollectItsmNotFound(ItsmError):
    """There has never been an application for this collector, so there is nothing to change."""


class CollectItsmDigestMismatch(ItsmError):
    """The ETL payload at hand is not the one the approver saw. It must not be applied."""


class InvalidCleanConfig(ItsmError):
    """The ETL payload would be refused by the log platform. No ticket was opened.

    ``problems`` holds one sentence per fault, each beginning with the key at fault.
    """

    def __init__(
        self,
        message: str,
        *,
        code: Code | None = None,
        request_id: str | None = None,
        problems: Sequence[str] = (),
    ) -> None:
        super().__init__(message, code=code, request_id=request_id)
        self.problems = tuple(problems)


class CollectorStorageUnknown(ItsmError):
    """The log platform could not read the storage of a collector's table just then. Nothing was changed."""

    retry_safe = True


class StoreTooNew(ItsmError):
    """A newer provider made the store's tables. Nothing was changed; upgrade the provider on this machine."""


class StoreUnavailable(ItsmError):
    """The database of approval records and collector states is out of reach. The ticket itself is untouched.

    Every step of the store may be repeated, so a retry is safe even where a commit's answer was lost.
    """

    retry_safe = True


class StoreRaceLost(StoreUnavailable):
    """Another writer was faster. The store tries a change again by itself; a read is left to its task's retry."""
