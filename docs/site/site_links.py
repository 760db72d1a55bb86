"""Find the links of a built site that lead nowhere, and the resources that a page requests from other hosts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# The attribute that contains the address. A browser requests all of these without a click, except those of `a`.
ADDRESSES = {"a": "href", "img": "src", "link": "href", "script": "src", "source": "src"}


class Page(HTMLParser):
    """The anchors and the links of an HTML page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the anchor and the link of an element."""
        attributes = dict(attrs)
        self.anchors |= {attributes.get("id") or "", attributes.get("name") or ""}
        address = attributes.get(ADDRESSES.get(tag, ""))
        if address:
            self.links.append((tag, address))


def broken_links(site: Path) -> Iterator[str]:
    """Yield a description of each broken link, and of each resource on another host."""

    @cache
    def read(file: Path) -> Page:
        return Page(file.read_text(encoding="utf-8"))

    # The page of unknown addresses contains absolute links, because the server shows this page in every folder.
    for file in sorted({*site.rglob("*.html")} - {site / "404.html"}):
        for tag, address in read(file).links:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if tag != "a" and parts.scheme != "data":
                    yield f"{file.relative_to(site)}: {address}: on another host"
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                yield f"{file.relative_to(site)}: {address}: no such file"
            elif target.suffix == ".html" and unquote(parts.fragment) not in read(target).anchors:
                yield f"{file.relative_to(site)}: {address}: no such anchor"
