# SPDX-License-Identifier: Apache-2.0
"""The documentation as a site: built without a warning, and complete in itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.roles import links
from docs.site_hooks import links_from_root, on_page_markdown

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_and_no_source_is_in_it(site):
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in site.glob("*.html")}
    assert not list(site.rglob("*.py"))


def test_nothing_is_loaded_from_other_hosts(site):
    for page in site.glob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]*\ssrc="([^"]+)"', page.read_text())
        loaded += re.findall(
            r'<link[^>]*rel="(?:stylesheet|preconnect|icon)"[^>]*href="([^"]+)"', page.read_text()
        )
        assert not [address for address in loaded if "//" in address], page.name
    assert not re.findall(r"url\(\s*[\"']?https?:", "".join(path.read_text() for path in site.rglob("*.css")))


def test_the_operators_are_in_the_reference(site):
    text = (site / "api.html").read_text()
    assert 'id="airflow_provider_bkitsm.operators.ticket.ItsmApprovalOperator"' in text
    assert "on_not_approved" in text
    assert ":class:" not in text


def test_examples_are_shown_without_the_marks_they_are_cut_out_by(site):
    text = (site / "operators.html").read_text()
    assert "CollectorCompleteOperator" in text
    assert "8&lt;--" not in text


@pytest.mark.parametrize("page", ["dags.html", "operators.html"])
def test_a_dag_with_a_line_of_its_own_is_shown_whole(site, page):
    text = re.sub(r"<[^>]+>", "", (site / page).read_text())
    first = (ROOT / "dags" / "bkitsm_reconcile.py").read_text().splitlines()[0]
    assert "dags/bkitsm_reconcile.py" in text
    assert first in text


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("[waits](waiting.md)", "[waits](waiting.md)"),
        ("[retries](../tests/x.py)", "retries (`tests/x.py`)"),
        ("See [`dags/x.py`](../dags/x.py)", "See `dags/x.py`"),
        (
            "[`dags/x.py`](../dags/x.py)",
            '??? example "dags/x.py"\n\n    ```python\n    --8<-- "dags/x.py"\n    ```',
        ),
        ("![picture](../x.png)", "![picture](../x.png)"),
    ],
)
def test_a_link_out_of_the_pages_becomes_text(link, shown):
    assert on_page_markdown(link, None, None, None) == shown


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("a.b.C", "members: []"),
        ("a.b.C with x y", 'members: ["x", "y"]'),
        ("a.b.C with all", "inherited_members: true"),
    ],
)
def test_a_first_sentence_of_the_api_becomes_the_whole_docstring(mark, options):
    page = f"## Hooks\n\n### C\n\ncode\n\n<!-- docstring: {mark} -->\nOne sentence.\n<!-- end -->\n\n### VALUE\n"
    shown = on_page_markdown(page, None, None, None)
    assert "### C {#a.b.C}\n\ncode\n" in shown
    assert f"::: a.b.C\n    options: {{heading_level: 4, {options}}}\n\n### VALUE\n" in shown
    assert "One sentence" not in shown


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("[waits](docs/waiting.md#errors)", "[waits](waiting.md#errors)"),
        ("[tests](tests/)", "tests"),
        ("[out](https://example.com)", "[out](https://example.com)"),
    ],
)
def test_a_page_made_of_a_file_at_the_root_links_to_pages_only(link, shown):
    assert links_from_root(link) == shown


def test_a_docstring_that_names_another_links_to_it():
    assert links("see :class:`~a.b.C`") == ('see <autoref identifier="a.b.C" optional><code>C</code></autoref>')
