# SPDX-License-Identifier: Apache-2.0
"""What the pages are made of: complete in both languages, and nothing but the package's own."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from airflow_provider_bkitsm.approvals.rows import Status
from airflow_provider_bkitsm.itsm.outcome import Outcome, Reason
from airflow_provider_bkitsm.plugins import api_actions, pages, reminders
from tests.test_docs_collectors import EVENTS

ASSETS = Path(pages.__file__).with_name("assets")
EVERYTHING = {path.name: path.read_text(encoding="utf-8") for path in ASSETS.iterdir()}
WORDS = EVERYTHING["words.js"]
SCRIPTS = {name: text for name, text in EVERYTHING.items() if name.endswith(".js")}
SHELL = EVERYTHING["shell.html"]
ORIGIN = "https://itsm.example.com"


# What the words say is tested in tests/js; here, that what Python and the scripts say has words.
KEYS = set(re.findall(r"^  (\w+): \[", WORDS, re.MULTILINE))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_word_a_script_says_exists(name):
    spoken = set(re.findall(r"\b(?:say|card|empty|button)\(\s*\"(\w+)\"", SCRIPTS[name]))
    assert spoken - KEYS == set()
    assert len(KEYS) > 80


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_is_empty_and_every_dialog_has_a_second_sentence(name):
    """Without one the page shows its key."""
    spoken = set(re.findall(r"\b(?:empty|opened)\(\s*\"(\w+)\"", SCRIPTS[name]))
    assert {f"{one}_more" for one in spoken} - KEYS == set()


def test_every_status_event_and_reason_has_its_words():
    assert {f"s_{one}" for one in (*Status, *Outcome)} <= KEYS
    assert {f"e_{event}" for event in EVENTS} <= KEYS
    assert {"by_callback", "by_poll"} <= KEYS
    spoken = {str(one) for one in Reason} - {Reason.OPEN.value, Reason.APPROVED.value}
    spoken |= {*reminders.REFUSALS, api_actions.NOT_OPEN, api_actions.NOBODY}
    translated = set(re.findall(r"^  (\w+|\"[^\"]+\"):\s+\"", WORDS, re.MULTILINE))
    assert spoken - {one.strip('"') for one in translated} == set()


@pytest.mark.parametrize("name", EVERYTHING)
def test_nothing_is_loaded_from_elsewhere(name):
    addresses = set(re.findall(r"https?://[\w.]+", EVERYTHING[name]))
    assert addresses <= {"http://www.w3.org"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_texts_never_become_html(name):
    for risky in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert risky not in SCRIPTS[name]


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_script_imports_is_there(name):
    for wanted, module in re.findall(r"import \{([^}]*)\} from \"\./([\w.]+)\"", SCRIPTS[name]):
        offered = set(re.findall(r"export (?:async )?(?:function|const|class) (\w+)", SCRIPTS[module]))
        assert set(re.findall(r"\w+", wanted)) <= offered


def test_modules_that_all_pages_share_are_fetched_at_once():
    fetched = set(re.findall(r"modulepreload\" href=\"assets/([^\"]+)\"", SHELL))
    imported = {one for text in SCRIPTS.values() for one in re.findall(r"from \"\./([\w.]+)\"", text)}
    own = {f"{module}.js" for modules in pages.IMPORTED.values() for module in modules}
    assert fetched == imported - own | {"{{ page }}.js"}


@pytest.mark.parametrize("page", pages.IMPORTED)
def test_so_is_what_a_page_alone_imports(page):
    imported = set(re.findall(r"from \"\./([\w.]+)\"", SCRIPTS[f"{page}.js"]))
    assert imported <= set(re.findall(r"modulepreload\" href=\"assets/([^\"]+)\"", pages.shell(page)))


def test_the_shell_has_no_script_or_style_of_its_own():
    assert re.findall(r"<script[^>]*>[^<]", SHELL) == []
    assert "style=" not in SHELL
    assert re.search(r"\son\w+=", SHELL) is None


@pytest.mark.parametrize(
    ("setting", "own", "origin"),
    [
        ("", "http://airflow", ""),
        (f"{ORIGIN}/", "http://airflow", ORIGIN),
        (ORIGIN, "", ORIGIN),
        (f"{ORIGIN}; script-src *", "", ""),
        ("*", "", ""),
        ("javascript:alert(1)", "", ""),
        ("https://airflow.example.com", "https://airflow.example.com/", ""),
        ("https://airflow.example.com", "https://airflow.example.com/prefix", ""),
        ("https://airflow.example.com", "https://airflow.example.com/préfixe", ""),
        ("https://airflow.example.com", " https://AIRFLOW.example.com:443 ", ""),
    ],
)
def test_one_origin_other_than_airflows_may_be_framed(monkeypatch, caplog, setting, own, origin):
    pages._origin.cache_clear()
    monkeypatch.setenv("AIRFLOW__BKITSM__ITSM_FRAME_ORIGIN", setting)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", own)
    with caplog.at_level(logging.WARNING):
        assert [pages.frame_origin(), pages.frame_origin()] == [origin, origin]
    assert len(caplog.records) == bool(setting and not origin)
