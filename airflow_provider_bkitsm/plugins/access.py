# SPDX-License-Identifier: Apache-2.0
"""Who is signed in to Airflow, and what of it they may see and change: all by Airflow's own auth manager.

Routes of a plugin inherit no authentication. Every route but the callback asks here.
"""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import get_user, requires_access_dag
from fastapi import Depends, HTTPException, Request

from airflow_provider_bkitsm.version_compat import airflow_conf

# A page of another origin cannot send it without asking first.
HEADER = "X-Bkitsm-Action"
_SEES = DagAccessEntity.TASK_INSTANCE
_CHANGES = DagAccessEntity.RUN


def signed_in(user: Annotated[Any, Depends(get_user)]) -> Any:
    """Return who is signed in, with the right to task instances in general, as Airflow's own lists ask.

    The right to a DAG is asked for each of them.

    :raises HTTPException: 401 for nobody, 403 for who may read nothing.
    """
    if not get_auth_manager().is_authorized_dag(method="GET", access_entity=_SEES, user=user):
        raise HTTPException(403, "Forbidden")
    return user


# Airflow's type of a user is the auth manager's own; only its name is used here.
SignedIn = Annotated[Any, Depends(signed_in)]


def airflow_name(user: Any) -> str:
    """Return a person's name as Airflow writes it on the runs they start."""
    return str(user.get_name())


def itsm_name(user: Any) -> str:
    """Return a person's name in ITSM: ``[bkitsm] user_mapping``, else the same as in Airflow.

    :raises HTTPException: the mapping cannot be read; nobody then acts in a name that is not theirs.
    """
    # The FAB auth manager's name is "First Last"; its user name is the one that people share with ITSM.
    name = getattr(user, "username", None) or airflow_name(user)
    try:
        mapping = json.loads(airflow_conf().get("bkitsm", "user_mapping", fallback="") or "{}")
        return str(mapping.get(name, name))
    except (ValueError, AttributeError):
        raise HTTPException(500, "[bkitsm] user_mapping is no JSON object") from None


def readable_dags(user: Any) -> frozenset[str]:
    """Return the DAGs a person may read."""
    return frozenset(get_auth_manager().get_authorized_dag_ids(user=user, method="GET"))


def check_reads(request: Request, user: Any, dag_id: str) -> None:
    """Refuse with 403 who may not read a DAG's task instances."""
    requires_access_dag("GET", _SEES, _known(dag_id))(request, user)


def check_changes(request: Request, user: Any, dag_id: str) -> None:
    """Refuse with 403 who may not change a DAG's runs."""
    check_reads(request, user, dag_id)
    requires_access_dag("PUT", _CHANGES, _known(dag_id))(request, user)


def may_change(request: Request, user: Any, dag_id: str) -> bool:
    """Whether a person may change a DAG's runs."""
    try:
        check_changes(request, user, dag_id)
    except HTTPException:
        return False
    return True


def check_own_page(request: Request) -> None:
    """Refuse what another site's page sends with the cookie of whoever looks at it.

    Browsers say where a request comes from: ``Sec-Fetch-Site`` over HTTPS, ``Origin`` always.
    """
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise HTTPException(415, "JSON is expected")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if HEADER not in request.headers or site != "same-origin" or not _is_own(request):
        raise HTTPException(403, "Sent from another site")


def _is_own(request: Request) -> bool:
    origin = request.headers.get("origin")
    base = urlsplit(airflow_conf().get("api", "base_url", fallback="") or "").netloc
    return origin is None or urlsplit(origin).netloc in {request.headers.get("host"), base} - {"", None}


def _known(dag_id: str) -> str:
    """Refuse an empty id: Airflow would ask for the right to all DAGs instead, or for the one of the address."""
    if not dag_id:
        raise HTTPException(404, "No such DAG")
    return dag_id
