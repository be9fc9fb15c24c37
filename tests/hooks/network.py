# SPDX-License-Identifier: Apache-2.0
"""A network on this machine: a CA, servers and a proxy that keep what they were sent, and both clients."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Any

from airflow.sdk import Connection
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.hooks.transport import AsyncTransport, Reply, SyncTransport
from airflow_provider_bkitsm.itsm.protocol import Call

Send = Callable[[Gateway, Call[Any]], Reply]
ANSWER = json.dumps({"result": True, "code": 0, "message": "", "data": []}).encode()


def send_in_thread(gateway: Gateway, call: Call[Any]) -> Reply:
    """Send as a worker does."""
    transport = SyncTransport(gateway)
    try:
        return transport.send(call)
    finally:
        transport.close()


def send_in_loop(gateway: Gateway, call: Call[Any]) -> Reply:
    """Send as a triggerer does."""

    async def send() -> Reply:
        transport = AsyncTransport(gateway)
        try:
            return await transport.send(call)
        finally:
            await transport.close()

    return asyncio.run(send())


CLIENTS: dict[str, Send] = {"worker": send_in_thread, "triggerer": send_in_loop}


def gateway_at(host: str, **extra: Any) -> Gateway:
    """Return a gateway read from an Airflow connection."""
    fields: dict[str, Any] = {
        "host": host,
        "login": "sandbox",
        "password": "sandbox-secret",
        "extra": json.dumps(extra),
    }
    return read_gateway(Connection(conn_id="itsm", conn_type="bkitsm", **fields))


@dataclass(frozen=True)
class Authority:
    """A CA: the file with its certificate, and that with a server's certificate and key."""

    bundle: Path
    server: Path

    @classmethod
    def make(cls, folder: Path, name: str) -> Authority:
        """Make an authority that has signed for 127.0.0.1 and localhost."""
        authority, its_key = _certificate(name, None)
        server, key = _certificate("itsm", (authority, its_key))
        bundle, pem = folder / f"{name}.pem", folder / f"{name}-server.pem"
        bundle.write_bytes(authority.public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pem.write_bytes(server.public_bytes(Encoding.PEM) + private)
        return cls(bundle, pem)


def _certificate(
    name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer_key = issuer[1] if issuer else key
    now = datetime.now(UTC)
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    built = (
        x509.CertificateBuilder(
            subject_name=subject, issuer_name=issuer[0].subject if issuer else subject, public_key=key.public_key()
        )
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer_key.public_key()), critical=False)
        .add_extension(_usage(is_authority=issuer is None), critical=True)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    )
    return built.sign(signer_key, hashes.SHA256()), key


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    names = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    unused = dict.fromkeys((*names, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=True, key_cert_sign=is_authority, crl_sign=is_authority, **unused)


@dataclass
class Heard:
    """A server's address, and the headers of each request it got, by method and target."""

    url: str
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)


class _Quiet(BaseHTTPRequestHandler):
    heard: Heard

    def log_message(self, *_args: Any) -> None:
        pass

    def note(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.heard.requests.append((f"{self.command} {self.path}", headers))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_args: Any) -> None:
        """Whoever does not trust a certificate hangs up."""


class _Itsm(_Quiet):
    def do_POST(self) -> None:
        self.note()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Set-Cookie", "session=1; Path=/")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    do_GET = do_POST


class _NoPlain(_Itsm):
    """Tells a plain request on its TLS port to come over TLS, as nginx does."""

    def do_POST(self) -> None:
        if isinstance(self.connection, ssl.SSLSocket):
            return super().do_POST()
        self.note()
        return self.send_error(400, "The plain HTTP request was sent to HTTPS port")

    do_GET = do_POST


class _Proxy(_Quiet):
    """Opens tunnels, and passes plain requests on by answering them itself."""

    def do_CONNECT(self) -> None:
        self.note()
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as upstream:
            self.send_response(200)
            self.end_headers()
            back = Thread(target=_pump, args=(upstream, self.connection), daemon=True)
            back.start()
            _pump(self.connection, upstream)
            back.join()

    do_POST = do_GET = _Itsm.do_POST


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class _ServerOfBoth(_Server):
    context: ssl.SSLContext

    def get_request(self) -> tuple[socket.socket, Any]:
        client, address = super().get_request()
        if client.recv(1, socket.MSG_PEEK) == b"\x16":
            client = self.context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        return client, address


def nginx_like_server(pem: Path) -> Any:
    """Serve that ITSM over TLS; a plain request to the same port gets an error page."""
    return _serving(_NoPlain, pem, both=True)


@contextmanager
def _serving(handler: type[_Quiet], pem: Path | None = None, *, both: bool = False) -> Iterator[Heard]:
    heard = Heard("")
    kind = _ServerOfBoth if both else _Server
    with kind(("127.0.0.1", 0), type("Handler", (handler,), {"heard": heard})) as server:
        if pem is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
        if isinstance(server, _ServerOfBoth):
            server.context = context
        elif pem is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        heard.url = f"{'https' if pem else 'http'}://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        yield heard
        server.shutdown()


def itsm_server(pem: Path | None = None) -> Any:
    """Serve an ITSM that answers everything with an empty list; with a certificate over TLS."""
    return _serving(_Itsm, pem)


def proxy_server(pem: Path | None = None) -> Any:
    """Serve an HTTP proxy; with a certificate over TLS."""
    return _serving(_Proxy, pem)


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve whatever a function writes after it was sent a request; yield the server's URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                Thread(target=talk, args=(client,), daemon=True).start()

    def talk(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.recv(65536)
            answer(client)

    Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
