# SPDX-License-Identifier: Apache-2.0
"""The site: ``docs/`` in English, and with the tag ``zh`` ``docs/zh/`` in Chinese, by Sphinx (``make docs``)."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.util.tags import Tags

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Every page, without its suffix, in the order of the navigation. The build fails while one is missing here, or in
# one of the languages.
PAGES = {
    ("Start", "开始"): ["quick-start", "concepts", "architecture"],
    ("Use", "使用"): [
        "connections",
        "itsm-v4",
        "operators",
        "itsm-fields",
        "collectors",
        "services",
        "dags",
        "waiting",
        "reminders",
        "notifier",
        "testing-your-dags",
        "upgrading",
    ],
    ("Run", "运维"): [
        "administration",
        "callback",
        "approvals",
        "security",
        "telemetry",
        "troubleshooting",
        "reliability",
        "benchmarks",
    ],
    ("Reference", "参考"): [
        "itsm-behaviour",
        "log-platform-behaviour",
        "options",
        "json-api",
        "api",
        "contributing",
        "mutation",
        "changes",
    ],
}

# Sphinx puts it here.
tags: Tags = globals()["tags"]
chinese = tags.has("zh")
navigation = [(captions[chinese], pages) for captions, pages in PAGES.items()]

project = "airflow-provider-bkitsm"
language = "zh_CN" if chinese else "en"
root_doc = "index"
exclude_patterns = ["zh"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "docs.website.pages", "docs.website.chinese_search"]
# Quotes stay as they were written.
smartquotes_action = "D"

myst_heading_anchors = 6
myst_heading_slug_func = "docs.website.pages.slug"

autodoc_member_order = "bysource"
add_module_names = False
toc_object_entries = False

# Nothing is loaded from other hosts: no fonts, no scripts, no analytics.
html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["website/static"]
html_css_files = ["site.css"]
templates_path = ["website/templates"]
html_sidebars = {"**": ["pages.html"]}
html_theme_options = {
    "navbar_center": [],
    "navbar_end": ["language.html", "theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
}
html_context = {"default_mode": "auto"}
html_copy_source = False
html_use_index = False
html_domain_indices = False
