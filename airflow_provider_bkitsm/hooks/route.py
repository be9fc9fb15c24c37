# SPDX-License-Identifier: Apache-2.0
"""The route to a URL: the certificates that are believed, and the proxy. One rule for every process and client.

The connection's extra counts first, then the environment. HTTP clients differ in which variables they read and
how, so none of them reads the environment here, or a ``.netrc`` file: they are given a route.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.translation import Text

# The first of these that is not blank names the certificates: a file, a directory or several.
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """An HTTP proxy: its address without credentials, and the credentials."""

    url: str
    auth: tuple[bytes, bytes] | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Route:
    """How one URL is reached; ``str()`` of it is a sentence without secrets.

    :param tls: False for a URL that is ``http``.
    :param verify: False believes any certificate.
    :param ca: file or directory of the certificates believed; None is the machine's store.
    :param proxy: None connects directly.
    :param ca_reason: where the certificates were named.
    :param proxy_reason: where the proxy, or that there is none, was named.
    """

    tls: bool
    verify: bool
    ca: str | None
    proxy: Proxy | None
    ca_reason: str
    proxy_reason: str

    def __str__(self) -> str:
        return str(self.describe())

    def describe(self) -> Text:
        """Return the certificates and the proxy, each with where it was named."""
        way = Text("proxy {url}", url=self.proxy.url) if self.proxy else Text("no proxy")
        return Text(
            "{certificates}; {proxy} ({reason})",
            certificates=self._certificates(),
            proxy=way,
            reason=self.proxy_reason,
        )

    def _certificates(self) -> Text:
        if not self.tls:
            return Text("NO TLS")
        if not self.verify:
            return Text("certificates NOT verified ({reason})", reason=self.ca_reason)
        if not self.ca:
            return Text("CA certificates of the machine ({reason})", reason=self.ca_reason)
        return Text("CA certificates of {file} ({reason})", file=self.ca, reason=self.ca_reason)


def find_route(gateway: Gateway, url: str, environment: Mapping[str, str]) -> Route:
    """Return how a URL of the gateway is reached from a process with this environment.

    :raises ItsmConfigurationError: the proxy that counts is not one that can be used.
    :raises ValueError: ``url`` is no URL.
    """
    to = urlsplit(url)
    verify, ca, ca_reason = _certificates(gateway, environment)
    proxy, proxy_reason = _proxy(gateway, to, environment)
    return Route(
        tls=to.scheme == "https", verify=verify, ca=ca, proxy=proxy, ca_reason=ca_reason, proxy_reason=proxy_reason
    )


def _certificates(gateway: Gateway, environment: Mapping[str, str]) -> tuple[bool, str | None, str]:
    if gateway.verify is False:
        return False, None, Text("the connection's extra verify")
    if isinstance(gateway.verify, str):
        return True, gateway.verify, Text("the connection's extra verify")
    for name in CA_VARIABLES:
        if path := environment.get(name, "").strip():
            return True, path, name
    return True, None, Text("none of {variables} is set", variables=", ".join(CA_VARIABLES))


def _proxy(gateway: Gateway, url: SplitResult, environment: Mapping[str, str]) -> tuple[Proxy | None, str]:
    if gateway.proxy:
        source = Text("the connection's extra proxy")
        return _usable(gateway, gateway.proxy, source), source
    name, value = _variable(environment, f"{url.scheme}_proxy")
    if not value:
        name, value = _variable(environment, "all_proxy")
    if not value:
        return None, Text("neither {variable} nor ALL_PROXY is set", variable=f"{url.scheme.upper()}_PROXY")
    exempting, exempt = _variable(environment, "no_proxy")
    for entry in exempt.replace(",", " ").split():
        if _covers(entry, url):
            return None, Text("{variable} holds {entry}", variable=exempting, entry=entry)
    return _usable(gateway, value, name), name


def _variable(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return a variable's name and value; in lower case it counts first, even when it is blank."""
    name = name if name in environment else name.upper()
    return name, environment.get(name, "").strip()


def _usable(gateway: Gateway, text: str, source: str) -> Proxy:
    with suppress(ValueError):
        url = urlsplit(text if "://" in text else f"http://{text}")
        host, port = ascii_host(url.hostname or ""), url.port or _PORTS.get(url.scheme)
        if url.scheme in _PORTS and host and not any(letter.isspace() for letter in text):
            named = url.username is not None or url.password is not None
            auth = (unquote(url.username or "").encode(), unquote(url.password or "").encode())
            address = f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
            return Proxy(url=address, auth=auth if named else None)
    raise ItsmConfigurationError(
        f"connection {gateway.conn_id!r}: {source} must be the http(s) URL of a proxy; nothing was sent"
    )


