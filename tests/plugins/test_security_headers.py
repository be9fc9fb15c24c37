# SPDX-License-Identifier: Apache-2.0
"""What every answer may load, and who may frame it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Response
from fastapi.testclient import TestClient

from airflow_provider_bkitsm.plugins.security import Secured, framing

ORIGIN = "https://itsm.example.com"


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()

    @app.get("/crash")
    def crash() -> None:
        raise RuntimeError

    @app.get("/refuse")
    def refuse() -> None:
        raise HTTPException(403, "no")

    @app.get("/number/{number}")
    def number(number: int) -> int:
        return number

    @app.get("/frames")
    def frames() -> Response:
        return Response("x", headers=framing(ORIGIN))

    return TestClient(Secured(app), raise_server_exceptions=False)


def policy(answer: Any) -> dict[str, str]:
    parts = (part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    return dict(parts)


@pytest.mark.parametrize(
    ("path", "status"), [("/number/1", 200), ("/number/x", 422), ("/refuse", 403), ("/none", 404), ("/crash", 500)]
)
def test_every_answer_is_secured_whatever_went_wrong(client, path, status):
    answer = client.get(path)
    assert answer.status_code == status
    said = policy(answer)
    assert (said["default-src"], said["script-src"], said["frame-ancestors"]) == ("'none'", "'self'", "'self'")
    assert "unsafe" not in str(said)
    assert "frame-src" not in said
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "same-origin")


def test_a_page_may_frame_the_one_origin_that_was_configured(client):
    said = policy(client.get("/frames"))
    assert (said["frame-src"], said["frame-ancestors"]) == (ORIGIN, "'self'")
    assert framing("") == {}
