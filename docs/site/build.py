"""Build the documentation site in artifacts/docs-site/html: `python -m docs.site.build`.

The site consists of the pages of this repository, the files that the pages link to, and the reference, which this
script generates from the code. The build fails if a link leads nowhere.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from docs.site.reference import reference_pages
from docs.site.site_links import broken_links

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "artifacts" / "docs-site"
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def main() -> int:
    """Build the site, print its address, and return 1 if a link is broken."""
    problems = build_site(PROJECT)
    print("\n".join(problems) or f"the site without broken links: {PROJECT / 'html' / 'index.html'}")
    return 1 if problems else 0


def build_site(project: Path) -> list[str]:
    """Build the site in the folder `html` of `project`. Return a description of each problem."""
    shutil.rmtree(project, ignore_errors=True)
    copy_pages(project / "pages")
    shutil.copy(Path(__file__).with_name("zensical.toml"), project)
    reference = project / "pages" / "docs" / "reference"
    reference.mkdir()
    for name, text in reference_pages().items():
        (reference / name).write_text(text, encoding="utf-8")
    command = (sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(project / "zensical.toml"))
    built = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"})
    return [built.stdout + built.stderr] if built.returncode else [*broken_links(project / "html")]


def copy_pages(target: Path) -> None:
    """Copy the pages, and the files that they link to, to the folder `target`."""
    for page in pages():
        copy(page, target)
        for address in LINK.findall(page.read_text(encoding="utf-8")):
            linked = (page.parent / address).resolve()
            if "://" in address or linked.suffix == ".md" or not linked.exists():
                continue
            if linked.is_file():
                copy(linked, target)
            elif not (linked / "README.md").exists():
                copy_folder(linked, target)


def pages() -> Iterator[Path]:
    """Yield the Markdown files of the documentation."""
    yield from ROOT.glob("*.md")
    yield from (ROOT / "docs").rglob("*.md")
    yield from (ROOT / "examples").glob("*.md")


def copy(file: Path, target: Path) -> None:
    """Copy a file of the repository to the same place below `target`."""
    place = target / file.relative_to(ROOT)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, place)


def copy_folder(folder: Path, target: Path) -> None:
    """Copy the files of a folder, and write a page that lists them."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    for file in files:
        copy(file, target)
    name = folder.relative_to(ROOT)
    rows = "".join(f"- [{file.name}]({file.name})\n" for file in files)
    (target / name / "README.md").write_text(f"# {name}\n\n{rows}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
