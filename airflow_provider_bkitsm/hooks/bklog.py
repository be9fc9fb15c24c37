# SPDX-License-Identifier: Apache-2.0
"""``BkLogHook``: the log platform's collectors over the API gateway ``bk-log-search``.

Errors are HTTP 200 with ``result`` false and a code that is text; a downstream platform's own code may shine
through, so unknown codes are kept as they came.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_bkitsm.collectors.collector import Collector
from airflow_provider_bkitsm.collectors.current_config import differences
from airflow_provider_bkitsm.collectors.platform_rules import StorageCluster
from airflow_provider_bkitsm.hooks.base import BlueKingHook
from airflow_provider_bkitsm.hooks.responses import denied, located
from airflow_provider_bkitsm.hooks.transport import NoAnswerError, Reply
from airflow_provider_bkitsm.itsm.errors import ItsmError, ItsmUnavailableError
from airflow_provider_bkitsm.itsm.protocol import Call, Envelope, error_by_code, open_envelope

_PAGE_SIZE = 1000
_LONGEST_URL = 1000
# A number that no collector has. Reading it shows whether the platform answers this app, whoever the user is.
_NO_COLLECTOR = 999_999_999
_OK, _RATE_LIMITED, _SERVER_ERRORS = 200, 429, 500
_NOT_FOUND, _BEYOND_THE_END, _DENIED = "3631001", "3600404", "9900403"
# A service behind the platform did not answer or refused for now (3600002, 3600003, 3600015), a deployment is
# running (3631108), the platform's own approval is under way (3631504). 3600500 and 500001 sound like these, but
# are mostly faults of the payload that crash the platform's code each time. See
# docs/log-platform-behaviour.md#failures-that-pass.
_PASSING_CODES = frozenset({"3600002", "3600003", "3600015", "3631108", "3631504"})
# The log platform's own codes, the codes of missing rights, and its framework's code for a crash (500001).
# Any other code with HTTP 200 comes from a service in front of or behind the platform.
_OWN_CODE = re.compile(r"36\d{5}|99\d{5}|\d{0,6}")
# Codes and statuses with which gateway or ESB refuse the app or its user.
_REFUSED_BY_FRONT = frozenset({"1640001", "1640301", "1640302", "1306000", "1306401", "1306402", "1306403"})
_REFUSED_STATUSES = (401, 403)


class BkLogError(ItsmError):
    """The log platform refused; the same request will be refused again."""


class BkLogUnavailableError(BkLogError):
    """The log platform, or a service behind it, is down. Its writes used here may be repeated."""

    retry_safe = True


class BkLogCollectorNotFoundError(BkLogError):
    """The log platform does not show such a collector to this business and user."""


class BkLogPermissionError(BkLogError):
    """The connection's user lacks a right in the log platform; the message names where to ask for it."""


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

        The list is read rather than the detail: the detail asks ITSM and fails when ITSM is down. Older platforms
        keep retention and storage cluster for ten minutes: after a change, read them from the detail.

        :param filters: further parameters of the list, such as ``keyword``; ``ignore_display_config="true"`` shows
            hidden collectors too.
        """
        page, seen, total = 1, 0, 1
        while seen < total:
            rows, total = self._page(page, bk_biz_id=bk_biz_id, **filters)
            yield from rows
            page, seen, total = page + 1, seen + len(rows), total if rows else 0

    def _page(self, page: int, **filters: object) -> tuple[list[Collector], int]:
        """Return one page and the total. A page that is empty because collectors were deleted ends the list."""
        try:
            data = self._get("databus_collectors/", page=page, pagesize=_PAGE_SIZE, **filters)
        except BkLogError as error:
            if page > 1 and str(error.code) == _BEYOND_THE_END:
                return [], 0
            raise
        return _rows(data)

    def get_collector(self, collector_config_id: int, *, bk_biz_id: int) -> Collector:
        """Return one collector as the list shows it; hidden ones too.

        See docs/log-platform-behaviour.md#hidden-collectors.

        :raises BkLogCollectorNotFoundError: it is not there.
        """
        filters = {"collector_id_list": collector_config_id, "ignore_display_config": "true"}
        for row in self.list_collectors(bk_biz_id=bk_biz_id, **filters):
            if row.number == collector_config_id:
                return row
        raise BkLogCollectorNotFoundError(
            f"the log platform shows no collector {collector_config_id} in business {bk_biz_id}"
        )

    def get_collector_detail(self, collector_config_id: int) -> Collector:
        """Return one collector with its whole ETL and storage, which the list does not show.

        The platform reads ITSM for it if it ever opened a ticket for the collector itself, and fails if ITSM is
        down.
        """
        data = self._get(f"databus_collectors/{collector_config_id}/")
        if not isinstance(data, dict):
            raise BkLogUnavailableError("the log platform's detail of a collector is not as known (an object)")
        return Collector(data)

    def update_or_create_clean_config(
        self, collector_config_id: int, clean_config: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Write a collector's ETL and storage; a second identical call changes nothing.

        The answer repeats the request. Only the collector's detail shows the result, a moment later.
        """
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

    def storage_clusters(self, *, bk_biz_id: int) -> dict[int, StorageCluster] | None:
        """Return the storage clusters a business may use, or None where this app may not read them.

        The call is not public at the gateway: the platform's administrators have to grant it to an app.
        """
        try:
            data = self._get("databus_storage/cluster_groups/", bk_biz_id=bk_biz_id)
        except BkLogError as error:
            self.log.debug("the log platform does not list its storage clusters: %s", error)
            return None
        rows = data if isinstance(data, list) else []
        clusters = [_cluster(row) for row in rows if isinstance(row, dict)]
        return {cluster.number: cluster for cluster in clusters if cluster is not None} or None

    def _report(self) -> str:
        """Make one read that every user may make, or list a page of the connection's own business."""
        biz, app, user = self._own_business(), self.gateway.app_code, self.gateway.username
        if biz is not None:
            rows, total = _rows(self._get("databus_collectors/", bk_biz_id=biz, page=1, pagesize=1))
            may_write = rows[0].get("permission", {}) if rows else {}
            return (
                f"the log platform answers: app {app!r} as {user!r} sees {total} collectors of business {biz}"
                f"{_right_to_write(may_write)}"
            )
        with suppress(BkLogCollectorNotFoundError):
            self.get_collector_detail(_NO_COLLECTOR)
        return (
            f"the log platform answers app {app!r}. What user {user!r} may see or write was not asked: for that,"
            " put a business of theirs as bk_biz_id into the connection's extra"
        )

    def _own_business(self) -> int | None:
        """Return the business of the connection's extra. A negative number is a space; 0 is no business."""
        text = self.gateway.text("bk_biz_id")
        if text is None:
            return None
        if not text.removeprefix("-").isdecimal() or int(text) == 0:
            raise self.gateway.wrong("bk_biz_id", "the number of a business")
        return int(text)

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
        raise _refusal(call, reply, envelope)


