# SPDX-License-Identifier: Apache-2.0
"""Worker and triggerer trust the same certificates and take the same proxy, whatever their environment holds."""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509

from airflow_provider_bkitsm.hooks.bklog import BkLogHook, BkLogUnavailableError
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.itsm import ItsmHook
from airflow_provider_bkitsm.hooks.route import CA_VARIABLES, Proxy, find_route
from airflow_provider_bkitsm.hooks.transport import AsyncTransport, NoAnswerError, SyncTransport
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.itsm.v2 import calls
from tests.hooks.network import CLIENTS, Authority, Heard, Send, gateway_at, itsm_server, proxy_server

READ = calls.ticket_approval_result(["REQ1"])
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
PROXY = "http://proxy.example.com:3128"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in (*CA_VARIABLES, *PROXIES, *map(str.upper, PROXIES)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=list(CLIENTS))
def send(request) -> Send:
    return CLIENTS[request.param]


@dataclass(frozen=True)
class Network:
    ours: Authority
    others: Authority
    https: Heard
    http: Heard
    proxy: Heard


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("authorities")
    ours, others = Authority.make(folder, "ours"), Authority.make(folder, "others")
    with itsm_server(ours.server) as https, itsm_server() as http, proxy_server() as proxy:
        yield Network(ours, others, https, http, proxy)


@pytest.fixture
def network(served) -> Network:
    for one in (served.https, served.http, served.proxy):
        one.requests.clear()
    return served


def texts(network: Network, given: dict[str, str]) -> dict[str, str]:
    """Fill in the places of a row of a table."""
    names = {
        "ours": network.ours.bundle,
        "others": network.others.bundle,
        "proxy": network.proxy.url,
        "port": network.https.url.rpartition(":")[2],
    }
    return {name: text.format(**names) for name, text in given.items()}


@pytest.mark.parametrize(
    ("environment", "extra", "is_trusted"),
    [
        ({}, {}, False),
        *(({name: "{ours}"}, {}, True) for name in CA_VARIABLES[:3]),
        *(({name: "{others}"}, {}, False) for name in CA_VARIABLES[:3]),
        ({"REQUESTS_CA_BUNDLE": "{ours}", "SSL_CERT_FILE": "{others}"}, {}, True),
        ({"REQUESTS_CA_BUNDLE": "{others}", "SSL_CERT_FILE": "{ours}"}, {}, False),
        ({"CURL_CA_BUNDLE": "{ours}", "SSL_CERT_FILE": "{others}"}, {}, True),
        ({"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": " ", "SSL_CERT_FILE": "{ours}"}, {}, True),
        ({"REQUESTS_CA_BUNDLE": "{others}", "SSL_CERT_FILE": "{others}"}, {"verify": "{ours}"}, True),
        ({"REQUESTS_CA_BUNDLE": "{ours}", "SSL_CERT_FILE": "{ours}"}, {"verify": "{others}"}, False),
        ({"REQUESTS_CA_BUNDLE": "{others}", "SSL_CERT_FILE": "{others}"}, {"verify": "false"}, True),
        ({"SSL_CERT_FILE": "{ours}"}, {"verify": "true"}, True),
    ],
)
def test_p1_both_clients_trust_the_same_server(send, network, monkeypatch, environment, extra, is_trusted):
    for name, value in texts(network, environment).items():
        monkeypatch.setenv(name, value)
    gateway = gateway_at(network.https.url, **texts(network, extra))
    if is_trusted:
        assert send(gateway, READ).status_code == 200
    else:
        with pytest.raises(NoAnswerError, match="certificate verify failed"):
            send(gateway, READ)
    assert len(network.https.requests) == is_trusted


@asynccontextmanager
async def aclosing_transport(gateway: Gateway) -> AsyncIterator[AsyncTransport]:
    transport = AsyncTransport(gateway)
    try:
        yield transport
    finally:
        await transport.close()


def hashed(bundle: Path, folder: Path) -> Path:
    """Return a directory as ``openssl rehash`` makes it: a file is named after its certificate's subject."""
    folder.mkdir()
    subject = x509.load_pem_x509_certificate(bundle.read_bytes()).subject.public_bytes()
    digest = hashlib.sha1(subject[2:]).digest()
    shutil.copy(bundle, folder / f"{int.from_bytes(digest[:4], 'little'):08x}.0")
    return folder


