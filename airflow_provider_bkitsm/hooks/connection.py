# SPDX-License-Identifier: Apache-2.0
"""An Airflow connection read as a BlueKing gateway: address, credentials, extras, TLS and proxy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from airflow_provider_bkitsm.hooks.connection_form import SIGNING_KEYS, secret_extras
from airflow_provider_bkitsm.itsm.dialect import Dialect
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError
from airflow_provider_bkitsm.itsm.protocol import Call, Front
from airflow_provider_bkitsm.itsm.v2.dialect import V2
from airflow_provider_bkitsm.itsm.v2.four_byte import FourByte
from airflow_provider_bkitsm.itsm.v4.dialect import V4
from airflow_provider_bkitsm.version_compat import mask_secret

if TYPE_CHECKING:
    from airflow.sdk import Connection

_SCHEMES = {"http": 80, "https": 443}
_REFUSED: dict[str, Callable[[SplitResult], bool]] = {
    "the host must not hold a user or password": lambda url: "@" in url.netloc,
    "the host must be an http(s) URL": lambda url: url.scheme not in _SCHEMES or not url.hostname,
    "the host must end with its path, without ? or #": lambda url: bool(url.query or url.fragment),
}


def gateway_root(host: str, *, port: int | None, schema: str | None) -> str:
    """Return the URL below which calls are made, without trailing slash.

    ``schema`` may be ``http`` or ``https``; anything else is the path, which is where Airflow puts the path of
    an ``AIRFLOW_CONN_`` URI. ``port`` counts where the host names none.

    :raises ValueError: the host is no address; the message gives the reason without the host.
    """
    given = (schema or "").strip().strip("/")
    scheme, path = (given, "") if given.lower() in _SCHEMES else ("https", given)
    url = _split(host if "://" in host else f"{scheme}://{host}")
    for why, refused in _REFUSED.items():
        if refused(url):
            raise ValueError(why)
    implied = _port(url) or port in (None, 0, _SCHEMES[url.scheme])
    netloc = url.netloc if implied else f"{url.netloc.rstrip(':')}:{port}"
    paths = filter(None, (url.path.strip("/"), path))
    return "/".join([f"{url.scheme}://{netloc}", *paths])


def _split(text: str) -> SplitResult:
    if any(letter.isspace() for letter in text):
        raise ValueError("the host must not hold blanks")
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError("the host must be an http(s) URL") from None


def _port(url: SplitResult) -> int | None:
    try:
        return url.port
    except ValueError:
        raise ValueError("the host's port must be a number up to 65535") from None


def read_extra(text: str | None) -> dict[str, Any]:
    """Return the entries that are not blank; the prefix of old forms (``extra__bkitsm__``) is dropped.

    :raises ValueError: the text is no JSON object.
    """
    if text is None or not text.strip():
        return {}
    try:
        extra = json.loads(text)
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise ValueError("extra must be a JSON object")
    given = {name: value for name, value in extra.items() if not _is_blank(value)}
    prefixed = [name for name in given if name.startswith("extra__")]
    return {name.split("__", 2)[-1]: given.pop(name) for name in prefixed} | given


def _is_blank(value: object) -> bool:
    """Whether an entry is blank: forms write null, URIs and JSON texts also an empty text."""
    return value is None or (isinstance(value, str) and not value.strip())


def secrets_of(extra: Mapping[str, Any]) -> list[str]:
    """Return the secrets of an extra, which no log may show."""
    given = {name: extra.get(name) for name in sorted(secret_extras())}
    found = [
        secret for name, value in given.items() for secret in (_each(value) if name in SIGNING_KEYS else [value])
    ]
    proxy = extra.get("proxy")
    if isinstance(proxy, str):
        found += _proxy_secrets(proxy.strip())
    plain = (secret for secret in found if not _is_blank(secret) and not isinstance(secret, dict | list))
    return [str(secret).strip() for secret in plain]


def _each(value: object) -> list[Any]:
    """Return the entries of a list, or of a text with commas."""
    if isinstance(value, list):
        return value
    return value.split(",") if isinstance(value, str) else [value]


def _proxy_secrets(proxy: str) -> list[str]:
    if "@" not in proxy:
        return []
    password = None
    with suppress(ValueError):
        password = urlsplit(proxy if "://" in proxy else f"http://{proxy}").password
    return [proxy, password, unquote(password)] if password else [proxy]


_GRANTS = ("access_token", "bk_token", "bk_ticket")
# BlueKing's API gateway serves the ESB's components under this path of the same host.
_ESB_PATH = "/api/c/compapi/v2/itsm"
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})


# Every dialect, by the word that a connection and a stored ticket name it with.
DIALECTS: dict[str, Dialect] = {one.name: one for one in (V2, V4)}


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """An API gateway or ESB, and the credentials of its caller.

    :param root: URL without trailing slash, e.g. ``https://bkapi.example.com/api/bk-itsm/prod/v2/itsm``.
    :param username: the BlueKing user named in the authorization header.
    :param grants: what proves that user: ``access_token``, ``bk_token`` or ``bk_ticket``.
    :param verify: TLS verification, or the path of a CA bundle; see :mod:`airflow_provider_bkitsm.hooks.route`.
    :param client_cert: paths of a client certificate and its key.
    :param proxy: URL of a proxy; None takes the environment's.
    :param timeouts: seconds to connect, seconds between two pieces of an answer; a request ends after both.
    :param four_byte: how emoji and rare Han in texts for ITSM are sent.
    :param dialect: the version of ITSM behind it.
    """

    conn_id: str
    root: str
    app_code: str
    app_secret: str = field(repr=False)
    front: Front = Front.GATEWAY
    username: str = "admin"
    grants: Mapping[str, str] = field(default_factory=dict, repr=False)
    tenant_id: str | None = None
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True
    client_cert: tuple[str, str] | None = None
    proxy: str | None = field(default=None, repr=False)
    timeouts: tuple[float, float] = (5.0, 30.0)
    four_byte: FourByte = FourByte.ESCAPE
    dialect: Dialect = V2
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts of the connection that nothing may show."""
        return (self.app_secret, *self.grants.values(), *secrets_of(self.extra))

    def url(self, call: Call[Any]) -> str:
        """Return a call's address at the front that it names, by default at this front."""
        if call.door in (None, self.front):
            return f"{self.root}/{call.path_at(self.front)}"
        return f"{self.esb_root}/{call.path_at(Front.ESB)}"

    @property
    def esb_root(self) -> str:
        """The ESB's address: the connection's extra ``esb_url``, else the ESB's path at the API gateway's host."""
        named = self.text("esb_url")
        if named is None:
            here = urlsplit(self.root)
            return f"{here.scheme}://{here.netloc}{_ESB_PATH}"
        try:
            return gateway_root(named, port=None, schema=None)
        except ValueError as error:
            raise self.wrong("esb_url", f"the ESB's address ({error})") from None

    def headers(self) -> dict[str, str]:
        """Return the request headers, authorization included: never log them."""
        return dict(self._headers)

    @cached_property
    def _headers(self) -> Mapping[str, str]:
        authorization = {
            "bk_app_code": self.app_code,
            "bk_app_secret": self.app_secret,
            "bk_username": self.username,
            **self.grants,
        }
        tenant = {"X-Bk-Tenant-Id": self.tenant_id} if self.tenant_id else {}
        own = {"X-Bkapi-Authorization": json.dumps(authorization), "Accept": "application/json"}
        return {**self.extra_headers, **self.dialect.headers(), **tenant, **own}

    def text(self, name: str) -> str | None:
        """Return an entry of the connection's extra as text; None when absent or blank."""
        value = self.extra.get(name)
        if _is_blank(value):
            return None
        if isinstance(value, dict | list):
            raise self.wrong(name, "a text")
        return str(value).strip()

    @property
    def service(self) -> str | None:
        """The service that tickets are opened in by default, by the entry in which the dialect names it."""
        return self.text(self.dialect.service_extra)

    def flag(self, name: str, default: bool) -> bool:
        """Return an entry of the connection's extra as a boolean."""
        text = (self.text(name) or str(default)).lower()
        if text not in _TRUE | _FALSE:
            raise self.wrong(name, "true or false")
        return text in _TRUE

    def seconds(self, name: str, default: float) -> float:
        """Return an entry of the connection's extra as a positive number."""
        text = self.text(name)
        try:
            value = float(text) if text is not None else default
        except ValueError:
            value = -1.0
        if not 0 < value < float("inf"):
            raise self.wrong(name, "a positive number of seconds")
        return value

    def whole(self, name: str, default: int, *, least: int = 0) -> int:
        """Return an entry of the connection's extra as a whole number of at least ``least``."""
        text = self.text(name)
        if text is None:
            return default
        if not text.isdecimal() or int(text) < least:
            raise self.wrong(name, f"a whole number, {least} or more")
        return int(text)

    def wrong(self, name: str, wanted: str) -> ItsmConfigurationError:
        """Return the error that names a wrong entry of the connection's extra."""
        return ItsmConfigurationError(
            f"connection {self.conn_id!r}: extra {name!r} must be {wanted}; nothing was sent"
        )


