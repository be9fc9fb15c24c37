# SPDX-License-Identifier: Apache-2.0
"""A connection's extra, whoever wrote it."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.hooks.connection import read_extra, secrets_of


@pytest.mark.parametrize(
    ("text", "extra"),
    [
        (None, {}),
        (" ", {}),
        ("{}", {}),
        ('{"verify": false, "proxy": null, "front": " "}', {"verify": False}),
        ('{"extra__bkitsm__verify": "no"}', {"verify": "no"}),
        ('{"extra__bkitsm__verify": "no", "verify": true}', {"verify": True}),
        ('{"extra__bkitsm__verify": "no", "verify": ""}', {"verify": "no"}),
        ('{"extra__bkitsm__verify": null}', {}),
        ('{"extra__bkitsm__a__b__c": 1, "a__b": 2}', {"a__b__c": 1, "a__b": 2}),
    ],
)
def test_only_what_is_given_counts(text, extra):
    assert read_extra(text) == extra


@pytest.mark.parametrize("text", ["no json", "[]", '"text"', "1"])
def test_p8_what_is_no_object_is_refused_without_showing_it(text):
    with pytest.raises(ValueError, match="extra must be a JSON object") as caught:
        read_extra(text)
    assert str(caught.value) == "extra must be a JSON object"


@pytest.mark.parametrize(
    ("extra", "secrets"),
    [
        ({"bk_username": "robot", "verify": "/etc/ca.pem"}, set()),
        ({"access_token": " a ", "bk_token": 12345, "bk_ticket": None}, {"a", "12345"}),
        ({"callback_signing_secret": "one-key, another"}, {"one-key", "another"}),
        ({"callback_signing_keys": ["one-key", " another ", None, {"a": "b"}]}, {"one-key", "another"}),
        ({"callback_signing_keys": {"a": "b"}}, set()),
        ({"proxy": "http://proxy:3128", "access_token": "a"}, {"a"}),
        ({"proxy": "http://me:p%40ss@proxy"}, {"http://me:p%40ss@proxy", "p%40ss", "p@ss"}),
        ({"proxy": "http://[me:pass@proxy"}, {"http://[me:pass@proxy"}),
    ],
)
def test_p8_what_no_log_may_show(extra, secrets):
    assert set(secrets_of(extra)) == secrets
