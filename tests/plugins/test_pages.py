"""What the pages are made of: complete in both languages, and nothing but the package's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_bkitsm.approvals.rows import Status
from airflow_provider_bkitsm.itsm.outcome import Reason
from airflow_provider_bkitsm.plugins import pages

ASSETS = Path(pages.__file__).with_name("assets")
SCRIPT = (ASSETS / "approvals.js").read_text(encoding="utf-8")
EVERYTHING = {path.name: path.read_text(encoding="utf-8") for path in ASSETS.iterdir()}


def words(language: str) -> set[str]:
    block = re.search(rf"\n    {language}: \{{(.*?)\n    \}},", SCRIPT, re.DOTALL)
    assert block is not None
    return set(re.findall(r"(?:^|[,\s])(\w+): \"", block.group(1)))


def test_both_languages_have_the_same_words():
    assert words("en") == words("zh")
    assert len(words("en")) > 80


def test_every_word_the_script_says_exists():
    said = set(re.findall(r"say\(\"(\w+)\"", SCRIPT)) | set(re.findall(r"card\(\"(\w+)\"", SCRIPT))
    assert said - words("en") == set()


def test_every_status_and_reason_has_its_words():
    assert {f"s_{one}" for one in Status} <= words("en")
    spoken = {str(one) for one in Reason} - {str(Reason.OPEN), str(Reason.APPROVED)}
    assert {one for one in spoken if f'"{one}":' not in SCRIPT} == set()


@pytest.mark.parametrize("name", EVERYTHING)
def test_nothing_is_loaded_from_elsewhere(name):
    addresses = set(re.findall(r"https?://[\w.]+", EVERYTHING[name]))
    assert addresses <= {"http://www.w3.org"}


def test_texts_never_become_html():
    for risky in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert risky not in SCRIPT


def test_the_shell_has_no_script_or_style_of_its_own():
    assert re.findall(r"<script[^>]*>[^<]", EVERYTHING["shell.html"]) == []
    assert "style=" not in EVERYTHING["shell.html"]
    assert re.search(r"\son\w+=", EVERYTHING["shell.html"]) is None
