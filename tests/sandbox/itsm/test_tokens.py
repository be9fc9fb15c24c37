# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64

import pytest

from airflow_provider_bkitsm.sandbox.itsm import tokens
from airflow_provider_bkitsm.sandbox.server import SandboxServer


@pytest.fixture
def token(client, server, receiver):
    sn = client.opened(meta={"callback_url": receiver.url})
    server.approve(sn)
    return receiver.wait().body["token"]


def passes(client, body):
    return client.post("token/verify", body)["data"]["is_passed"]


def test_a_token_passes_again_and_again(client, token):
    assert len(token) == 88
    assert [passes(client, {"token": one}) for one in (token, token, token + "\n", token + " ")] == [True] * 4


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:20],
        lambda token: token[:-2],
        lambda token: token.rstrip("="),
        lambda token: "AA" + token[2:] if token[:2] != "AA" else "BB" + token[2:],
        lambda token: base64.b64encode(base64.b64decode(token)[:-1] + b"?").decode(),
        lambda _token: base64.b64encode(bytes(64)).decode(),
        lambda _token: "!!!! not base64",
        lambda _token: "",
    ],
)
def test_anything_else_does_not(client, token, spoil):
    assert passes(client, {"token": spoil(token)}) is False


def test_a_missing_token_does_not_pass(client):
    assert passes(client, {}) is False


@pytest.mark.parametrize("token", [123, None, True, base64.b64encode(bytes(16)).decode()])
def test_some_crash_the_call(client, token):
    assert client.post("token/verify", {"token": token})["code"] == 3900004


def test_another_installations_token_does_not_pass(client, token):
    with SandboxServer() as other:
        answer = client.raw("POST", f"{other.itsm_url}/token/verify/", json={"token": token}).json()
    assert answer["data"] == {"is_passed": False}


def test_the_standard_alphabet_is_needed():
    installation = tokens.new_installation()
    token = next(one for one in iter(lambda: tokens.issue(installation), "") if "+" in one)
    assert tokens.passes(installation, token)
    assert not tokens.passes(installation, token.replace("+", "-"))
    assert not tokens.passes(installation, token.replace("+", " "))
