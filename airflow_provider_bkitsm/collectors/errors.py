"""What can go wrong with a collector's approval state."""

from __future__ import annotations

from airflow_provider_bkitsm.itsm.errors import ItsmError


class CollectItsmHasApply(ItsmError):
    """The collector is already being applied for; no second ticket is opened (log platform code 3631502)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="3631502")


class CollectItsmConflict(ItsmError):
    """The collector's state does not allow this step, or it belongs to another application by now."""


class CollectItsmNotFound(ItsmError):
    """The store knows no application of this collector."""


class CollectItsmDigestMismatch(ItsmError):
    """The ETL payload is not the one that was approved. Nothing was provisioned."""


class InvalidCleanConfig(ItsmError):
    """The ETL payload would be refused by the log platform. No ticket was opened."""


class StoreUnavailable(ItsmError):
    """The database that keeps the collectors' state cannot be used. It was not changed; a retry is safe."""

    retry_safe = True
