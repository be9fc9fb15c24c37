# SPDX-License-Identifier: Apache-2.0
"""What Airflow learns about the provider."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

import airflow
import jsonschema
import pytest
from airflow.sdk import BaseHook, BaseNotifier, BaseOperator, BaseOperatorLink, BaseSensorOperator
from airflow.triggers.base import BaseTrigger

import airflow_provider_bkitsm
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
    classes += [*INFO["cli"], *INFO["notifications"], *(one["class-name"] for one in INFO["task-decorators"])]
    for path in classes:
        module, _, name = path.rpartition(".")
        assert hasattr(import_module(module), name)


ROOMS = {
    "hooks": BaseHook,
    "operators": BaseOperator,
    "sensors": BaseSensorOperator,
    "triggers": BaseTrigger,
    "notifications": BaseNotifier,
    "links": BaseOperatorLink,
}


def _modules_of(room: str) -> Iterator[ModuleType]:
    folder = Path(airflow_provider_bkitsm.__file__).parent / room
    return (import_module(f"airflow_provider_bkitsm.{room}.{one.name}") for one in iter_modules([str(folder)]))


def _public(room: str, base: type) -> set[str]:
    """What a person can use of a room: its classes that are no base of others and have no private name."""
    found = {
        one
        for module in _modules_of(room)
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, base) and one.__module__.startswith(module.__package__)
    }
    inherited = {parent for one in found for parent in one.__mro__[1:]}
    return {one.__name__ for one in found - inherited if not one.__name__.startswith("_")}


def _listed(room: str) -> set[str]:
    """Names of the modules, or of the classes, that the provider info has for a room."""
    entries = INFO.get({"links": "extra-links"}.get(room, room), [])
    if entries and isinstance(entries[0], str):
        return {one.rpartition(".")[2] for one in entries}
    return {name for one in entries for module in one["python-modules"] for name in vars(import_module(module))}


@pytest.mark.parametrize("room", ROOMS)
def test_everything_a_person_can_use_is_listed(room):
    assert _public(room, ROOMS[room]) <= _listed(room)


def test_every_task_decorator_is_listed():
    modules = {one["class-name"].rpartition(".")[0] for one in INFO.get("task-decorators", [])}
    assert {one.__name__ for one in _modules_of("decorators")} == modules


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
    connect("one", conn_type=kind, host="https://x", login="a", password="b")
    hook = BaseHook.get_hook("one")
    assert (hook.conn_type, getattr(hook, hook.conn_name_attr)) == (kind, "one")