def read_gateway(connection: Connection) -> Gateway:
    """Read a connection of type ``bkitsm`` or ``bklog``.

    :raises ItsmConfigurationError: a field is missing or cannot be used.
    """
    extra = _extra(connection)
    plain = Gateway(
        conn_id=connection.conn_id,
        root=_root(connection),
        app_code=_required(connection, "login", "app code"),
        app_secret=_required(connection, "password", "app secret"),
        extra=extra,
    )
    granted = {name: plain.text(name) or plain.text(f"{name}_secret") for name in _GRANTS}
    return replace(
        plain,
        front=_front(plain),
        username=plain.text("bk_username") or "admin",
        grants={name: value for name, value in granted.items() if value},
        tenant_id=_tenant(plain),
        extra_headers=_headers(plain),
        verify=_verify(plain),
        client_cert=_client_cert(plain),
        proxy=plain.text("proxy"),
        timeouts=(plain.seconds("connect_timeout", 5.0), plain.seconds("read_timeout", 30.0)),
        four_byte=_four_byte(plain),
        dialect=_dialect(plain),
    )


def _front(gateway: Gateway) -> Front:
    """Return the front that the connection names; without a name, the address tells ESB and gateway apart."""
    name = gateway.text("front")
    if name is None:
        return Front.ESB if "/compapi/" in gateway.root else Front.GATEWAY
    if name not in set(Front):
        raise gateway.wrong("front", "gateway or esb")
    return Front(name)


