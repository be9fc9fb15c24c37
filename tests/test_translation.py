# SPDX-License-Identifier: Apache-2.0
"""Every text that a person reads in a language has its Chinese one, and no text gets past the catalogue."""

from __future__ import annotations

import ast
import copy
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter

import pytest
from jinja2 import Environment, nodes

import airflow_provider_bkitsm
from airflow_provider_bkitsm.translation import Text, catalogue, language_of, listing, verbatim
from tests.tables import table

PACKAGE = Path(airflow_provider_bkitsm.__file__).parent
TEMPLATES = sorted((PACKAGE / "sandbox" / "web" / "templates").glob("*.html"))
HAN = re.compile(r"[\u4e00-\u9fff]")
TAG = re.compile(r"</?\w+[^>]*>")
# Words of a sentence, a blank between them: what no key, flag, format or piece of code looks like.
SENTENCE = re.compile(r"[a-z][,;:]? [a-z]{2,}")
COMMAND = re.compile(r"(airflow|python -m|tickets|from airflow_provider_bkitsm[.\w]* import) ")
# The same in both languages.
NAMES = {"itsm", "dag_id", "ETL {digest}"}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def makes_texts(path: Path) -> bool:
    """Whether a module imports what makes texts."""
    return "from airflow_provider_bkitsm.translation import" in path.read_text(encoding="utf-8")


