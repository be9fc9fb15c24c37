# SPDX-License-Identifier: Apache-2.0
"""The documentation as one site in two languages: built without a warning, searchable, and complete in itself."""

from __future__ import annotations

import html
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from demo.browser import browser
from docs.website.chinese_search import SearchChinese
from docs.website.pages import shown, slug
from tests.e2e.browsing import needs_a_browser

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.stem for path in DOCS.glob("*.md"))
TAGS = {"en": [], "zh": ["--tag", "zh"]}


def _build(source, target, language, *options):
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--fresh-env", "--conf-dir", DOCS]
    return subprocess.Popen(
        [*command, *TAGS[language], *options, source, target],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of the site, which both languages are built into at once."""
    folder, doctrees = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("doctrees")
    builds = [
        _build(DOCS, folder, "en", "--doctree-dir", doctrees / "en"),
        _build(DOCS / "zh", folder / "zh", "zh", "--doctree-dir", doctrees / "zh"),
    ]
    complaints = [build.communicate()[0] for build in builds]
    assert [build.returncode for build in builds] == [0, 0], "\n".join(complaints)
    return folder


def _text(page):
    """Return what can be read on a page, without the navigation."""
    article = re.search(r"<article.*?</article>", page.read_text(), re.DOTALL)[0]
    return html.unescape(re.sub(r"<[^>]+>", "", article))


def test_every_page_is_there_in_both_languages_and_no_source_is(site):
    for folder in (site, site / "zh"):
        assert set(PAGES) <= {path.stem for path in folder.glob("*.html")}
    assert not [path for path in site.rglob("*.py") if "_downloads" not in path.parts]


@pytest.mark.parametrize("language", TAGS)
def test_what_leads_nowhere_or_is_missing_fails_the_build(tmp_path, language):
    for name in PAGES:
        (tmp_path / f"{name}.md").write_text("# Page\n")
    (tmp_path / "waiting.md").unlink()
    (tmp_path / "stray.md").write_text("# Page\n")
    links = "[a](no-page.md), [b](callback.md#no-anchor), [c](#not-here), [d](../no-file.py), ![e](no-picture.png)"
    (tmp_path / "index.md").write_text(f"# Page\n\n{links}\n")
    build = _build(tmp_path, tmp_path / "out", language, "--builder", "dummy")
    complaints, _ = build.communicate()
    assert build.returncode == 1
    for part in (
        "'no-page.md'",
        "'no-anchor'",
        "'not-here'",
        "'../no-file.py'",
        "no-picture.png",
        "'waiting'",
    ):
        assert part in complaints
    assert re.search(r"stray\.md: WARNING:", complaints)


def test_the_switch_leads_to_the_same_page_of_the_other_language(site):
    for english in sorted(site.glob("*.html")):
        chinese = site / "zh" / english.name
        for page, other in ((english, chinese), (chinese, english)):
            # The second one is for narrow windows.
            links = re.findall(r'<a class="nav-link" href="([^"]+)"[^>]*\shreflang=', page.read_text())
            assert [(page.parent / link).resolve() for link in links] == [other, other], page


def test_an_anchor_is_the_same_in_both_languages(site):
    """The title's is of no use to anybody."""
    for name in PAGES:
        english, chinese = (
            re.findall(r'<section id="([^"]+)"', (folder / f"{name}.html").read_text())[1:]
            for folder in (site, site / "zh")
        )
        assert english == chinese, name


def test_nothing_is_loaded_from_other_hosts(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]*\ssrc="([^"]+)"', text)
        loaded += re.findall(r'<link[^>]*rel="(?:stylesheet|preload|preconnect|icon)"[^>]*href="([^"]+)"', text)
        assert loaded
        assert not [address for address in loaded if "//" in address], page.name
    assert not re.findall(r"url\(\s*[\"']?https?:", "".join(path.read_text() for path in site.rglob("*.css")))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Write nothing."""


@pytest.fixture(scope="module")
def address(site):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def window():
    with browser() as opened:
        yield opened


def _found(window, address, words):
    """Search for words; return the pages that are found."""
    window.open(f"{address}/search.html?q={words}")

    def all_are_shown():
        count = re.findall(
            r"\d+", window.script("return document.querySelector('.search-summary')?.innerText ?? ''")
        )
        return bool(count) and len(window.all("ul.search > li")) == int(count[0])

    window.wait(all_are_shown, f"{words} is not found")
    hrefs = window.script("return [...document.querySelectorAll('ul.search > li > a')].map((a) => a.pathname)")
    return {Path(path).stem for path in hrefs}


@needs_a_browser
@pytest.mark.parametrize(
    ("language", "word"),
    [
        ("zh", "审批人"),
        ("zh", "回调"),
        ("zh", "撤单"),
        ("zh", "日志采集项"),
        ("zh", "withdraw"),
        ("en", "withdraw"),
    ],
)
def test_the_search_finds_each_page_that_has_a_word(site, address, window, language, word):
    folder, url = (site, address) if language == "en" else (site / "zh", f"{address}/zh")
    pages = {name for name in PAGES if re.search(rf"{word}(?![a-z])", _text(folder / f"{name}.html"))}
    assert len(pages) > 2
    assert pages <= _found(window, url, word)
    marked = window.script("return document.querySelector('ul.search .highlighted').innerText")
    assert marked.lower() == word
    assert not [one for one in window.complaints() if "favicon" not in one]
    loaded = window.script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert loaded
    assert all(one.startswith(address) for one in loaded)


@needs_a_browser
def test_the_search_wants_every_word(address, window):
    both = _found(window, f"{address}/zh", "审批人 回调")
    assert both == _found(window, f"{address}/zh", "审批人") & _found(window, f"{address}/zh", "回调")


@needs_a_browser
def test_the_switch_leads_to_the_same_section(address, window):
    window.open(f"{address}/waiting.html#whose-ticket")
    window.click("a[hreflang='zh-CN']")
    window.wait(
        lambda: window.driver.current_url == f"{address}/zh/waiting.html#whose-ticket", "not the Chinese page"
    )
    window.click("a[hreflang='en']")
    window.wait(
        lambda: window.driver.current_url == f"{address}/waiting.html#whose-ticket", "not the English page"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("请审批人同意", ["请", "审", "批", "人", "同", "意", "请审", "审批", "批人", "人同", "同意"]),
        ("ITSM审批，ok", ["ITSM", "审", "批", "审批", "ok"]),
    ],
)
def test_chinese_is_indexed_by_each_pair_of_characters(text, words):
    assert SearchChinese({}).split(text) == words


@pytest.mark.parametrize("folder", ["", "zh"])
def test_the_operators_are_in_the_reference(site, folder):
    text = (site / folder / "api.html").read_text()
    assert 'id="airflow_provider_bkitsm.operators.ticket.ItsmApprovalOperator"' in text
    assert "on_not_approved" in text
    assert ":class:" not in text
    assert "docstring:" not in text


def test_the_reference_has_what_the_hooks_have_and_not_what_airflows_have(site):
    text = (site / "api.html").read_text()
    assert 'id="airflow_provider_bkitsm.hooks.itsm.ItsmHook.create_ticket"' in text
    assert 'ItsmHook.get_connection"' not in text


@pytest.mark.parametrize("page", ["dags.html", "operators.html", "zh/dags.html"])
def test_a_dag_with_a_line_of_its_own_is_shown_whole(site, page):
    source = (ROOT / "dags" / "bkitsm_reconcile.py").read_text()
    assert "dags/bkitsm_reconcile.py" in _text(site / page)
    assert source.strip() in _text(site / page)


@pytest.mark.parametrize("folder", ["", "zh"])
@pytest.mark.parametrize(("page", "words"), [("contributing", "P8"), ("changes", "Keep a Changelog")])
def test_the_files_at_the_root_are_pages(site, folder, page, words):
    assert words in _text(site / folder / f"{page}.html")


@pytest.mark.parametrize(
    ("folder", "link", "on_site"),
    [
        ("docs", "[waits](waiting.md#errors)", "[waits](waiting.md#errors)"),
        ("docs", "[map](../CONTRIBUTING.md#rooms)", "[map](contributing.md#rooms)"),
        ("docs", "[retries](../tests/test_docs.py#x)", "retries (`tests/test_docs.py`)"),
        ("docs", "See [`dags/`](../dags)", "See `dags/`"),
        ("docs", "[out](https://example.com)", "[out](https://example.com)"),
        ("docs", "[gone](../gone.py)", "[gone](../gone.py)"),
        ("docs", "![picture](../x.png)", "![picture](../x.png)"),
        ("docs", "[rules](monitoring/prometheus-alerts.yml)", "[rules](monitoring/prometheus-alerts.yml)"),
        ("docs", "```\n[waits](../README.md)\n```", "```\n[waits](../README.md)\n```"),
        ("docs/zh", "[waits](waiting.md)", "[waits](waiting.md)"),
        ("docs/zh", "[retries](../../tests/test_docs.py)", "retries (`tests/test_docs.py`)"),
        (".", "[waits](docs/waiting.md#errors)", "[waits](waiting.md#errors)"),
        (".", "[tests](tests/)", "tests"),
    ],
)
def test_a_link_that_cannot_be_followed_on_the_site_becomes_text(folder, link, on_site):
    assert shown(link, ROOT / folder) == on_site


def test_only_a_line_of_its_own_shows_a_file():
    line = "[`tests/once.py`](../tests/once.py)"
    assert (ROOT / "tests" / "once.py").read_text() in shown(f"See:\n\n{line}\n\nAnd", DOCS)
    assert shown(f"See:\n{line}\n\nAnd", DOCS) == "See:\n`tests/once.py`\n\nAnd"


def test_a_page_that_shows_another_keeps_its_own_title():
    text = shown("# 更新日志\n\n[`CHANGELOG.md`](../../CHANGELOG.md)\n", DOCS / "zh")
    assert re.findall(r"^# .*$", text, re.MULTILINE) == ["# 更新日志"]
    assert "## [Unreleased]" in text


@pytest.mark.parametrize(
    ("mark", "directive"),
    [
        ("airflow_provider_bkitsm.itsm.outcome.Outcome", ".. autoclass:: {}\n```"),
        ("airflow_provider_bkitsm.itsm.outcome.Outcome with x y", ".. autoclass:: {}\n   :members: x, y\n```"),
        ("airflow_provider_bkitsm.exceptions with all", ".. automodule:: {}\n   :members: \n```"),
        ("airflow_provider_bkitsm.itsm.approval_rule.judge", ".. autofunction:: {}\n```"),
    ],
)
def test_a_first_sentence_of_the_api_becomes_the_whole_docstring(mark, directive):
    page = f"### C\n\n<!-- docstring: {mark} -->\nOne sentence.\n<!-- end -->\n\n### VALUE\n"
    path = mark.partition(" ")[0]
    assert shown(page, DOCS) == f"### C\n\n```{{eval-rst}}\n{directive.format(path)}\n\n### VALUE\n"


@pytest.mark.parametrize(
    ("heading", "anchor"), [("1. When? It's `so`", "1-when-its-so"), ("A - B & C", "a-b-c"), ("回调", "")]
)
def test_an_anchor_is_made_as_the_pages_links_have_it(heading, anchor):
    assert slug(heading) == anchor