def _as_is(data: Any) -> Any:
    return data


def _rows(data: Any) -> tuple[list[Collector], int]:
    """Return a page's rows and the total of all pages."""
    rows, total = (data.get("list"), data.get("total")) if isinstance(data, dict) else (None, None)
    if not isinstance(rows, list) or not isinstance(total, int) or not all(isinstance(row, dict) for row in rows):
        raise BkLogUnavailableError("the log platform's list of collectors is not as known (total, list)")
    return [Collector(row) for row in rows], total


def _cluster(row: Mapping[str, Any]) -> StorageCluster | None:
    number, version, hot_warm = map(row.get, ("storage_cluster_id", "storage_version", "enable_hot_warm"))
    if not isinstance(number, int):
        return None
    return StorageCluster(
        number=number,
        has_hot_warm=hot_warm if isinstance(hot_warm, bool) else None,
        version=version if isinstance(version, str) and version else None,
    )


def _right_to_write(permission: Any) -> str:
    right = permission.get("manage_collection_v2") if isinstance(permission, dict) else None
    if right is None:
        return "; whether it may write them, only writing would show"
    return "" if right else ", but may not change the first of them (no right manage_collection_v2)"


def _refusal(call: Call[Any], reply: Reply, envelope: Envelope | None) -> BkLogError:
    if envelope is None:
        return _kind_by_status(reply)(
            located(reply, f"expected the log platform's JSON envelope, got HTTP {reply.status_code}")
        )
    code, answer = str(envelope.code), envelope.message[:500] or "no message"
    message = f"the log platform answered: {answer}{_where_to_ask(envelope.data)}"
    is_of_front = code in _REFUSED_BY_FRONT or (reply.status_code in _REFUSED_STATUSES and code != _DENIED)
    return _kind(reply, code)(
        denied(call, reply, message) if is_of_front else message,
        code=envelope.code,
        request_id=envelope.request_id or reply.request_id,
    )


