# SPDX-License-Identifier: Apache-2.0
"""``CmsiHook``: BlueKing's message centre (CMSI) over the API gateway ``bk-cmsi`` or the ESB.

No message centre was run: what is sent is what its public clients send, and docs/reminders.md#message-centre says
which of it is assumed. It finds the addresses of people by their user names.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import urlsplit

from airflow_provider_bkitsm.hooks.base import BlueKingHook
from airflow_provider_bkitsm.hooks.connection import Gateway, gateway_root
from airflow_provider_bkitsm.hooks.transport import NoAnswerError, Reply, SyncTransport
from airflow_provider_bkitsm.itsm.errors import (
    ItsmConfigurationError,
    ItsmError,
    ItsmOutcomeUnknownError,
    ItsmRefusedError,
    ItsmUnavailableError,
    printable,
)
from airflow_provider_bkitsm.itsm.protocol import Call, Front, read_json
from airflow_provider_bkitsm.itsm.v2.dialect import V2

log = logging.getLogger(__name__)

Style = Literal["gateway", "esb"]
MAIL, WEIXIN = "mail", "weixin"

_ESB_PATH = "/api/c/compapi/v2/cmsi"
_GATEWAY_PATH = "/api/bk-cmsi/prod"
_LARGEST_OK, _SERVER_ERRORS = 299, 500


class CmsiHook(BlueKingHook):
    """Synchronous client of the message centre, by the credentials of an ITSM connection.

    :param bkitsm_conn_id: connection of type ``bkitsm``. It is read at the first call, not before.
    :param style: how it is called: at the API gateway, or at the ESB; None: as the connection's ITSM is.
    :param cmsi_url: its address, to the part before ``v1/send_mail/`` at the gateway, before ``send_mail/`` at the
        ESB. None: beside ITSM on the same host.
    """

    conn_name_attr = "bkitsm_conn_id"
    default_conn_name = "bkitsm_default"
    conn_type = "bkitsm"
    hook_name = "BlueKing CMSI"

    def __init__(
        self,
        bkitsm_conn_id: str = default_conn_name,
        *,
        style: Style | None = None,
        cmsi_url: str | None = None,
    ) -> None:
        super().__init__()
        self.bkitsm_conn_id = bkitsm_conn_id
        self.style = style
        self.cmsi_url = cmsi_url
        self._own: SyncTransport | None = None

    def send(
        self, channel: str, *, people: Sequence[str], title: str, content: str, sender: str | None = None
    ) -> None:
        """Send a message to people.

        :param channel: ``mail``, ``weixin``, or at the ESB another ``msg_type`` of its ``send_msg``.
        :param people: their user names.
        :param content: HTML for ``mail``, else plain text.
        :raises ItsmError: it was not sent; ``ItsmOutcomeUnknownError``: it may have been.
        """
        transport = self._transport_to_cmsi()
        front = transport.gateway.front
        action, body = _message(channel, front, people=people, title=title, content=content, sender=sender)
        path = f"v1/{action}/" if front is Front.GATEWAY else f"{action}/"
        call: Call[Any] = Call(method="POST", path=path, body=body, parse=lambda data: data, is_write=True)
        try:
            reply = transport.send(call)
        except NoAnswerError as error:
            kind = ItsmOutcomeUnknownError if error.sent else ItsmUnavailableError
            raise kind(f"the message centre does not answer ({error})") from None
        self._read(reply, action)

    def close(self) -> None:
        """Close the HTTP session."""
        super().close()
        if self._own is not None:
            self._own.close()

    def _report(self) -> str:
        """Say where messages would be sent; nothing is sent to try it."""
        return f"messages go to {self._transport_to_cmsi().gateway.root}"

    def _transport_to_cmsi(self) -> SyncTransport:
        if self._own is None:
            gateway = self.gateway
            front = Front(self.style) if self.style else gateway.front
            # Another platform's: what only ITSM is to know stays out of its headers.
            self._own = SyncTransport(replace(gateway, root=self._root(gateway, front), front=front, dialect=V2))
        return self._own

    def _root(self, gateway: Gateway, front: Front) -> str:
        if self.cmsi_url:
            try:
                return gateway_root(self.cmsi_url, port=None, schema=None)
            except ValueError as error:
                raise ItsmConfigurationError(f"cmsi_url: {error}; nothing was sent") from None
        here = urlsplit(gateway.root)
        if front is Front.GATEWAY and not here.path.startswith("/api/"):
            raise ItsmConfigurationError(
                f"connection {gateway.conn_id!r}: the message centre's address cannot be told from ITSM's; give"
                " cmsi_url. Nothing was sent"
            )
        return f"{here.scheme}://{here.netloc}{_GATEWAY_PATH if front is Front.GATEWAY else _ESB_PATH}"

    def _read(self, reply: Reply, action: str) -> None:
        try:
            answer = read_json(reply.body)
        except (ValueError, RecursionError):
            answer = None
        if (
            not isinstance(answer, dict)
            or reply.status_code > _LARGEST_OK
            or answer.get("result", True) is not True
        ):
            raise _refusal(reply, action, answer).without(self.gateway.secrets)
        _warn_of_unknown(answer)


def _warn_of_unknown(answer: Mapping[str, Any]) -> None:
    data = answer.get("data")
    check = data.get("username_check") if isinstance(data, dict) else None
    unknown = check.get("invalid") if isinstance(check, dict) else None
    if isinstance(unknown, list) and unknown:
        log.warning("The message centre could not write to %s", printable(", ".join(map(str, unknown))))


def _message(
    channel: str, front: Front, *, people: Sequence[str], title: str, content: str, sender: str | None
) -> tuple[str, dict[str, Any]]:
    """Return the call and its body: the gateway takes people as a list, the ESB as a text with commas."""
    receivers = list(people) if front is Front.GATEWAY else ",".join(people)
    to = {"receiver__username": receivers} | ({"sender": sender} if sender else {})
    if channel == MAIL:
        return "send_mail", {**to, "title": title, "content": content, "body_format": "Html"}
    if channel == WEIXIN:
        data = {"heading": title, "message": content}
        return "send_weixin", {**to, ("message_data" if front is Front.GATEWAY else "data"): data}
    if front is Front.GATEWAY:
        raise ItsmConfigurationError(
            f"the gateway bk-cmsi is known to send {MAIL} and {WEIXIN}, not {channel!r}; nothing was sent"
        )
    return "send_msg", {**to, "msg_type": channel, "title": title, "content": content}


def _refusal(reply: Reply, action: str, answer: Any) -> ItsmError:
    told = answer.get("message") if isinstance(answer, dict) else None
    why = str(told)[:500] if told else f"HTTP {reply.status_code}"
    kind = ItsmUnavailableError if reply.status_code >= _SERVER_ERRORS else ItsmRefusedError
    code = answer.get("code") if isinstance(answer, dict) else None
    shown = code if isinstance(code, int | str) else None
    return kind(f"the message centre did not do {action}: {why}", code=shown, request_id=reply.request_id)
