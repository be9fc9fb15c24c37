# SPDX-License-Identifier: Apache-2.0
"""How the JSON API refuses: every status of 400 and more has one shape, whoever raised it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from airflow_provider_bkitsm.plugins.api_models import Error, Invalid

_MEANINGS = {
    401: "Nobody is signed in, or the token has expired.",
    403: "The caller may not see or do this, the token is not one of this Airflow's, or another site's page asks.",
    404: "There is no such thing, or none that the caller may know of.",
    409: "ITSM refuses, or the ticket does not stand as it would have to.",
    415: "The body is not JSON.",
    422: "A value cannot be used; `errors` says which.",
    429: "It was done less than a minute ago.",
    500: "An error of the server, or of its settings.",
    502: "The administrator's function has failed.",
    503: "ITSM or the collectors' store cannot be used now. Asking again later may help.",
    504: "The administrator's function did not end in time.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors of a route for its OpenAPI; 401 is one of every route."""
    return {status: {"model": Error, "description": _MEANINGS[status]} for status in (401, *statuses)}


def answer_in_one_shape(api: FastAPI) -> None:
    """Have an app answer each of its errors as an ``Error``."""

    @api.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> JSONResponse:
        return _answer(error.status_code, _text(error), headers=error.headers)

    @api.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        # Neither the value itself nor what pydantic adds to it: a body may hold anything.
        wrong = [Invalid(location=_location(one["loc"]), message=str(one["msg"])) for one in error.errors()]
        return _answer(422, "; ".join(f"{one.location}: {one.message}" for one in wrong), wrong)

    @api.exception_handler(Exception)
    async def failed(_request: Request, _error: Exception) -> JSONResponse:
        return _answer(500, HTTPStatus.INTERNAL_SERVER_ERROR.phrase)


def _answer(status: int, detail: str, errors: list[Invalid] | None = None, **more: Any) -> JSONResponse:
    return JSONResponse(Error(detail=detail, errors=errors or []).model_dump(), status, **more)


def _text(error: HTTPException) -> str:
    return error.detail if isinstance(error.detail, str) else HTTPStatus(error.status_code).phrase


def _location(parts: tuple[str | int, ...]) -> str:
    return ".".join(map(str, parts))