def text_calls(path: Path) -> Iterator[ast.Call]:
    """Yield the calls that make a text."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Text":
            yield node


def page_calls(path: Path) -> Iterator[nodes.Call]:
    """Yield the calls of a template that make a text."""
    for node in Environment().parse(path.read_text(encoding="utf-8")).find_all(nodes.Call):
        if isinstance(node.node, nodes.Name) and node.node.name == "_":
            yield node


MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if makes_texts(path)]


@cache
def keys() -> list[str]:
    """Return the English of every text of the package."""
    return sorted(
        {
            first.value
            for path in MODULES
            for call in text_calls(path)
            if isinstance(first := call.args[0], ast.Constant) and isinstance(first.value, str)
        }
        | {
            first.value
            for path in TEMPLATES
            for call in page_calls(path)
            if isinstance(first := call.args[0], nodes.Const) and isinstance(first.value, str)
        }
        # Those of the module that makes texts.
        | {"{message}", "{first}, {rest}"}
    )


def values(template: str) -> list[str]:
    return sorted({name for _, name, _, _ in Formatter().parse(template) if name is not None})


def words(template: str) -> str:
    """Return what is left of a template without its values and its markup."""
    return "".join(literal for literal, *_ in Formatter().parse(TAG.sub("", template)))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_key_of_a_text_is_a_literal(path):
    odd = [ast.unparse(call) for call in text_calls(path) if not isinstance(call.args[0], ast.Constant)]
    assert odd == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_the_key_of_a_text_on_a_page_is_a_literal(path):
    """Anything else would be markup that somebody else has written."""
    assert [call.lineno for call in page_calls(path) if not isinstance(call.args[0], nodes.Const)] == []


def test_every_text_has_a_translation():
    worded = [key for key in keys() if re.search(r"[A-Za-z]", words(key))]
    assert [key for key in worded if key not in catalogue()] == []
    assert [key for key in worded if not (HAN.search(catalogue()[key]) or key in NAMES)] == []


def test_every_translation_is_of_a_text():
    assert sorted(catalogue().keys() - set(keys())) == []


def test_a_translation_is_there_once():
    pairs = json.loads(
        (PACKAGE / "translation_zh.json").read_text("utf-8"),
        object_pairs_hook=lambda pairs: [key for key, _ in pairs],
    )
    assert len(pairs) == len(set(pairs))


@table(("key", "translation"), list(catalogue().items()), ids=lambda row: row[0])
def test_a_translation_has_the_values_the_markup_and_the_blanks_of_its_text(key, translation):
    assert values(translation) == values(key)
    assert TAG.findall(translation) == TAG.findall(key)
    indent = len(key) - len(key.lstrip())
    assert translation[:indent] == key[:indent]


def literals(module: ast.Module) -> Iterator[tuple[ast.expr, str]]:
    """Yield each string of a module, one with values in it as a whole."""
    parts: set[int] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.JoinedStr):
            parts |= {id(one) for one in ast.walk(node)}
            yield node, "".join(one.value if isinstance(one, ast.Constant) else "…" for one in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node, node.value


def apart(node: ast.AST) -> list[ast.expr]:
    """Return what in it is no output: keys of texts, docstrings, titles of tickets, messages of errors."""
    if isinstance(node, ast.Call) and re.fullmatch(r"Text|Itsm\w+Error", ast.unparse(node.func)):
        return node.args
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return [node.value]
    is_title = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TITLE"
    return [node.value] if is_title else []


def sentences(module: ast.Module) -> list[str]:
    """Return the sentences of a module that are no texts. What is typed, a command, is the same everywhere."""
    left_out = {id(part) for node in ast.walk(module) for one in apart(node) for part in ast.walk(one)}
    found = [literal for node, literal in literals(module) if id(node) not in left_out]
    return [one for one in found if SENTENCE.search(one) and not COMMAND.match(one)]


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda path: path.name)
def test_what_a_command_says_is_a_text(path):
    assert sentences(tree(path)) == []


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ('print("no ticket")', True),
        ('print(f"{sn} was opened")', True),
        ('print(Text("no ticket"))', False),
        ('print(Text("{why}", why="no ticket"))', True),
        ('print(f"airflow roles add-perms {role} -a can_read")', False),
        ('def f():\n    """No ticket here."""', False),
        ('row = {"ticket": 1, "dag_id": "--older-than"}', False),
    ],
)
def test_a_sentence_that_is_no_text_is_found(code, is_found):
    assert bool(sentences(ast.parse(code))) is is_found


def own_words(template: str) -> list[str]:
    """Return what people read of a template that comes from no expression: texts, and attributes such as hints."""
    literal, inside = [], False
    for _, kind, value in Environment().lex(template):
        inside = (inside or kind.endswith("_begin")) and not kind.endswith("_end")
        literal.append(value if kind == "data" else "" if inside else "\0")
    page = "".join(literal)
    hints = re.findall(r'(?:placeholder|title|aria-label|alt|data-needed)="([^"\0]+)"', page)
    texts = [one.strip("\0 ·\n") for one in re.split("<[^>]*>", page)]
    # A name, in Chinese too.
    return [one for one in (*hints, *texts) if re.search("[A-Za-z]", one) and one != "ETL"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_no_words_of_its_own(path):
    assert own_words(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "template", ["<p>{{ x }} waits</p>", '<b title="Why">{{ x }}</b>', "{% if x %}Yes{% endif %}", "by {{ x }}"]
)
def test_a_word_of_a_template_is_found(template):
    assert len(own_words(template)) == 1


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh"}, "zh"),
        ({"LANG": "ZH_tw"}, "zh"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "C", "LC_ALL": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "", "LC_ALL": ""}, "zh"),
        ({"LC_CTYPE": "zh_CN.UTF-8"}, "en"),
    ],
)
def test_the_language_is_that_of_the_locale(environment, language):
    assert language_of(environment) == language


def test_a_text_is_its_english_text():
    text = Text("ticket {sn} was opened", sn="REQ1")
    assert text == f"{text}" == str(text) == text.into("en") == "ticket REQ1 was opened"
    assert text.into("zh") == "单据 REQ1 已提交"
    assert type(str(text)) is str


def test_texts_among_the_values_are_translated_too():
    text = Text("{check}: {text}", check=Text("store"), text=Text("allowed"))
    assert (text, text.into("zh")) == ("store: allowed", "存储：已授权")
    assert listing([Text("yes"), "REQ1", Text("no")]).into("zh") == "是，REQ1，否"
    assert listing(["a", "b"]) == "a, b"
    assert listing([]) == ""


@pytest.mark.parametrize("odd", ["{", "}", "{sn}", "{0}", "{sn.__class__}", "%s", "{{}}"])
def test_what_others_wrote_is_no_template(odd):
    assert verbatim(odd).into("zh") == str(verbatim(odd)) == odd
    assert Text("ticket {sn} was opened", sn=odd).into("zh") == f"单据 {odd} 已提交"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda text: pickle.loads(pickle.dumps(text))])
def test_a_copy_is_an_ordinary_string(copied):
    text = copied(Text("ticket {sn} was opened", sn="{"))
    assert (text, type(text)) == ("ticket { was opened", str)
    assert json.dumps(Text("yes")) == '"yes"'


def test_a_text_without_a_translation_stays_english():
    assert Text("nobody has translated {this}", this=1).into("zh") == "nobody has translated 1"


@pytest.mark.parametrize(("locale", "reads"), [("C.UTF-8", 0), ("zh_CN.UTF-8", 1)])
def test_the_catalogue_is_read_only_where_somebody_reads_chinese(locale, reads):
    program = """
from airflow_provider_bkitsm.cli.definition import COMMANDS, readable
from airflow_provider_bkitsm.translation import catalogue
[readable(about) for _, about, _ in COMMANDS.values()]
print(catalogue.cache_info().currsize)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "LC_ALL": locale},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == reads
