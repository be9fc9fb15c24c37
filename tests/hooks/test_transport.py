# SPDX-License-Identifier: Apache-2.0
"""Both transports send the same, and say alike whether anything left."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from airflow_provider_bkitsm.hooks.transport import AsyncTransport, NoAnswerError, SyncTransport
from airflow_provider_bkitsm.itsm.v2 import calls
from tests.hooks.network import CLIENTS, Send, gateway_at, itsm_server, raw_server

READ = calls.ticket_approval_result(["REQ1"])
WRITE = calls.operate_ticket(sn="REQ1", action_type="WITHDRAW", operator="a", action_message="m")


@pytest.fixture(params=list(CLIENTS))
def send(request) -> Send:
    return CLIENTS[request.param]


def test_a_reply_is_brought_back_as_it_came(send, sandbox):
    reply = send(gateway_at(sandbox.itsm_url), READ)
    assert (reply.status_code, reply.content_type) == (200, "application/json")
    assert reply.body.startswith(b"{")


def test_a_cut_read_is_sent_again_and_a_cut_write_is_not(send, sandbox):
    sandbox.fault("ticket_approval_result", "drop_answer")
    assert send(gateway_at(sandbox.itsm_url), READ).status_code == 200
    sandbox.fault("operate_ticket", "drop_answer")
    with pytest.raises(NoAnswerError) as caught:
        send(gateway_at(sandbox.itsm_url), WRITE)
    assert (caught.value.sent, len(sandbox.requests("operate_ticket"))) == (True, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"root": "http://[::1"},
        {"extra_headers": {"X-Name": "\u7533\u8bf7"}},
        {"extra_headers": {"X-Name": "a\r\nb"}},
    ],
)
def test_what_never_left_is_known_not_to_have_left(send, wrong):
    with pytest.raises(NoAnswerError) as caught:
        send(replace(gateway_at("http://127.0.0.1:9"), **wrong), WRITE)
    assert (caught.value.sent, caught.value.dropped) == (False, False)


def test_p8_an_error_shows_no_proxy_credentials(send):
    with pytest.raises(NoAnswerError) as caught:
        send(gateway_at("http://127.0.0.1:9", proxy="http://user:s3cret@127.0.0.1:9"), READ)
    assert "s3cret" not in str(caught.value)


@pytest.fixture(params=["self-signed", "expired", "another host's", "no TLS"])
def tls_server(request, tmp_path):
    """Serve a certificate that is not to be trusted; yield its port, its CA and the reason TLS gives."""
    wrong = request.param
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "itsm")])
    now = datetime.now(UTC)
    host = (
        x509.DNSName("other.example.com") if wrong == "another host's" else x509.IPAddress(ip_address("127.0.0.1"))
    )
    certificate = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=-1 if wrong == "expired" else 9))
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = tmp_path / "cert.pem", tmp_path / "key.pem"
    pem.write_bytes(certificate.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        if wrong != "no TLS":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem, secret)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        reasons = {
            "self-signed": "self-signed certificate",
            "expired": "certificate has expired",
            "another host's": "IP address mismatch",
            "no TLS": "Is the port the one of https?",
        }
        yield server.server_port, None if wrong == "self-signed" else str(pem), reasons[wrong]
        server.shutdown()


def test_p2_a_refused_certificate_is_named_with_its_reason_and_nothing_was_sent(send, tls_server):
    port, authority, reason = tls_server
    extra = {"verify": authority} if authority else {}
    with pytest.raises(
        NoAnswerError, match=rf"connection 'itsm': no answer from https://127.0.0.1:{port}"
    ) as caught:
        send(gateway_at(f"https://127.0.0.1:{port}", **extra), WRITE)
    assert reason in str(caught.value)
    if "?" not in reason:
        assert "extra 'verify' takes the path of a CA bundle" in str(caught.value)
        assert caught.value.sent is False


@pytest.mark.parametrize(
    ("host", "reason"),
    [("http://127.0.0.1:9", "Connection refused"), ("http://itsm.invalid", "the host's name cannot be resolved")],
)
def test_why_nobody_answers_is_said(send, host, reason):
    with pytest.raises(NoAnswerError, match=f"connection 'itsm': no answer from {host} .*{reason}"):
        send(gateway_at(host), READ)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_p8_a_redirect_is_not_followed(send, status):
    with itsm_server() as elsewhere:
        moved = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n"
        with raw_server(lambda client: client.sendall(moved.encode())) as url:
            assert send(gateway_at(url), READ).status_code == status
        assert elsewhere.requests == []


async def test_p8_a_server_cannot_mark_who_comes_back():
    with itsm_server() as server:
        thread, loop = SyncTransport(gateway_at(server.url)), AsyncTransport(gateway_at(server.url))
        for _ in range(2):
            thread.send(READ)
            await loop.send(READ)
        thread.close()
        await loop.close()
    assert len(server.requests) == 4
    assert not any("cookie" in headers for _, headers in server.requests)


def test_own_headers_are_sent_once_and_stand(send):
    more = {"X-Env": "test", "accept-encoding": "br", "x-bkapi-authorization": "{}", "User-Agent": "me"}
    with itsm_server() as server:
        send(gateway_at(f"{server.url}/审批%20", headers=more), READ)
    ((line, headers),) = server.requests
    assert line == "POST /%E5%AE%A1%E6%89%B9%20/ticket_approval_result/"
    assert headers["host"] == server.url.removeprefix("http://")
    assert "sandbox-secret" in headers["x-bkapi-authorization"]
    assert (headers["accept-encoding"], headers["user-agent"], headers["x-env"]) == ("gzip", "me", "test")
