"""`python -m tickwire`."""

from __future__ import annotations

from tickwire.cli.root import root


def main() -> None:
    """Run the command line."""
    root(prog_name="tickwire")


if __name__ == "__main__":
    main()