def _four_byte(gateway: Gateway) -> FourByte:
    """Only v2's database is known to lack these characters, and only v2's texts are read back as escaped ones."""
    if (gateway.text("dialect") or V2.name).lower() != V2.name:
        return FourByte.SEND
    policy = (gateway.text("four_byte") or FourByte.ESCAPE).lower()
    if policy not in set(FourByte):
        raise gateway.wrong("four_byte", "escape, refuse or send")
    return FourByte(policy)


def _dialect(gateway: Gateway) -> Dialect:
    """Nothing is guessed: a ticket of one version is unknown to another."""
    name = (gateway.text("dialect") or V2.name).lower()
    if name not in DIALECTS:
        raise gateway.wrong("dialect", " or ".join(DIALECTS))
    try:
        return DIALECTS[name].for_connection(gateway.text)
    except ItsmConfigurationError as error:
        raise ItsmConfigurationError(f"connection {gateway.conn_id!r}: {error.message}") from None


def _headers(gateway: Gateway) -> Mapping[str, str]:
    """Return the further headers. Forms and JSON give an object, URIs and old forms its JSON text."""
    given = gateway.extra.get("headers") or {}
    if isinstance(given, str):
        with suppress(ValueError):
            given = json.loads(given)
    if not isinstance(given, dict) or not all(map(_sendable, (*given, *given.values()))):
        raise gateway.wrong("headers", 'a JSON object of texts, such as {"X-Env": "test"}')
    # Of a dict Airflow masks only what stands under names it finds sensitive: Cookie is none of them.
    mask_secret(list(given.values()))
    return given


def _tenant(gateway: Gateway) -> str | None:
    tenant = gateway.text("tenant_id")
    if tenant is not None and not _sendable(tenant):
        raise gateway.wrong("tenant_id", "a text a header can hold")
    return tenant


def _sendable(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable()


def _client_cert(gateway: Gateway) -> tuple[str, str] | None:
    cert, key = _file(gateway, "client_cert"), _file(gateway, "client_key")
    if (cert is None) != (key is None):
        raise gateway.wrong("client_cert", "given together with client_key")
    return (cert, key) if cert and key else None


def _root(connection: Connection) -> str:
    host = _required(connection, "host", "gateway URL")
    try:
        return gateway_root(host, port=connection.port, schema=connection.schema)
    except ValueError as error:
        raise _unusable(connection, str(error)) from None


def _required(connection: Connection, name: str, meaning: str) -> str:
    value = str(getattr(connection, name) or "").strip()
    if not value:
        raise _unusable(connection, f"{name} ({meaning}) is empty")
    return value


def _extra(connection: Connection) -> Mapping[str, Any]:
    """Read the extra, and have the connection's secrets masked in every log from here on."""
    mask_secret(str(connection.password or "").strip())
    try:
        extra = read_extra(connection.extra)
    except ValueError as error:
        raise _unusable(connection, str(error)) from None
    mask_secret(secrets_of(extra))
    return extra


def _unusable(connection: Connection, why: str) -> ItsmConfigurationError:
    return ItsmConfigurationError(f"connection {connection.conn_id!r}: {why}; nothing was sent")


def _verify(gateway: Gateway) -> bool | str:
    text = gateway.text("verify") or "true"
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    return _file(gateway, "verify", "true, false or ") or True


def _file(gateway: Gateway, name: str, or_else: str = "") -> str | None:
    path = gateway.text(name)
    if path is not None and not Path(path).exists():
        raise gateway.wrong(name, f"{or_else}the path of a file on this machine")
    return path
