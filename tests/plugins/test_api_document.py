# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document of the JSON API: it is as the code, complete, and served to who has signed in."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from airflow_provider_bkitsm.approvals.rows import Status
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.plugins import api
from airflow_provider_bkitsm.plugins.metadata import AirflowMetadata
from airflow_provider_bkitsm.plugins.views import ApprovalViews
from tests.plugins.people import Person, auth_manager
from tools import openapi

DOCUMENT: dict[str, Any] = json.loads(openapi.FILE.read_text(encoding="utf-8"))
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=[*OPERATIONS])
ADVICE = """
The JSON API is not what docs/openapi.json says (- the file, + the code).
Not on purpose? Put it back: portals rely on it.
On purpose? Within v1 fields, parameters, members of enumerations and routes are only ever added: raise `_VERSION`
in plugins/api.py, run `make api`, read the difference of docs/openapi.json once more, and write into CHANGELOG.md.
"""


def test_the_file_in_the_documentation_is_the_codes():
    before, after = openapi.FILE.read_text(encoding="utf-8").splitlines(), openapi.content().splitlines()
    difference = "\n".join(difflib.unified_diff(before, after, lineterm="", n=4))
    assert not difference, ADVICE + difference


def test_every_reference_leads_to_a_schema_and_every_schema_is_used():
    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            yield from (part["$ref"],) if "$ref" in part else ()
        for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            yield from references(inner)

    assert set(references(DOCUMENT)) == {f"#/components/schemas/{name}" for name in SCHEMAS}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


@each_operation
def test_every_route_says_what_it_takes_and_answers(operation):
    assert operation["summary"]
    assert operation["description"]
    assert all(parameter.get("description") for parameter in operation["parameters"] or ())
    answers = operation["responses"]
    ((kind, content),) = answers["200"]["content"].items()
    assert content["schema"]["$ref"] if kind == "application/json" else kind == "text/csv"
    refused = {status: answer for status, answer in answers.items() if status != "200"}
    assert {"401", "403", "404", "422", "500"} <= refused.keys()
    assert {answer["content"]["application/json"]["schema"]["$ref"] for answer in refused.values()} == {
        "#/components/schemas/Error"
    }


@each_operation
def test_every_route_takes_a_token_or_the_pages_cookie(operation):
    assert operation["security"] == [{"token": []}, {"cookie": []}]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_field_of_an_answer_is_always_there(name):
    schema = SCHEMAS[name]
    assert schema["description"]
    if schema["type"] == "object" and name not in ("TicketTarget", "Withdrawal"):
        assert set(schema["required"]) == set(schema["properties"])


def test_the_enumerations_are_the_codes():
    members = {name: schema["enum"] for name, schema in SCHEMAS.items() if "enum" in schema}
    assert members["Outcome"] == [*Outcome]
    assert members["Reason"] == [*Reason]
    statuses = SCHEMAS["Approval"]["properties"]["status"]["enum"]
    assert statuses == [*Status, *(outcome for outcome in Outcome if outcome.is_final)]


@pytest.mark.parametrize(
    ("name", "field"), [("Approval", "reason_code"), ("Approval", "seen_by"), ("Collector", "outcome")]
)
def test_what_may_be_missing_is_null(name, field):
    assert {"type": "null"} in SCHEMAS[name]["properties"][field]["anyOf"]


def test_the_pages_ask_for_nothing_else():
    """The list by task, which they read before there was one by ticket, is there for others."""
    assets = Path(api.__file__).with_name("assets")
    asked = {path for one in assets.glob("*.js") for path in re.findall(r"[\"`](api/[\w/.]+)", one.read_text())}
    assert asked | {"api/v1/approvals"} == {f"{api.PATH}{path}".removeprefix("/") for path in DOCUMENT["paths"]}


def test_lists_have_a_limit():
    for path, most in (("/approvals", 100), ("/tickets", 100), ("/collectors", 2000)):
        (size,) = (one for one in DOCUMENT["paths"][path]["get"]["parameters"] if one["name"] == "size")
        assert (size["schema"]["minimum"], size["schema"]["maximum"]) == (1, most)


def test_the_document_is_served_with_the_address_it_was_asked_at():
    plugin, server = FastAPI(), FastAPI(root_path="/airflow")
    plugin.mount(api.PATH, api.create_api(ApprovalViews(AirflowMetadata())))
    server.mount("/bkitsm", plugin)
    with auth_manager() as manager:
        token = manager.sign_in(Person(reads=frozenset({"dag"})))
        client = TestClient(server, root_path="/airflow", headers={"Authorization": f"Bearer {token}"})
        answer = client.get("/airflow/bkitsm/api/v1/openapi.json")
    assert answer.status_code == 200
    assert answer.json() == {**DOCUMENT, "servers": [{"url": "/airflow/bkitsm/api/v1"}]}
