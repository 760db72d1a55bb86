"""Check that every relative link in the documentation points to an existing file."""

from __future__ import annotations

import re
import sys
from pathlib import Path

LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
ROOT = Path(__file__).parent.parent


def broken(page: Path) -> list[str]:
    """Return the relative links of the page that point to no file."""
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    return [target for target in targets if "://" not in target and not (page.parent / target).exists()]


def main() -> int:
    """Print the broken links; return 1 if there are any."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]
    problems = [f"{page.relative_to(ROOT)}: {target}" for page in pages for target in broken(page)]
    print("\n".join(problems) or f"links: {len(pages)} pages, no broken link")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