def _covers(entry: str, url: SplitResult) -> bool:
    """Whether an entry of ``NO_PROXY`` is about a URL.

    An entry is ``*``, a host (with all below it, whether it begins with a dot, with ``*.`` or with neither), an
    address, or a network (``10.0.0.0/8``). A host or an address may have a port, which then has to be the URL's.
    """
    if entry == "*":
        return True
    host = ascii_host(url.hostname or "")
    address = _address(host)
    with suppress(ValueError):
        network = ip_network(entry.strip("[]"), strict=False)
        return address is not None and address in network
    with suppress(ValueError):
        named = urlsplit(f"//{entry.rpartition('://')[2]}")
        if named.port in (None, url.port or _PORTS.get(url.scheme)):
            return _is_at(host, ascii_host(named.hostname or ""))
    return False


def _is_at(host: str, named: str) -> bool:
    """Whether a host is the named one or below it; an address is only itself."""
    if _address(host) or _address(named):
        return _address(host) == _address(named)
    host, named = host.rstrip("."), named.removeprefix("*").strip(".")
    return bool(named) and f".{host}".endswith(f".{named}")


def _address(host: str) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ip_address(host)
    return None


def ascii_host(host: str) -> str:
    """Return a host as it is looked up: in ASCII.

    :raises ValueError: there is no such name.
    """
    return host.lower() if host.isascii() else host.encode("idna").decode()


def tls_context(gateway: Gateway, route: Route, client_cert: tuple[str, str] | None) -> ssl.SSLContext:
    """Return the TLS context of a route.

    :raises ItsmConfigurationError: a file that it needs cannot be read.
    """
    authorities = f"the CA certificates in {route.ca or 'the store of the machine'} ({route.ca_reason})"
    places, stamp = _places(route), files_stamp(route, client_cert)
    try:
        context = _tls_context(places, None, stamp)
    except OSError as error:
        raise _unusable(gateway, authorities, error) from None
    if client_cert is None:
        return context
    try:
        return _tls_context(places, client_cert, stamp)
    except OSError as error:
        raise _unusable(gateway, "the client certificate or its key", error) from None


Stamp = tuple[tuple[int, int, int] | None, ...]


def files_stamp(route: Route, client_cert: tuple[str, str] | None) -> Stamp:
    """Return what changes when one of the named files does: certificates are renewed while a triggerer runs.

    Without TLS none of them is read.
    """
    if not (route.tls or route.proxy):
        return ()
    named = ((route.ca,) if route.ca and route.verify else ()) + (client_cert or ())
    return tuple(_file_stamp(path) for path in named)


def _file_stamp(path: str) -> tuple[int, int, int] | None:
    with suppress(OSError):
        found = os.stat(path)
        return found.st_ino, found.st_mtime_ns, found.st_size
    return None


def _unusable(gateway: Gateway, what: str, error: OSError) -> ItsmConfigurationError:
    return ItsmConfigurationError(
        f"connection {gateway.conn_id!r}: {what} cannot be used ({type(error).__name__}); nothing was sent"
    )


# A file and a directory of certificates, one of which may be missing.
_Places = tuple[str | None, str | None]


def _places(route: Route) -> _Places | None:
    """Return where the certificates are that are believed; None believes any."""
    if not route.verify:
        return None
    if route.ca is None:
        return _machine_store()
    # As OpenSSL itself reads SSL_CERT_DIR, several directories have colons between them.
    are_directories = all(Path(one).is_dir() for one in route.ca.split(os.pathsep))
    return (None, route.ca) if are_directories else (route.ca, None)


def _machine_store() -> _Places:
    """Return where the machine keeps its certificates: OpenSSL's own places, else ``certifi``'s file."""
    import certifi

    paths = ssl.get_default_verify_paths()
    file, directory = Path(paths.openssl_cafile), Path(paths.openssl_capath)
    has_file, has_directory = file.is_file(), directory.is_dir() and any(directory.iterdir())
    if not has_file and not has_directory:
        return certifi.where(), None
    return str(file) if has_file else None, str(directory) if has_directory else None


@lru_cache(maxsize=64)
def _tls_context(places: _Places | None, client_cert: tuple[str, str] | None, _stamp: Stamp) -> ssl.SSLContext:
    """Return a cached context: building it takes tens of milliseconds, and blocks a triggerer's event loop."""
    if places is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context = ssl.create_default_context(cafile=places[0], capath=places[1])
    if client_cert:
        context.load_cert_chain(*client_cert)
    return context