def _kind(reply: Reply, code: str) -> type[BkLogError]:
    passes = code in _PASSING_CODES or issubclass(
        error_by_code(reply.status_code, code, own=_OWN_CODE), ItsmUnavailableError
    )
    named = {_NOT_FOUND: BkLogCollectorNotFoundError, _DENIED: BkLogPermissionError}
    return BkLogUnavailableError if passes else named.get(code, BkLogError)


def _kind_by_status(reply: Reply) -> type[BkLogError]:
    """Return the error class of an answer without an envelope, by its status: HTTP 200 is an outage."""
    down = reply.status_code >= _SERVER_ERRORS or reply.status_code in (_OK, _RATE_LIMITED)
    return BkLogUnavailableError if down else BkLogError


def _where_to_ask(data: Any) -> str:
    """Return the address where the missing right can be requested; empty unless the platform gave a valid one."""
    url = data.get("apply_url") if isinstance(data, dict) else None
    if (
        not isinstance(url, str)
        or len(url) > _LONGEST_URL
        or not (url.isascii() and url.isprintable())
        or " " in url
    ):
        return ""
    try:
        address = urlsplit(url)
    except ValueError:
        return ""
    plain = address.scheme in ("http", "https") and address.hostname and "@" not in address.netloc
    return f". The right can be asked for at {url}" if plain else ""


# Seconds between reads of the written collector: an existing table is changed in the background
# (docs/log-platform-behaviour.md#changes-come-late).
READ_BACK_PAUSES = (0.5, 1.0, 2.0, 4.0)
_STILL_APPLYING = "3631504"


def provision(
    hook: BkLogHook,
    collector_config_id: int,
    payload: Mapping[str, Any],
    *,
    bk_biz_id: int,
    start: bool = True,
) -> dict[str, Any]:
    """Write a payload, read it back, and return the platform's answer with the table's name.

    Safe to repeat: the platform takes the same payload twice without harm. The payload is read back from the
    collector's detail, since the list of older platforms shows the storage of ten minutes ago
    (docs/log-platform-behaviour.md#cache-of-the-list), and compared with the table's own values.

    :param start: start a stopped collector first; older platforms refuse the ETL of a stopped collector.
    :raises BkLogError: the platform refuses.
    :raises BkLogUnavailableError: it cannot be reached, is applying for the collector itself, or does not show the
        payload in time.
    """
    collector = hook.get_collector(collector_config_id, bk_biz_id=bk_biz_id)
    _check_not_natively_applying(collector)
    if start and not collector.get("is_active", True):
        hook.start(collector_config_id)
    answer = hook.update_or_create_clean_config(collector_config_id, payload)
    for pause in (*READ_BACK_PAUSES, None):
        detail = hook.get_collector_detail(collector_config_id)
        wrong = [
            *differences(payload, detail),
            *([] if detail.get("index_set_id") else ["index_set_id is missing"]),
        ]
        if not wrong:
            return {**answer, "table_id": detail.table_id}
        if pause is not None:
            time.sleep(pause)
    raise BkLogUnavailableError(
        f"the log platform took the ETL but still shows something else: {'; '.join(wrong)}. Either it is slow, or"
        " its metadata refused the change behind it; it does not say which. A retry writes and looks again"
    )


def _check_not_natively_applying(collector: Collector) -> None:
    """Refuse a collector that the platform's own approval is under way for: it would replace what we write.

    See docs/log-platform-behaviour.md#native-approval-beside-ours.
    """
    if collector.is_natively_applying:
        raise BkLogUnavailableError(
            f"the log platform itself is applying for collector {collector.number} (ticket"
            f" {collector.get('itsm_ticket_sn')}): when that is approved, the payload parked there would replace"
            " ours. Nothing was written; a retry goes on once that ticket has ended",
            code=_STILL_APPLYING,
        )
