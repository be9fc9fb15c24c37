# SPDX-License-Identifier: Apache-2.0
"""What is sent about services."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.itsm import errors
from airflow_provider_bkitsm.itsm.v2 import calls, models
from tests.itsm.wire import Wire

EXPORT = {"key": "request", "name": "n", "catalog_id": 1, "workflow": {"states": {}}}
CATALOG = {"name": "n", "project_key": "0", "parent__id": 1, "parent_key": "root", "desc": "d"}

CALLS = {
    "get_services": Wire(
        build=lambda: calls.get_services(display_type="API", display_role="LOG_SEARCH"),
        method="GET",
        path="get_services/",
        sent={"display_type": "API", "display_role": "LOG_SEARCH"},
        data=[{"id": 1}],
        read=models.Service,
    ),
    "get_service_detail": Wire(
        build=lambda: calls.get_service_detail(7),
        method="GET",
        path="get_service_detail/",
        sent={"service_id": "7"},
        data={"service_id": 7},
        read=models.ServiceDetail,
    ),
    "get_service_catalogs": Wire(
        build=lambda: calls.get_service_catalogs(project_key="0", has_service=True),
        method="GET",
        path="get_service_catalogs/",
        sent={"project_key": "0", "has_service": "true"},
        data=[{"id": 1}],
        read=models.ServiceCatalog,
    ),
    "get_service_roles": Wire(
        build=lambda: calls.get_service_roles(7, ticket_creator="alice", every_step=True),
        method="GET",
        path="get_service_roles/",
        sent={"service_id": "7", "ticket_creator": "alice", "all": "1"},
        data=[{"id": 15}],
        read=models.ServiceRole,
        verified=True,
    ),
    # The gateway registered this one without the slash.
    "get_workflow_detail": Wire(
        build=lambda: calls.get_workflow_detail(3),
        method="GET",
        path="get_workflow_detail",
        sent={"workflow_id": "3"},
        data={},
        read=models.Workflow,
        verified=True,
    ),
    "import_service": Wire(
        build=lambda: calls.import_service(EXPORT),
        path="import_service/",
        sent=EXPORT,
        data={"id": 1},
        read=models.Service,
        is_write=True,
    ),
    "update_service": Wire(
        build=lambda: calls.update_service(7, EXPORT),
        path="update_service/",
        sent=EXPORT | {"id": 7},
        data={"id": 7},
        read=models.Service,
        is_write=True,
    ),
    "create_service_catalog": Wire(
        build=lambda: calls.create_service_catalog(**CATALOG),
        path="create_service_catalog/",
        sent=CATALOG,
        data={"id": 1},
        read=models.ServiceCatalog,
        is_write=True,
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_is_sent_as_itsm_knows_it(name):
    CALLS[name].check()


def test_only_what_was_given_is_sent():
    assert calls.get_services().params == {}
    assert calls.get_services(display_role="LOG_SEARCH").params == {"display_role": "LOG_SEARCH"}
    assert calls.get_service_roles(7).params == {"service_id": "7"}
    assert calls.get_service_catalogs().params == {}
    catalog = calls.create_service_catalog(name="n", project_key="0", parent_key="root")
    assert catalog.body == {"name": "n", "project_key": "0", "parent_key": "root"}


@pytest.mark.parametrize("missing", sorted(EXPORT))
def test_an_export_that_itsm_would_refuse_is_not_sent(missing):
    partial = {key: value for key, value in EXPORT.items() if key != missing}
    with pytest.raises(errors.ItsmInvalidRequestError, match=missing):
        calls.import_service(partial)
    with pytest.raises(errors.ItsmInvalidRequestError, match=missing):
        calls.update_service(7, partial)


@pytest.mark.parametrize("empty", ["", None])
def test_all_that_is_missing_or_empty_is_named(empty):
    with pytest.raises(errors.ItsmInvalidRequestError, match=r"^create_service_catalog needs name, project_key; "):
        calls.create_service_catalog(name=empty, project_key=empty)
