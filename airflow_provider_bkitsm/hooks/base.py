# SPDX-License-Identifier: Apache-2.0
"""What the hooks of both platforms share: the connection, the client, the Test button."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from airflow.sdk import BaseHook

from airflow_provider_bkitsm.hooks.connection import Gateway, read_gateway
from airflow_provider_bkitsm.hooks.connection_form import field_behaviour, form_widgets
from airflow_provider_bkitsm.hooks.transport import SyncTransport
from airflow_provider_bkitsm.itsm.errors import ItsmError


def tell(report: Callable[[], str], conn_id: str) -> tuple[bool, str]:
    """Return whether ``report`` succeeded, and its sentence or the reason of its failure.

    The button tests under a random connection id, which would only puzzle its reader.
    """
    try:
        return True, report()
    except ItsmError as error:
        return False, str(error).removeprefix(f"connection {conn_id!r}: ")
    except Exception as error:
        # Foreign words may hold anything, a secret included: the kind must do.
        return False, f"the connection cannot be used ({type(error).__name__})"


class BlueKingHook(BaseHook):
    """A synchronous hook; a subclass keeps its connection's id under the name in ``conn_name_attr``."""

    conn_name_attr: str
    conn_type: str
    _transport: SyncTransport | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Airflow 3.1 looks for them in a hook's class alone, not in those above it.
        cls.get_connection_form_widgets = classmethod(_widgets)  # type: ignore[method-assign,assignment]
        cls.get_ui_field_behaviour = classmethod(_behaviour)  # type: ignore[method-assign,assignment]

    def get_conn_id(self) -> str:
        """Return the id of this hook's connection."""
        return str(getattr(self, self.conn_name_attr))

    def get_conn(self) -> SyncTransport:
        """Return the transport of this hook's connection, opened once."""
        if self._transport is None:
            self._transport = SyncTransport(read_gateway(self.get_connection(self.get_conn_id())))
        return self._transport

    @property
    def gateway(self) -> Gateway:
        """The gateway and who calls it."""
        return self.get_conn().gateway

    def close(self) -> None:
        """Close the HTTP session."""
        if self._transport is not None:
            self._transport.close()

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the connection can be used, and a sentence about it; only reads are made."""
        return tell(self._report, self.get_conn_id())

    @abstractmethod
    def _report(self) -> str:
        """Make harmless reads and return what they showed.

        :raises ItsmError: something is wrong.
        """


def _widgets(cls: type[BlueKingHook]) -> dict[str, Any]:
    """Return the connection form's own fields; Airflow 3.1 asks for them, later ones read the provider info."""
    return form_widgets(cls.conn_type)


def _behaviour(cls: type[BlueKingHook]) -> dict[str, Any]:
    """Return how Airflow's own fields look in the form, likewise."""
    return field_behaviour(cls.conn_type)
