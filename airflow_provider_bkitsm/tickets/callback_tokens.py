# SPDX-License-Identifier: Apache-2.0
"""What is kept of the tokens that ITSM sends back in callbacks: their digests, by the tag of the ticket.

A token is chosen and its digest stored before each attempt to open a ticket. An attempt whose answer was lost may
have opened it all the same: so the digests of earlier attempts are kept, and its callback is recognised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select

from airflow_provider_bkitsm.callback.signature import digest_of, with_callback
from airflow_provider_bkitsm.collectors.database import Store
from airflow_provider_bkitsm.collectors.tables import callback_token_table
from airflow_provider_bkitsm.hooks.connection import Gateway
from airflow_provider_bkitsm.hooks.store import store_engine

KEPT = 8
"""How many attempts to open one ticket have their tokens kept, the latest of them."""
_TOKEN = callback_token_table.c


class CallbackTokens(Store):
    """Keeps digests of tokens, in the store's database; no token itself.

    Every method raises ``StoreUnavailable`` where the database cannot be used.
    """

    def keep(self, *, bkitsm_conn_id: str, tag: str, digest: str) -> None:
        """Store a token's digest; of a tag with many, the oldest is dropped."""
        values = {"bkitsm_conn_id": bkitsm_conn_id, "tag": tag, "digest": digest, "chosen_at": self.now()}
        query = select(_TOKEN.digest).where(_TOKEN.tag == tag).order_by(_TOKEN.chosen_at.desc(), _TOKEN.digest)
        with self._transactions.begin() as connection:
            connection.execute(callback_token_table.insert().values(**values))
            for row in connection.execute(query).all()[KEPT:]:
                one = (_TOKEN.tag == tag, _TOKEN.digest == row.digest)
                connection.execute(delete(callback_token_table).where(*one))

    def of_ticket(self, *, bkitsm_conn_id: str, tag: str) -> tuple[str, ...]:
        """Return the digests of the tokens that were chosen for a ticket."""
        query = select(_TOKEN.digest, _TOKEN.bkitsm_conn_id, _TOKEN.tag).where(_TOKEN.tag == tag)
        with self._transactions.read() as connection:
            rows = connection.execute(query).all()
        # MySQL overlooks spaces at a text's end.
        return tuple(row.digest for row in rows if (row.tag, row.bkitsm_conn_id) == (tag, bkitsm_conn_id))


def open_callback_tokens() -> CallbackTokens:
    """Return the digests in the store that the API server reads; nothing is connected before their first use."""
    return CallbackTokens(store_engine())


def with_kept_callback(given: Mapping[str, Any] | None, *, gateway: Gateway, tag: str) -> dict[str, Any] | None:
    """Return a ticket's ``meta`` with our callback; the digest of its token is kept before the token is sent.

    :raises StoreUnavailable: it could not be kept. Nothing was sent.
    """
    meta = with_callback(given, gateway=gateway, tag=tag)
    is_ours = not (given or {}).get("callback_url")
    if meta is not None and is_ours and (token := meta.get("callback_token")):
        open_callback_tokens().keep(bkitsm_conn_id=gateway.conn_id, tag=tag, digest=digest_of(token))
    return meta
