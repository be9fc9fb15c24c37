# SPDX-License-Identifier: Apache-2.0
"""The base of both platforms' hooks: connection, HTTP session and Test button."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

from airflow.sdk import BaseHook

from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.hooks.connection_form import field_behaviour, form_widgets
from airflow_provider_bkitsm.hooks.connection_lookup import find_connection
from airflow_provider_bkitsm.hooks.transport import SyncTransport
from airflow_provider_bkitsm.itsm.errors import ItsmError


def run_report(report: Callable[[], str], conn_id: str) -> tuple[bool, str]:
    """Return whether ``report`` succeeded, and its sentence or the reason of its failure.

    The Test button uses a random connection id, which is left out: nobody would recognise it.
    """
    try:
        return True, report()
    except ItsmError as error:
        return False, str(error).removeprefix(f"connection {conn_id!r}: ")
    except Exception as error:
        # The text of a foreign error may hold a secret: only its class is named.
        return False, f"the connection cannot be used ({type(error).__name__})"


class BlueKingHook(BaseHook):
    """A synchronous hook; a subclass keeps its connection's id under the name in ``conn_name_attr``."""

    conn_name_attr: str
    conn_type: str
    _transport: SyncTransport | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Airflow 3.1 looks for these methods in a hook's own class only, not in its base classes.
        cls.get_connection_form_widgets = classmethod(_widgets)  # type: ignore[method-assign,assignment]
        cls.get_ui_field_behaviour = classmethod(_behaviour)  # type: ignore[method-assign,assignment]

    @classmethod
    def over(cls, transport: SyncTransport) -> Self:
        """Return a hook whose calls take a transport that was made already."""
        hook = cls()
        hook._transport = transport
        return hook

    def get_conn_id(self) -> str:
        """Return the id of this hook's connection."""
        return str(getattr(self, self.conn_name_attr))

    def get_conn(self) -> SyncTransport:
        """Return the transport of this hook's connection, opened once."""
        if self._transport is None:
            self._transport = SyncTransport(read_gateway(find_connection(self.get_conn_id())))
        return self._transport

    @property
    def gateway(self) -> Gateway:
        """The gateway, and the credentials of its caller."""
        return self.get_conn().gateway

    def close(self) -> None:
        """Close the HTTP session."""
        if self._transport is not None:
            self._transport.close()

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the connection can be used, and a sentence about it; only reads are made."""
        return run_report(self._report, self.get_conn_id())

    @abstractmethod
    def _report(self) -> str:
        """Make harmless reads and return a sentence about their results.

        :raises ItsmError: a read failed.
        """


def _widgets(cls: type[BlueKingHook]) -> dict[str, Any]:
    """Return the extra fields of the connection form. Later Airflow versions read them from the provider info."""
    return form_widgets(cls.conn_type)


def _behaviour(cls: type[BlueKingHook]) -> dict[str, Any]:
    """Return how Airflow's own fields look in the connection form."""
    return field_behaviour(cls.conn_type)
