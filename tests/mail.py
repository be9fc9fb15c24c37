# SPDX-License-Identifier: Apache-2.0
"""A mail server that keeps the mails it is given, and outlives those who send them."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

# Speaking so much of SMTP (RFC 5321) is enough to be given a mail.
_ANSWERS = {
    **{b"EHLO": b"250 mail.example.com\r\n", b"HELO": b"250 mail.example.com\r\n"},
    **{b"MAIL": b"250 OK\r\n", b"RCPT": b"250 OK\r\n", b"RSET": b"250 OK\r\n"},
    **{b"DATA": b"354 Go on\r\n", b"QUIT": b"221 Bye\r\n"},
}


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A mail that was taken.

    :param to: whom it was given for, which its head need not name.
    """

    to: tuple[str, ...]
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def html(self) -> str:
        body = self.message.get_body(("html",))
        assert body is not None
        return str(body.get_content())


class MailServer:
    """Takes mails, and can be told to greet nobody any more: who wants to send one then waits before it is out."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self._changed = threading.Condition()
        self._greets_until: float = float("inf")
        # Local ports of clients.
        self._waiting: set[int] = set()
        self._greeted: set[int] = set()
        handler = type("Handler", (_Conversation,), {"server_of_mails": self})
        self._server = _Threads(("127.0.0.1", 0), handler)
        # On 127.0.0.1.
        self.port: int = self._server.server_address[1]

    @property
    def extra(self) -> dict[str, Any]:
        """What Airflow's connection to it has as its extra, beside host and port."""
        return {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.com"}

    def hold_after(self, mails: int) -> None:
        """Greet nobody any more once so many mails are there."""
        with self._changed:
            self._greets_until = mails

    def go_on(self) -> None:
        """Greet everybody again, those who wait first."""
        with self._changed:
            self._greets_until = float("inf")
            self._changed.notify_all()

    @property
    def waiting(self) -> set[int]:
        """Ports of the clients that are not greeted yet; some may be gone by now."""
        with self._changed:
            return set(self._waiting)

    @property
    def is_quiet(self) -> bool:
        """Whether nobody is just giving it a mail."""
        with self._changed:
            return not self._greeted

    @contextmanager
    def conversation(self, client: int) -> Iterator[None]:
        """Wait until a client may be greeted; then it is, until the end of the block."""
        with self._changed:
            self._waiting.add(client)
            self._changed.wait_for(lambda: len(self.mails) < self._greets_until)
            self._waiting.discard(client)
            self._greeted.add(client)
        try:
            yield
        finally:
            with self._changed:
                self._greeted.discard(client)

    def take(self, to: list[str], data: bytes) -> None:
        """Keep a mail."""
        message: Any = message_from_bytes(data, policy=policy.default)
        with self._changed:
            self.mails.append(Mail(to=tuple(to), message=message))

    def serve(self) -> None:
        """Serve until ``close``."""
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        """End all of it."""
        self.go_on()
        self._server.shutdown()
        self._server.server_close()


class _Threads(socketserver.ThreadingTCPServer):
    daemon_threads = True


class _Conversation(socketserver.StreamRequestHandler):
    server_of_mails: MailServer

    def handle(self) -> None:
        # Who waited may be gone by now.
        with suppress(OSError), self.server_of_mails.conversation(self.client_address[1]):
            self._answer(b"220 mail.example.com\r\n")
            self._converse()

    def _converse(self) -> None:
        to: list[str] = []
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"RCPT":
                to.append(line.decode().partition("<")[2].partition(">")[0])
            self._answer(_ANSWERS.get(verb, b"502 Unknown\r\n"))
            if verb == b"DATA":
                self.server_of_mails.take(to, self._data())
                self._answer(b"250 OK\r\n")
                to = []

    def _data(self) -> bytes:
        lines = iter(self.rfile.readline, b".\r\n")
        return b"".join(line[1:] if line.startswith(b"..") else line for line in lines)

    def _answer(self, line: bytes) -> None:
        self.wfile.write(line)
        self.wfile.flush()


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Run a mail server until the end of the block."""
    server = MailServer()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(10)
