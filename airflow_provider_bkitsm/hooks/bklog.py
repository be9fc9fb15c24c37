# SPDX-License-Identifier: Apache-2.0
"""``BkLogHook``: the log platform's collectors over the API gateway ``bk-log-search``.

Errors are HTTP 200 with ``result`` false and a code that is text; a downstream platform's own code may shine
through, so unknown codes are kept as they came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_bkitsm.hooks.answers import located
from airflow_provider_bkitsm.hooks.base import BlueKingHook
from airflow_provider_bkitsm.hooks.exchange import NoAnswerError, Reply
from airflow_provider_bkitsm.itsm.errors import ItsmError
from airflow_provider_bkitsm.itsm.protocol import Call, Envelope, open_envelope

Collector = Mapping[str, Any]
_PAGE_SIZE = 1000
_OK, _RATE_LIMITED, _SERVER_ERRORS = 200, 429, 500
# The platform could not reach something behind it, or was asked too early (reference 7.2).
_PASSING_CODES = frozenset({"3600002", "3600003", "3600015", "3600500", "3631108", "500001"})


class BkLogError(ItsmError):
    """The log platform refused; the same request will be refused again."""


class BkLogUnavailableError(BkLogError):
    """The log platform, or what it needs, is down. Its writes used here may be repeated."""

    retry_safe = True


class BkLogCollectorNotFoundError(BkLogError):
    """The log platform does not show such a collector to this business and user."""


class BkLogHook(BlueKingHook):
    """Synchronous client of the log platform.

    :param bklog_conn_id: connection of type ``bklog``; its host is the gateway root, e.g.
        ``https://bkapi.example.com/api/bk-log-search/prod``. It is read at the first call, not before.
    """

    conn_name_attr = "bklog_conn_id"
    default_conn_name = "bklog_default"
    conn_type = "bklog"
    hook_name = "BlueKing Log"

    def __init__(self, bklog_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.bklog_conn_id = bklog_conn_id

    def list_collectors(self, *, bk_biz_id: int, **filters: object) -> Iterator[Collector]:
        """Yield a business's collectors, page by page.

        The list is read rather than the detail: the detail asks ITSM and fails when ITSM is down.
        """
        page, seen, total = 1, 0, 1
        while seen < total:
            found = self._get(
                "databus_collectors/", bk_biz_id=bk_biz_id, page=page, pagesize=_PAGE_SIZE, **filters
            )
            rows = _rows(found)
            yield from rows
            page, seen, total = page + 1, seen + len(rows), found["total"] if rows else 0

    def get_collector(self, collector_config_id: int, *, bk_biz_id: int) -> Collector:
        """Return one collector as the list shows it.

        :raises BkLogCollectorNotFoundError: it is not there.
        """
        for row in self.list_collectors(bk_biz_id=bk_biz_id, collector_id_list=collector_config_id):
            if row.get("collector_config_id") == collector_config_id:
                return row
        raise BkLogCollectorNotFoundError(
            f"the log platform shows no collector {collector_config_id} in business {bk_biz_id}"
        )

    def get_collector_detail(self, collector_config_id: int) -> Collector:
        """Return one collector with its whole ETL and storage, which the list does not show.

        The platform asks ITSM for it if it ever opened a ticket for the collector itself, and fails if ITSM is
        down (reference 4.2).
        """
        found: Collector = self._get(f"databus_collectors/{collector_config_id}/")
        return found

    def update_or_create_clean_config(
        self, collector_config_id: int, clean_config: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Write a collector's ETL and storage; a second identical call changes nothing."""
        answer = self._post(
            f"databus_collectors/{collector_config_id}/update_or_create_clean_config/", clean_config
        )
        if not isinstance(answer, dict) or "index_set_id" not in answer:
            raise BkLogError(
                f"the log platform did not write the ETL of collector {collector_config_id}: its own approval"
                " switch seems to be on, and holds the change back"
            )
        return answer

    def start(self, collector_config_id: int) -> None:
        """Start a stopped collector."""
        self._post(f"databus_collectors/{collector_config_id}/start/", {})

    def stop(self, collector_config_id: int, *, is_stop_index_set: bool = True) -> None:
        """Stop a collector, by default together with its index set."""
        self._post(f"databus_collectors/{collector_config_id}/stop/", {"is_stop_index_set": is_stop_index_set})

    def _report(self) -> str:
        """Read one page of collectors of business 0, which needs the app's grant."""
        self._get("databus_collectors/", bk_biz_id=0, page=1, pagesize=1)
        return (
            f"the log platform answers: app {self.gateway.app_code!r} may read collectors; whether it may write"
            " them (each call needs a grant of its own) only writing would show"
        )

    def _get(self, path: str, **params: object) -> Any:
        texts = {key: str(value) for key, value in params.items()}
        return self._send(Call(method="GET", path=path, params=texts, parse=_as_is))

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._send(Call(method="POST", path=path, body=body, parse=_as_is, is_write=True))

    def _send(self, call: Call[Any]) -> Any:
        try:
            reply = self.get_conn().send(call)
        except NoAnswerError as error:
            raise BkLogUnavailableError(f"log platform: {error}") from None
        envelope = open_envelope(reply.body)
        if envelope is not None and envelope.ok and reply.status_code == _OK:
            return envelope.data
        raise _refusal(reply, envelope)


def _as_is(data: Any) -> Any:
    return data


def _rows(found: Any) -> list[Collector]:
    if not isinstance(found, dict) or not isinstance(found.get("list"), list):
        raise BkLogUnavailableError("the log platform's list of collectors is not as known (total, list)")
    rows: list[Collector] = found["list"]
    return rows


def _refusal(reply: Reply, envelope: Envelope | None) -> BkLogError:
    if envelope is None:
        return _kind(reply, answered=False)(
            located(reply, f"expected the log platform's JSON envelope, got HTTP {reply.status_code}")
        )
    kind = BkLogUnavailableError if str(envelope.code) in _PASSING_CODES else _kind(reply, answered=True)
    return kind(
        f"the log platform answered: {envelope.message[:500] or 'no message'}",
        code=envelope.code,
        request_id=envelope.request_id or reply.request_id,
    )


def _kind(reply: Reply, *, answered: bool) -> type[BkLogError]:
    """Judge by the status: the platform refuses with HTTP 200, the gateway with its own; a page is an outage."""
    down = reply.status_code >= _SERVER_ERRORS or reply.status_code == _RATE_LIMITED
    page = reply.status_code == _OK and not answered
    return BkLogUnavailableError if down or page else BkLogError
