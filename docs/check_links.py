"""Check that every relative link in the documentation leads to a file that is there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
ROOT = Path(__file__).parent.parent


def broken(page: Path) -> list[str]:
    """The page's relative links that lead nowhere."""
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    return [target for target in targets if "://" not in target and not (page.parent / target).exists()]


def main() -> int:
    """Print what is broken; 1 if anything is."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    wrong = [f"{page.relative_to(ROOT)}: {target}" for page in pages for target in broken(page)]
    print("\n".join(wrong) or f"links: {len(pages)} pages, all lead somewhere")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
