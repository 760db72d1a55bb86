"""The documentation site: it has no broken link, and its navigation contains the pages of docs/."""

from __future__ import annotations

import re
from pathlib import Path

from docs.site.build import ROOT, build_site
from docs.site.site_links import broken_links


def test_site_has_no_broken_link_and_needs_no_other_host(tmp_path: Path) -> None:
    assert build_site(tmp_path) == []
    html = tmp_path / "html"
    reference = {path.parent.name for path in (html / "docs" / "reference").rglob("index.html")}
    assert reference == {"events", "filter-fields", "http-api"}
    assert "/v1/stream" in (html / "docs" / "reference" / "http-api" / "index.html").read_text(encoding="utf-8")
    # The browser requests all resources of a page from the site.
    (html / "deploy").mkdir(exist_ok=True)
    (html / "deploy" / "index.html").write_text(
        '<a href="../nowhere.conf"></a><a href="../#nothing"></a><script src="https://example.org/a.js"></script>'
    )
    assert [*broken_links(html)] == [
        "deploy/index.html: ../nowhere.conf: no such file",
        "deploy/index.html: ../#nothing: no such anchor",
        "deploy/index.html: https://example.org/a.js: on another host",
    ]


def test_navigation_contains_the_pages_of_docs() -> None:
    listed = {
        *re.findall(r'"(docs/[^"]+\.md)"', (ROOT / "docs" / "site" / "zensical.toml").read_text(encoding="utf-8"))
    }
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    # The page docs/decisions/README.md links to the other decisions.
    missing = {page for page in pages - listed if not page.startswith("docs/decisions/")}
    assert missing == set()
    decisions = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs" / "decisions").glob("0*.md"):
        assert f"({page.name})" in decisions