def test_certificates_may_be_in_a_directory(send, network, monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_DIR", str(hashed(network.ours.bundle, tmp_path / "ours")))
    assert send(gateway_at(network.https.url), READ).status_code == 200
    monkeypatch.setenv("SSL_CERT_DIR", str(hashed(network.others.bundle, tmp_path / "others")))
    with pytest.raises(NoAnswerError, match="certificate verify failed"):
        send(gateway_at(network.https.url), READ)


def test_certificates_may_be_in_several_directories_as_openssl_takes_them(send, network, monkeypatch, tmp_path):
    both = (hashed(network.others.bundle, tmp_path / "others"), hashed(network.ours.bundle, tmp_path / "ours"))
    monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join(map(str, both)))
    assert send(gateway_at(network.https.url), READ).status_code == 200


async def test_p1_a_client_that_waits_for_weeks_takes_up_certificates_that_were_renewed(network, tmp_path):
    bundle = tmp_path / "company.pem"
    shutil.copy(network.others.bundle, bundle)
    gateway = gateway_at(network.https.url, verify=str(bundle))
    sync, waiting = SyncTransport(gateway), AsyncTransport(gateway)
    for _ in range(2):
        with pytest.raises(NoAnswerError, match="certificate verify failed"):
            sync.send(READ)
        with pytest.raises(NoAnswerError, match="certificate verify failed"):
            await waiting.send(READ)
    shutil.copy(network.ours.bundle, bundle)
    assert sync.send(READ).status_code == (await waiting.send(READ)).status_code == 200
    sync.close()
    await waiting.close()


def test_without_any_variable_it_is_the_machines_store(send, network, monkeypatch):
    def paths(file: Path) -> SimpleNamespace:
        return SimpleNamespace(openssl_cafile=str(file), openssl_capath="/nowhere")

    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths(network.ours.bundle))
    assert send(gateway_at(network.https.url), READ).status_code == 200
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths(Path("/nowhere")))
    with pytest.raises(NoAnswerError, match="certificate verify failed"):
        send(gateway_at(network.https.url), READ)


def replaced(file: Path, other: Path) -> None:
    """Write a file anew, as whoever rotates certificates does."""
    file.write_bytes(other.read_bytes())
    os.utime(file, ns=(time.time_ns() + 10**9,) * 2)


def test_p1_a_worker_sees_certificates_that_are_replaced_while_it_runs(network, monkeypatch, tmp_path):
    file = tmp_path / "ca.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    replaced(file, network.others.bundle)
    with closing(SyncTransport(gateway_at(network.https.url))) as transport:
        with pytest.raises(NoAnswerError, match="certificate verify failed"):
            transport.send(READ)
        replaced(file, network.ours.bundle)
        assert transport.send(READ).status_code == 200


async def test_p1_so_does_a_triggerer_whose_client_many_share(network, monkeypatch, tmp_path):
    file = tmp_path / "ca.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    replaced(file, network.ours.bundle)
    async with aclosing_transport(gateway_at(network.https.url)) as transport:
        assert (await transport.send(READ)).status_code == 200
        replaced(file, network.others.bundle)
        with pytest.raises(NoAnswerError, match="certificate verify failed"):
            await transport.send(READ)


@pytest.mark.parametrize("name", CA_VARIABLES[:3])
@pytest.mark.parametrize("is_there", [True, False])
def test_p3_a_bundle_that_cannot_be_read_is_an_error_with_its_variable(
    send, network, monkeypatch, tmp_path, name, is_there
):
    file = tmp_path / "ca.pem"
    if is_there:
        file.write_text("no certificate")
    monkeypatch.setenv(name, str(file))
    with pytest.raises(ItsmConfigurationError, match=rf"'itsm'.*ca\.pem \({name}\).*nothing was sent"):
        send(gateway_at(network.https.url), READ)


