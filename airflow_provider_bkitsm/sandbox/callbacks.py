"""Posting a ticket's callback as ITSM does: once, without timeout, lost for good unless accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_bkitsm.sandbox.tickets import Ticket, shanghai

if TYPE_CHECKING:
    from airflow_provider_bkitsm.sandbox.world import World

_ACCEPTING = frozenset({200, 201})


def callback_body(world: World, ticket: Ticket) -> dict[str, Any]:
    """Return the nine keys of a callback."""
    return {
        "title": ticket.title,
        "current_status": ticket.status,
        "sn": ticket.sn,
        "ticket_url": f"{world.settings.public_url}/weixin/#/ticket/{ticket.id}/",
        "update_at": shanghai(ticket.update_at, microseconds=True),
        "updated_by": f",{','.join(ticket.updated_by)}," if ticket.updated_by else "",
        "approve_result": ticket.approve_result,
        "token": world.token(),
        "last_approver": ticket.last_approver,
    }


async def post_callback(world: World, ticket: Ticket) -> None:
    """Post the callback; what is not accepted goes to the lost-callback list."""
    url = ticket.meta.get("callback_url")
    if not url:
        return
    headers = {"User-Agent": "python-requests/2.27.1", "Content-Type": "application/json"}
    given = ticket.meta.get("headers") or {}
    if not await _accepted(str(url), headers, given, callback_body(world, ticket)):
        world.lose_callback(ticket.sn)


async def _accepted(url: str, headers: dict[str, str], given: Any, body: dict[str, Any]) -> bool:
    import httpx

    try:
        # As ITSM: certificates are not checked, and a slow receiver is waited for without end.
        async with httpx.AsyncClient(verify=False, timeout=None, follow_redirects=True) as client:  # noqa: S113, S501
            answer = await client.post(url, json=body, headers={**headers, **given})
            code = answer.json().get("code")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError, AttributeError, UnicodeError):
        return False
    return answer.status_code in _ACCEPTING and code == 0 and isinstance(code, int)
