# SPDX-License-Identifier: Apache-2.0
"""What one answer may take: bytes, as sent and as decoded, and time from the first step to the last byte.

An HTTP client's timeouts are about single steps. A server that sends a byte now and then keeps each of them, in
headers as in a body, so every step here is cut by the end of the whole call.
"""

from __future__ import annotations

import socket
import ssl
import time
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import httpcore

LARGEST_ANSWER = 16 * 1024 * 1024
# An object of a few bytes takes a hundred times their memory once it is read: 16 MiB of rows were 3 GB.
# Brackets and commas in texts are counted as well.
MOST_OBJECTS, MOST_VALUES = 100_000, 1_000_000
# The one encoding that is offered, and its names in an answer.
OFFERED = "gzip"
_GZIP = ("gzip", "x-gzip")
_GZIP_FORMAT = 16 + zlib.MAX_WBITS
# A server that takes little at a time may not hold up a write for longer than a step.
_PIECE = 64 * 1024


class UnreadableAnswerError(Exception):
    """An answer cannot be read to its end. ``too_large``: a smaller question may have one that can be."""

    def __init__(self, reason: str, *, too_large: bool = False) -> None:
        super().__init__(reason)
        self.too_large = too_large


class Body:
    """The body of an answer, decoded piece by piece: neither side of it grows beyond ``LARGEST_ANSWER``.

    :param headers: names in lower case.
    :raises UnreadableAnswerError: it is encoded in a way that was not offered.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity", *_GZIP):
            raise UnreadableAnswerError("its content encoding was not offered")
        self._gzip = zlib.decompressobj(_GZIP_FORMAT) if encoding in _GZIP else None
        self._sent = 0
        self._content = bytearray()

    def add(self, piece: bytes) -> None:
        """Take the next bytes from the network.

        :raises UnreadableAnswerError: they are too many, or no gzip.
        """
        self._sent += len(piece)
        self._content += self._decoded(piece)
        if max(self._sent, len(self._content)) > LARGEST_ANSWER:
            raise UnreadableAnswerError(f"larger than {LARGEST_ANSWER // 1024**2} MiB", too_large=True)

    def _decoded(self, piece: bytes) -> bytes:
        if self._gzip is None:
            return piece
        try:
            decoded = self._gzip.decompress(piece, LARGEST_ANSWER + 1 - len(self._content))
        except zlib.error:
            raise UnreadableAnswerError("not the gzip that it says it is") from None
        if self._gzip.unused_data:
            raise UnreadableAnswerError("more than the gzip that it says it is")
        return decoded

    def whole(self) -> bytes:
        """Return the body, after its last piece.

        :raises UnreadableAnswerError: its end is missing, or it is JSON of too many parts.
        """
        if self._gzip is not None and self._sent and not self._gzip.eof:
            raise UnreadableAnswerError("its gzip has no end")
        content = self._content
        objects, values = content.count(b"{") + content.count(b"["), content.count(b",")
        if objects > MOST_OBJECTS or values > MOST_VALUES:
            raise UnreadableAnswerError("it has too many parts", too_large=True)
        return bytes(content)


class StepTimeout(float):
    """Seconds that one step of a call may take at most. HTTP clients pass it on to :class:`TimedStream`.

    :param ends_at: when the whole call ends, in seconds of the monotonic clock.
    """

    ends_at: float

    def __new__(cls, seconds: float, *, ends_at: float) -> StepTimeout:
        """Return seconds that know when their call ends."""
        step = super().__new__(cls, seconds)
        step.ends_at = ends_at
        return step

    def left(self) -> float:
        """Return the seconds that a step beginning now may take."""
        return min(self, self.ends_at - time.monotonic())


def step_timeouts(connect: float, read: float) -> dict[str, float]:
    """Return the timeouts of a call that begins now, as ``httpcore`` takes them."""
    whole = connect + read
    ends_at = time.monotonic() + whole
    connecting, moving = StepTimeout(connect, ends_at=ends_at), StepTimeout(read, ends_at=ends_at)
    return {"connect": connecting, "read": moving, "write": moving, "pool": whole}


def _left(timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
    left = timeout.left() if isinstance(timeout, StepTimeout) else timeout
    if left is not None and left <= 0:
        raise late
    return left


class TimedStream(httpcore.NetworkStream):
    """A connection whose steps end with their call."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next bytes."""
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes."""
        for start in range(0, len(buffer), _PIECE):
            self._stream.write(buffer[start : start + _PIECE], _left(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Return the connection with TLS on it."""
        left = _left(timeout, httpcore.ConnectTimeout)
        return TimedStream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        """Return a fact about the connection."""
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()


class TimedBackend(httpcore.SyncBackend):
    """Opens connections whose steps end with their call. All addresses of a host share the time to connect."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that can be reached."""
        failure: Exception = httpcore.ConnectError("the host has no address")
        addresses = _addresses(host, port)
        for tried, address in enumerate(addresses):
            left = _left(timeout, httpcore.ConnectTimeout)
            share = left and left / (len(addresses) - tried)
            try:
                return TimedStream(super().connect_tcp(address, port, share, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    return [str(address[0]) for *_, address in found]
