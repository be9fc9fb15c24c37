"""What Airflow learns about the provider."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import airflow
import jsonschema
import pytest

from airflow_provider_bkitsm import __version__
from airflow_provider_bkitsm.get_provider_info import get_provider_info

INFO = get_provider_info()


@pytest.mark.parametrize("schema", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_it_is_what_airflows_schema_wants(schema):
    wanted = json.loads((Path(airflow.__file__).parent / schema).read_text())
    if schema == "provider.yaml.schema.json":
        wanted = wanted["properties"]["connection-types"]
        jsonschema.validate(INFO["connection-types"], wanted)
    else:
        jsonschema.validate(INFO, wanted)


def test_every_module_and_class_named_exists():
    for room in ("hooks", "operators", "sensors", "triggers"):
        for module in INFO[room][0]["python-modules"]:
            import_module(module)
    classes = [one["hook-class-name"] for one in INFO["connection-types"]] + INFO["extra-links"]
    classes += INFO["cli"] + INFO["notifications"]
    for path in classes:
        module, _, name = path.rpartition(".")
        assert hasattr(import_module(module), name)


def test_airflow_lists_the_provider_and_its_hooks():
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "providers", "list", "-o", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    listed = {one["package_name"]: one["version"] for one in json.loads(done.stdout[done.stdout.index("[") :])}
    assert listed["airflow-provider-bkitsm"] == __version__


@pytest.mark.parametrize("kind", ["bkitsm", "bklog"])
def test_a_connections_hook_is_found_by_its_type(connect, kind):
    from airflow.sdk import BaseHook

    connect("one", conn_type=kind, host="https://x", login="a", password="b")
    hook = BaseHook.get_hook("one")
    assert (hook.conn_type, getattr(hook, hook.conn_name_attr)) == (kind, "one")
