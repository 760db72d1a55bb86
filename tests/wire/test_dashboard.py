"""The dashboard's files over HTTP: caching, compression, and the message without a build."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from tickwire.server.routes.dashboard import add_dashboard


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder with a small build, as Vite writes it."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "index-abc.js").write_text("let x = 1;\n" * 100)
    (tmp_path / "index.html").write_text('<script type="module" src="./app/index-abc.js"></script>')
    return tmp_path


def client(folder: Path) -> httpx2.AsyncClient:
    app = FastAPI()
    add_dashboard(app, folder)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test")


async def test_hashed_files_are_cached_for_ever_and_the_index_is_not(built: Path) -> None:
    async with client(built) as page:
        index = await page.get("/")
        assert (index.status_code, index.headers["cache-control"]) == (200, "no-cache")
        script = await page.get(re.findall(r'src="\.(.*?)"', index.text)[0])
        assert "immutable" in script.headers["cache-control"]
        assert script.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(("accepted", "coding"), [("gzip, br", "gzip"), ("identity", None)])
async def test_files_are_compressed_if_the_client_accepts_it(built: Path, accepted: str, coding: str | None) -> None:
    async with client(built) as page:
        answer = await page.get("/app/index-abc.js", headers={"accept-encoding": accepted})
        assert answer.headers.get("content-encoding") == coding
        assert answer.text == "let x = 1;\n" * 100


@pytest.mark.parametrize("name", ["index-old.js", "..%2Findex.html", "%2e%2e%2fpage.html"])
async def test_other_files_are_not_served(built: Path, name: str) -> None:
    """The server reads the build at its start, and no file later."""
    async with client(built) as page:
        answer = await page.get(f"/app/{name}")
        assert answer.status_code == 404


async def test_without_a_build_the_index_says_how_to_build_it(tmp_path: Path) -> None:
    async with client(tmp_path) as page:
        answer = await page.get("/")
        assert (answer.status_code, answer.headers["content-type"]) == (503, "text/plain; charset=utf-8")
        assert "make setup" in answer.text
