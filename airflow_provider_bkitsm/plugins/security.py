# SPDX-License-Identifier: Apache-2.0
"""Who may see and do what on the pages, and the security headers of every response."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import get_user, requires_access_dag
from fastapi import Depends, HTTPException, Request
from starlette.datastructures import MutableHeaders

from airflow_provider_bkitsm import settings
from airflow_provider_bkitsm.itsm.duties import name_in_itsm
from airflow_provider_bkitsm.itsm.errors import ItsmConfigurationError, ItsmInvalidRequestError
from airflow_provider_bkitsm.version_compat import airflow_conf

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Browsers read a backslash as a slash and drop control characters; ``urlsplit`` differs.
_PLAIN = re.compile(r"[!-\[\]-~]*")


def origin_of(setting: str) -> str:
    """Return an origin as browsers write it; empty for anything else. A slash at the end is accepted."""
    address = setting.strip().removesuffix("/")
    is_whole = _PLAIN.fullmatch(address) is not None and not re.search("[/?#]", address.partition("://")[2])
    return _origin_text(address) if is_whole else ""


def is_of(address: str, origin: str) -> bool:
    """Whether an address belongs to an origin, which is written as browsers write it."""
    return bool(origin) and _origin_text(address) == origin


def framed(address: str, origin: str) -> str:
    """Return an address if it belongs to this origin; empty otherwise, and for an empty origin."""
    return address if _PLAIN.fullmatch(address) is not None and is_of(address, origin) else ""


def _origin_text(address: str) -> str:
    """Return the origin of an http(s) address; empty for an address without one, or with a user in it."""
    try:
        url = urlsplit(address)
        host, port = _host(url.hostname or ""), url.port
    except ValueError:
        return ""
    if url.scheme not in _DEFAULT_PORTS or "@" in url.netloc or not host:
        return ""
    return f"{url.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS[url.scheme]) else f":{port}")


def _host(host: str) -> str:
    """Return a host as an origin writes it; empty for anything else. Nothing else gets into a header."""
    if ":" in host:
        return f"[{IPv6Address(host)}]" if "%" not in host else ""
    return host if _HOST.fullmatch(host) else ""


_POLICY_NAME = "Content-Security-Policy"
# A page may load, run and request only what this server serves; only Airflow's own pages may frame it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = {
    _POLICY_NAME: _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def framing(origin: str) -> dict[str, str]:
    """Return the headers of a page that may show another origin's pages in a frame; none for no origin."""
    return {_POLICY_NAME: f"{_POLICY}; frame-src {origin}"} if origin else {}


class Secured:
    """ASGI middleware that sets the security headers on every response, unless the app has set them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_secured)


# A page of another origin can send this header only if the server has allowed it before.
HEADER = "X-Bkitsm-Action"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SEES = DagAccessEntity.TASK_INSTANCE
_CHANGES = DagAccessEntity.RUN


def signed_in(user: Annotated[Any, Depends(get_user)]) -> Any:
    """Return the signed-in user. As for Airflow's own lists, they need the right to read task instances.

    The right to read a DAG is checked for each DAG.

    :raises HTTPException: 401 without a user, 403 for a user who may read nothing.
    """
    if not get_auth_manager().is_authorized_dag(method="GET", access_entity=_SEES, user=user):
        raise HTTPException(403, "Forbidden")
    return user


async def check_storable(request: Request) -> None:
    """Answer 404 to a request that names what no database holds: NUL, or half of a character.

    Databases and their drivers raise errors of their own for such a text.
    """
    names = [*request.path_params.values(), *request.query_params.keys(), *request.query_params.values()]
    body = await request.body()
    with suppress(ValueError, RecursionError):  # what is no JSON is refused by its reader
        names += _texts(json.loads(body or b"null"))
    if not all(is_storable(name) for name in names if isinstance(name, str)):
        raise HTTPException(404, "Not Found")


def is_storable(text: str) -> bool:
    """Whether every database can hold a text."""
    return _UNSTORABLE.search(text) is None


def _texts(value: Any) -> list[str]:
    """Return the texts of a JSON value, keys included."""
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in _texts(part)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


# Airflow's type of a user is the auth manager's own; only its name is used here.
SignedIn = Annotated[Any, Depends(signed_in)]


def airflow_name(user: Any) -> str:
    """Return a person's name as Airflow writes it on the runs they start."""
    return str(user.get_name())


def itsm_name(user: Any) -> str:
    """Return a person's name in ITSM: from ``[bkitsm] user_mapping``, else their name in Airflow.

    :raises HTTPException: the mapping does not tell it, so nobody acts in another person's name.
    """
    # The FAB auth manager's name is "First Last"; the name in ITSM equals its user name.
    name = getattr(user, "username", None) or airflow_name(user)
    try:
        return name_in_itsm(name, settings.user_mapping())
    except (ItsmConfigurationError, ItsmInvalidRequestError) as error:
        raise HTTPException(500, str(error)) from None


def readable_dags(user: Any) -> frozenset[str]:
    """Return the DAGs a person may read."""
    return frozenset(get_auth_manager().get_authorized_dag_ids(user=user, method="GET"))


def check_reads(request: Request, user: Any, dag_id: str) -> None:
    """Raise 403 for a user who may not read a DAG's task instances."""
    requires_access_dag("GET", _SEES, _not_empty(dag_id))(request, user)


def check_changes(request: Request, user: Any, dag_id: str) -> None:
    """Raise 403 for a user who may not change a DAG's runs."""
    check_reads(request, user, dag_id)
    requires_access_dag("PUT", _CHANGES, _not_empty(dag_id))(request, user)


def may_change(request: Request, user: Any, dag_id: str) -> bool:
    """Whether a person may change a DAG's runs."""
    try:
        check_changes(request, user, dag_id)
    except HTTPException:
        return False
    return True


def check_own_page(request: Request) -> None:
    """Refuse a request that another site's page sends with the cookie of its viewer.

    Browsers name the origin of a request: ``Sec-Fetch-Site`` over HTTPS, ``Origin`` always.
    """
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise HTTPException(415, "JSON is expected")
    if HEADER not in request.headers:
        raise HTTPException(403, f"The header {HEADER} is missing")
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin" or not _is_own(request):
        raise HTTPException(403, "Sent from another site")


def _is_own(request: Request) -> bool:
    origin = request.headers.get("origin")
    base = urlsplit(airflow_conf().get("api", "base_url", fallback="") or "").netloc
    return origin is None or urlsplit(origin).netloc in {request.headers.get("host"), base} - {"", None}


def _not_empty(dag_id: str) -> str:
    """Refuse an empty id. Airflow would check the right to all DAGs instead, or to the DAG in the address."""
    if not dag_id:
        raise HTTPException(404, "No such DAG")
    return dag_id
