"""The documentation shows the proxy configurations that the tests of this folder run."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The file of each block of the page, in the order of the page.
FILES = (
    ("nginx", "nginx.conf"),
    ("haproxy", "haproxy.cfg"),
    ("haproxy", "haproxy-two-servers.cfg"),
    ("apache", "apache.conf"),
    ("caddyfile", "Caddyfile"),
    ("vcl", "varnish.vcl"),
    ("yaml", "envoy.yaml"),
    ("yaml", "traefik.yaml"),
)
# The page shows the last lines of these files, and all other files completely.
SHOWN_IN_PART = ("haproxy-two-servers.cfg", "varnish.vcl")


def code_blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def settings(text: str) -> list[str]:
    """Return the lines of a configuration without comments."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def test_proxy_page_shows_the_configurations_of_deploy() -> None:
    blocks = {language: iter(code_blocks("docs/proxy.md", language)) for language, _ in FILES}
    for language, name in FILES:
        block = settings(next(blocks[language]))
        complete = settings((ROOT / "deploy" / name).read_text())
        assert block == (complete[-len(block) :] if name in SHOWN_IN_PART else complete), name
    # No test runs a block without a file.
    assert [next(rest, None) for rest in blocks.values()] == [None] * len(blocks)


def test_protocol_shows_the_page_of_the_readme() -> None:
    (readme,) = [block for block in code_blocks("README.md", "js") if "readyState" in block]
    (protocol,) = [block for block in code_blocks("docs/protocol.md", "js") if "readyState" in block]
    assert protocol == readme.replace("console.log(", "show(")
