# SPDX-License-Identifier: Apache-2.0
"""ITSM's refusals: codes and messages. Clients decide by the code, never by the message.

See docs/itsm-behaviour.md#error-codes.
"""

from __future__ import annotations

CREATE_FAILED = 3900003
OPERATION_FAILED = 3900004
INVALID = 3900005
TICKET_NOT_FOUND = 3900022
SERVICE_NOT_FOUND = 3900042
OBJECT_NOT_FOUND = 3900404
SERVER_ERROR = "SERVER_500_ERROR"


class Refusal(Exception):
    """A business refusal, with a code (an int or a text) and a message nobody should match on."""

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def unexpected(message: str) -> Refusal:
    """The catch-all of wrapped endpoints (docs/itsm-behaviour.md#catch-all-code)."""
    return Refusal(OPERATION_FAILED, f"接口异常，请检查请求参数: {message}")


def forbidden(message: str) -> Refusal:
    """A refused operation: a validation error inside the catch-all."""
    return unexpected(f"[ErrorDetail(string='{message}', code='invalid')]")


def bad_key(key: str, message: str, kind: str = "invalid") -> Refusal:
    """A parameter the serializer refuses."""
    return unexpected(f"{{'{key}': [ErrorDetail(string='{message}', code='{kind}')]}}")


def required(key: str) -> Refusal:
    """A parameter that is absent."""
    return bad_key(key, "该字段是必填项。", "required")


def blank(key: str) -> Refusal:
    """A parameter that is empty."""
    return bad_key(key, "该字段不能为空。", "blank")


def cannot_create(message: str) -> Refusal:
    """A form that is not accepted."""
    return Refusal(CREATE_FAILED, f"提单失败: {message}")


def invalid(message: str) -> Refusal:
    """A node's form that is not accepted."""
    return Refusal(INVALID, f"参数验证失败: {message}")


def no_such_ticket() -> Refusal:
    """The sn is unknown or absent."""
    return Refusal(TICKET_NOT_FOUND, "没有找到对应的单据")
