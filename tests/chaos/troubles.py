# SPDX-License-Identifier: Apache-2.0
"""What can become of a request on its way."""

from __future__ import annotations

from airflow_provider_bkitsm.hooks.transport import Reply, Request
from tests.chaos.seams import Order, SeamedTransport


def answer_dropped(transport: SeamedTransport, request: Request) -> Reply:
    """The work is done, the answer is lost."""
    transport.carry(request)
    raise transport.lost(sent=True)


def never_arrived(transport: SeamedTransport, _request: Request) -> Reply:
    """The request is lost on its way."""
    raise transport.lost(sent=True)


def not_sent(transport: SeamedTransport, _request: Request) -> Reply:
    """Nobody listens."""
    raise transport.lost(sent=False)


def crash_page(_transport: SeamedTransport, _request: Request) -> Reply:
    """HTML, with HTTP 200."""
    return Reply(status_code=200, content_type="text/html", body=b"<html>502</html>")


def gateway_down(_transport: SeamedTransport, _request: Request) -> Reply:
    """The gateway answers for ITSM."""
    return Reply(status_code=502, content_type="text/html", body=b"")


TROUBLES: tuple[Order, ...] = (answer_dropped, never_arrived, not_sent, crash_page, gateway_down)