@pytest.mark.parametrize(
    ("environment", "extra", "is_proxied"),
    [
        ({}, {}, False),
        ({"HTTPS_PROXY": "{proxy}"}, {}, True),
        ({"https_proxy": "{proxy}"}, {}, True),
        ({"ALL_PROXY": "{proxy}"}, {}, True),
        ({"all_proxy": "{proxy}"}, {}, True),
        ({"HTTP_PROXY": "{proxy}"}, {}, False),
        ({"HTTPS_PROXY": "{proxy}", "ALL_PROXY": "http://127.0.0.1:9"}, {}, True),
        ({"https_proxy": "{proxy}", "HTTPS_PROXY": "http://127.0.0.1:9"}, {}, True),
        ({"https_proxy": "", "HTTPS_PROXY": "http://127.0.0.1:9"}, {}, False),
        ({"HTTPS_PROXY": "{proxy}", "NO_PROXY": "127.0.0.1"}, {}, False),
        ({"HTTPS_PROXY": "{proxy}", "NO_PROXY": "127.0.0.0/8"}, {}, False),
        ({"HTTPS_PROXY": "{proxy}", "no_proxy": "example.com, 127.0.0.1:{port}"}, {}, False),
        ({"HTTPS_PROXY": "{proxy}", "NO_PROXY": "127.0.0.1:9"}, {}, True),
        ({"HTTPS_PROXY": "{proxy}", "NO_PROXY": "*"}, {}, False),
        ({"HTTPS_PROXY": "{proxy}", "NO_PROXY": "10.0.0.0/8,.0.0.1,7.0.0.1"}, {}, True),
        ({"HTTPS_PROXY": "http://127.0.0.1:9"}, {"proxy": "{proxy}"}, True),
        ({"NO_PROXY": "*"}, {"proxy": "{proxy}"}, True),
    ],
)
def test_p1_both_clients_take_the_same_way(send, network, monkeypatch, environment, extra, is_proxied):
    for name, value in texts(network, environment).items():
        monkeypatch.setenv(name, value)
    gateway = gateway_at(network.https.url, verify=str(network.ours.bundle), **texts(network, extra))
    assert send(gateway, READ).status_code == 200
    assert len(network.https.requests) == 1
    assert len(network.proxy.requests) == is_proxied


