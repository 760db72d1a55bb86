"""Write the generated parts of the documentation: the settings, from where they are declared."""

from __future__ import annotations

import sys
from pathlib import Path

from tickwire.settings import PREFIX, Settings

PAGE = Path(__file__).parent / "settings.md"
HEAD = """# Settings

Each setting can be given as a flag of `tickwire serve`, as an environment variable, or as a key in the TOML file that
`--config` (or `TICKWIRE_CONFIG`) names. A flag wins over the environment, which wins over the file, which wins over the
default. This page is written by `make docs` from the declarations in the code.

```toml
# tickwire.toml
feed = "http"
port = 9000
keep_events = 5_000_000
```

| flag | variable | key | default | |
|---|---|---|---|---|
"""


def page() -> str:
    """The page's text."""
    return HEAD + "".join(map(_row, Settings.model_fields))


def _row(name: str) -> str:
    field = Settings.model_fields[name]
    flag = f"--{name.replace('_', '-')}"
    default = "" if field.default == "" else f"`{field.default}`"
    return f"| `{flag}` | `{PREFIX}{name.upper()}` | `{name}` | {default} | {field.description} |\n"


def main() -> int:
    """Write the page; with `--check` only say whether it is up to date (1 if not)."""
    if "--check" in sys.argv:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page()
        print(f"{PAGE.name}: {'up to date' if current else 'out of date, run make docs'}")
        return 0 if current else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
