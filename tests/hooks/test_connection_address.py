# SPDX-License-Identifier: Apache-2.0
"""The gateway's address out of host, port and schema."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.hooks.connection import gateway_root

ROOT = "https://bkapi.example.com/api/x"


@pytest.mark.parametrize(
    ("host", "port", "schema", "root"),
    [
        (ROOT, None, None, ROOT),
        (f"{ROOT}/", None, "", ROOT),
        (f"{ROOT}//", None, "http", ROOT),
        (ROOT, 8443, None, "https://bkapi.example.com:8443/api/x"),
        ("https://bkapi.example.com:1/api", 8443, None, "https://bkapi.example.com:1/api"),
        ("bkapi.example.com/api/x", None, None, ROOT),
        ("bkapi.example.com", None, "api/x", ROOT),
        ("https://bkapi.example.com", None, "/api/x/", ROOT),
        ("bkapi.example.com", 8443, "http", "http://bkapi.example.com:8443"),
        ("bkapi.example.com/api", 80, "HTTP", "http://bkapi.example.com/api"),
        (ROOT, 443, None, ROOT),
        (ROOT, 0, None, ROOT),
        (ROOT, 80, None, "https://bkapi.example.com:80/api/x"),
        ("bkapi.example.com:8080/api", None, "http", "http://bkapi.example.com:8080/api"),
        ("HTTP://127.0.0.1:8099/api", None, None, "http://127.0.0.1:8099/api"),
        ("bkapi.example.com", 8443, "https", "https://bkapi.example.com:8443"),
        ("https://BOX", 8443, None, "https://BOX:8443"),
        ("https://bkapi.example.com:", 8443, None, "https://bkapi.example.com:8443"),
        ("https://bkapi.example.com/X/api/X/", None, None, "https://bkapi.example.com/X/api/X"),
        ("bkapi.example.com", None, " /X/api/X/ ", "https://bkapi.example.com/X/api/X"),
        ("https://[::1]/api", 8099, None, "https://[::1]:8099/api"),
    ],
)
def test_every_way_to_write_the_gateways_address(host, port, schema, root):
    assert gateway_root(host, port=port, schema=schema) == root


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("ftp://x", "http"),
        ("https:///api", "http"),
        ("https://[::1/api", "http"),
        ("https://me:s3cret@x", "user or password"),
        ("me:s3cret@x", "user or password"),
        ("https://x/api?token=s3cret", "without"),
        ("https://x/api#s3cret", "without"),
        ("https://x /s3cret", "blanks"),
        ("https://x:s3cret/api", "port"),
        ("https://x:99999", "port"),
    ],
)
def test_p8_what_is_no_address_is_refused_without_showing_it(host, said):
    with pytest.raises(ValueError, match=said) as caught:
        gateway_root(host, port=None, schema=None)
    assert "s3cret" not in str(caught.value)