def test_a_plain_url_goes_through_its_own_variable(send, network, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert send(gateway_at(network.http.url), READ).status_code == 200
    monkeypatch.setenv("HTTP_PROXY", network.proxy.url)
    assert send(gateway_at(network.http.url), READ).status_code == 200
    assert [len(one.requests) for one in (network.http, network.proxy)] == [1, 1]
    assert network.proxy.requests[0][0].startswith(f"POST {network.http.url}/")


def test_a_proxy_may_speak_tls_and_is_verified_likewise(send, network):
    with proxy_server(network.ours.server) as proxy:
        gateway = gateway_at(network.https.url, proxy=proxy.url, verify=str(network.ours.bundle))
        assert send(gateway, READ).status_code == 200
        assert len(proxy.requests) == 1
        with pytest.raises(NoAnswerError):
            send(gateway_at(network.https.url, proxy=proxy.url, verify=str(network.others.bundle)), READ)


def test_p8_credentials_of_the_proxy_go_to_the_proxy_alone(send, network, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", network.proxy.url.replace("//", "//user:p%40ss@"))
    send(gateway_at(network.https.url, verify=str(network.ours.bundle)), READ)
    ((_, to_proxy),) = network.proxy.requests
    ((_, to_itsm),) = network.https.requests
    assert to_proxy["proxy-authorization"] == "Basic dXNlcjpwQHNz"
    assert "x-bkapi-authorization" not in to_proxy
    assert "proxy-authorization" not in to_itsm


def test_p8_a_netrc_file_is_never_read(send, network, monkeypatch, tmp_path):
    for file in (tmp_path / ".netrc", tmp_path / "_netrc"):
        file.write_text("machine 127.0.0.1 login thief password s3cret\ndefault login thief password s3cret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    send(gateway_at(network.http.url), READ)
    assert "authorization" not in network.http.requests[0][1]


def test_both_platforms_take_the_rule(network, monkeypatch, connect):
    caller = {"login": "app", "password": "app-secret", "host": network.https.url}
    connect("bkitsm_default", conn_type="bkitsm", extra={"read_retries": 0}, **caller)
    connect("bklog_default", conn_type="bklog", **caller)
    monkeypatch.setenv("CURL_CA_BUNDLE", str(network.ours.bundle))
    monkeypatch.setenv("ALL_PROXY", network.proxy.url)
    assert ItsmHook().ticket_approval_result(["REQ1"]) == ()
    with pytest.raises(BkLogUnavailableError, match="list of collectors"):
        list(BkLogHook().list_collectors(bk_biz_id=2))
    assert len(network.proxy.requests) == 2


HOSTS = {
    "itsm.example.com": ["example.com", ".example.com", "*.example.com", "ITSM.Example.COM", "itsm.example.com."],
    "itsm.example.com:8443": ["example.com:8443", "http://itsm.example.com:8443"],
    "10.1.2.3": ["10.1.2.3", "10.0.0.0/8", "10.1.2.3/31", "10.1.2.3:443"],
    "[fd00::1]": ["fd00::1", "[fd00::1]", "fd00::/8", "[fd00::1]:443", "FD00:0::1"],
    "审批.example.com": ["审批.example.com", "审批.example.com".encode("idna").decode()],
}
OTHERS = {
    "itsm.example.com": [
        "xample.com",
        "m.example.com",
        "itsm.example.com.cn",
        "example.com:80",
        ".",
        "10.0.0.0/8",
    ],
    "itsm.example.com:8443": ["example.com:443"],
    "10.1.2.3": ["0.1.2.3", ".1.2.3", "10.1.2", "10.2.0.0/16", "fd00::/8", "10.1.2.3:80", "10.1.2.3:no"],
    "[fd00::1]": ["fd00::", "fe80::/8", "::1"],
}


@pytest.mark.parametrize(
    ("host", "entry", "is_exempt"),
    [
        (host, entry, exempt)
        for table, exempt in ((HOSTS, True), (OTHERS, False))
        for host in table
        for entry in table[host]
    ],
)
def test_whom_no_proxy_is_about(host, entry, is_exempt):
    environment = {"HTTPS_PROXY": PROXY, "NO_PROXY": f"localhost,{entry}"}
    route = find_route(gateway_at("https://x"), f"https://{host}/api/", environment)
    assert (route.proxy is None) is is_exempt


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("proxy.example.com", Proxy(url="http://proxy.example.com:80")),
        ("proxy.example.com:3128", Proxy(url="http://proxy.example.com:3128")),
        ("https://PROXY.example.com/", Proxy(url="https://proxy.example.com:443")),
        ("http://[::1]:3128", Proxy(url="http://[::1]:3128")),
        ("http://a:b%3A@x:1", Proxy(url="http://x:1", auth=(b"a", b"b:"))),
        ("http://用户@x:1", Proxy(url="http://x:1", auth=("用户".encode(), b""))),
    ],
)
def test_how_a_proxy_may_be_written(text, proxy):
    assert find_route(gateway_at("https://x"), "https://x", {"ALL_PROXY": text}).proxy == proxy
    assert find_route(gateway_at("https://x", proxy=text), "https://x", {}).proxy == proxy


@pytest.mark.parametrize(
    "text", ["socks5://s3cret@x:1", "http://s3cret:p@:1", "http://s3cret@x:port", "http://s3cret x"]
)
def test_p8_a_proxy_that_cannot_be_used_is_refused_without_its_secrets(text):
    for gateway, environment, source in (
        (gateway_at("https://x"), {"HTTPS_PROXY": text}, "HTTPS_PROXY"),
        (gateway_at("https://x", proxy=text), {}, "the connection's extra proxy"),
    ):
        with pytest.raises(ItsmConfigurationError, match=f"{source} must be .*; nothing was sent") as caught:
            find_route(gateway, "https://x", environment)
        assert "s3cret" not in str(caught.value)


def test_p8_a_route_says_in_words_why_it_is_as_it_is():
    environment = {
        "SSL_CERT_FILE": "/etc/company.pem",
        "https_proxy": "http://user:s3cret@proxy.example.com:3128",
        "NO_PROXY": ".internal, *.test",
    }

    def words(url: str, **extra: str) -> str:
        route = find_route(gateway_at("https://x", **extra), url, environment)
        assert "s3cret" not in repr(route)
        return str(route)

    by_proxy = "proxy http://proxy.example.com:3128 (https_proxy)"
    assert words("https://x") == f"CA certificates of /etc/company.pem (SSL_CERT_FILE); {by_proxy}"
    assert words("https://a.internal").endswith("; no proxy (NO_PROXY holds .internal)")
    assert words("http://x") == "NO TLS; no proxy (neither HTTP_PROXY nor ALL_PROXY is set)"
    assert words("https://x", verify="false").startswith(
        "certificates NOT verified (the connection's extra verify);"
    )
    environment.clear()
    assert words("https://x", proxy="http://u:s3cret@p:1") == (
        "CA certificates of the machine (none of REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE, SSL_CERT_DIR"
        " is set); proxy http://p:1 (the connection's extra proxy)"
    )
