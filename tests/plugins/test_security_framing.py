# SPDX-License-Identifier: Apache-2.0
"""Which addresses get into a frame."""

from __future__ import annotations

import pytest

from airflow_provider_bkitsm.plugins.security import framed, origin_of

ORIGIN = "https://itsm.example.com"


@pytest.mark.parametrize(
    ("setting", "origin"),
    [
        ("https://itsm.example.com", ORIGIN),
        (" https://itsm.example.com/ ", ORIGIN),
        ("HTTPS://ITSM.example.com:443", ORIGIN),
        ("http://10.0.0.1:8080", "http://10.0.0.1:8080"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://[0:0::1]", "http://[::1]"),
        ("https://itsm.example.com:08443", f"{ORIGIN}:8443"),
    ],
)
def test_an_origin_is_written_as_browsers_do(setting, origin):
    assert origin_of(setting) == origin


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "*",
        "itsm.example.com",
        "//itsm.example.com",
        "https:",
        "https://",
        "https://*.example.com",
        "ftp://itsm.example.com",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://itsm.example.com/path",
        "https://itsm.example.com?x",
        "https://a.example.com https://b.example.com",
        "https://itsm.example.com; script-src *",
        "https://itsm.example.com\r\nX-Evil: 1",
        "https://itsm.example.com, *",
        "https://user@itsm.example.com",
        "https://itsm.example.com:port",
        "https://ítsm.example.com",
        "https://itsm.example.com:99999",
        "https://[::1%25;x]",
        "https://[itsm]",
        "https://[::1",
        "https://itsm.example.com#x",
        "https://itsm.\texample.com",
        "https://itsm.example.com\\",
        "https://itsm_x;.example.com",
        "'self'",
    ],
)
def test_anything_else_is_no_origin(setting):
    assert origin_of(setting) == ""


@pytest.mark.parametrize(
    "address", [f"{ORIGIN}/#/ticket/detail-iframe?id=3", ORIGIN, f"{ORIGIN}:443/x", "https://ITSM.example.com/x?y"]
)
def test_an_address_of_the_origin_is_framed(address):
    assert framed(address, ORIGIN) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://itsm.example.com/",
        "https://itsm.example.com:8443/",
        "https://itsm.example.com.evil.example.com/",
        "https://itsm.example.com@evil.example.com/",
        "https://itsm.example.com\\@evil.example.com/",
        "https://evil.example.com/https://itsm.example.com/",
        "javascript:alert(1)//https://itsm.example.com/",
        "https://itsm.example.com/\nx",
        "https://itsm.example.com/a b",
        " https://itsm.example.com/",
        "https://itsm.exam\tple.com/",
        "https://user@itsm.example.com/",
        "https://itsm.example.com/é",
    ],
)
def test_any_other_address_is_not(address):
    assert framed(address, ORIGIN) == ""


def test_without_an_origin_nothing_is_framed():
    assert framed("https://itsm.example.com/", "") == ""
