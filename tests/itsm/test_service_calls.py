"""What is sent about services."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.itsm import errors, service_calls

EXPORT = {"key": "request", "name": "n", "catalog_id": 1, "workflow": {"states": {}}}


def test_only_what_was_given_is_sent():
    assert service_calls.get_services().params == {}
    assert service_calls.get_services(display_role="LOG_SEARCH").params == {"display_role": "LOG_SEARCH"}
    assert service_calls.get_service_roles(7, every_step=True).params == {"service_id": "7", "all": "1"}
    assert service_calls.get_service_catalogs(has_service=True).params == {"has_service": "true"}


def test_the_workflow_path_has_no_slash_as_the_gateway_registered_it():
    assert service_calls.get_workflow_detail(3).path == "get_workflow_detail"


@pytest.mark.parametrize("missing", sorted(EXPORT))
def test_an_export_that_itsm_would_refuse_is_not_sent(missing):
    partial = {key: value for key, value in EXPORT.items() if key != missing}
    with pytest.raises(errors.ItsmInvalidRequestError, match=missing):
        service_calls.import_service(partial)
    with pytest.raises(errors.ItsmInvalidRequestError, match=missing):
        service_calls.update_service(7, partial)


def test_writes_are_writes():
    catalog = service_calls.create_service_catalog(name="n", project_key="0", parent_key="root")
    for call in (service_calls.import_service(EXPORT), service_calls.update_service(7, EXPORT), catalog):
        assert call.is_write
    assert (service_calls.update_service(7, EXPORT).body or {})["id"] == 7
    assert catalog.body == {"name": "n", "project_key": "0", "parent_key": "root"}
