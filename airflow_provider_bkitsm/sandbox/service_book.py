# SPDX-License-Identifier: Apache-2.0
"""All services and catalogues of a sandbox: the shipped ones, and what was imported, which survives a restart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_bkitsm.sandbox import exports, shipped
from airflow_provider_bkitsm.sandbox.database import Database
from airflow_provider_bkitsm.sandbox.services import Service
from airflow_provider_bkitsm.sandbox.settings import LogServices


class ServiceBook(Mapping[int, Service]):
    """Services by number, in their present version.

    A ticket keeps the version it was opened in only until the sandbox restarts.
    """

    def __init__(self, *, database: Database, log_services: LogServices = "approval") -> None:
        self._database = database
        self._services = shipped.services(log_services)
        self.catalogs: dict[int, dict[str, Any]] = {one["id"]: dict(one) for one in shipped.CATALOGS}
        self.catalogs |= {int(key): body for key, body in database.load("catalog").items()}
        for key, body in database.load("service").items():
            self._services[int(key)] = exports.service_of(int(key), body)
        for key, signal in database.load("deleted_node").items():
            number, _, state_id = key.partition("/")
            self._services[int(number)].live.delete_node(int(state_id), signal=signal)

    def __getitem__(self, number: int) -> Service:
        return self._services[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._services)

    def __len__(self) -> int:
        return len(self._services)

    def named(self, name: str) -> Service | None:
        """Return the service of a name, which is unique."""
        return next((one for one in self._services.values() if one.name == name), None)

    def put(self, body: Mapping[str, Any], number: int | None = None) -> Service:
        """Take in an export as a new service, or as the new version of one.

        :raises Refusal: its flow has steps that are not understood.
        """
        number = max(self._services) + 1 if number is None else number
        service = exports.service_of(number, body)
        self._restore_nodes(number)
        self._services[number] = service
        self._database.save("service", number, dict(body))
        return service

    def delete_node(self, number: int, state_id: int, *, signal: bool) -> None:
        """Delete a node of a service's live workflow, also under its open tickets.

        :raises LookupError: there is no such service or node.
        """
        if self._services[number].node(state_id) is None:
            raise LookupError(state_id)
        self._services[number].live.delete_node(state_id, signal=signal)
        self._database.save("deleted_node", f"{number}/{state_id}", signal)

    def _restore_nodes(self, number: int) -> None:
        """Forget what was deleted of a service: a new version has its nodes again."""
        for key in self._database.load("deleted_node"):
            if key.startswith(f"{number}/"):
                self._database.delete("deleted_node", key)

    def add_catalog(self, parent: Mapping[str, Any], name: str, desc: str) -> dict[str, Any]:
        """Create a catalogue below another."""
        number = max(self.catalogs) + 1
        made = {
            "id": number,
            "key": f"catalog_{number}",
            "name": name,
            "level": parent["level"] + 1,
            "desc": desc,
            "parent": parent["id"],
        }
        self.catalogs[number] = made
        self._database.save("catalog", number, made)
        return made

    def tree(self, parent: int | None = None) -> list[dict[str, Any]]:
        """Return catalogues as ``get_service_catalogs`` shows them."""
        return [
            {key: one[key] for key in ("id", "key", "name", "level", "desc")} | {"children": self.tree(one["id"])}
            for one in self.catalogs.values()
            if one["parent"] == parent
        ]
