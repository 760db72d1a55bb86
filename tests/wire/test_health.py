"""Health checks with every method that load balancers use, and HEAD and OPTIONS on all other paths."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from tickwire.app import create_app
from tickwire.errors import JournalError
from tickwire.server.auth.rules import HEALTH_PATHS, RULES, STREAM_PATH, allowed_methods
from tickwire.testing.server import RunningServer, run_server
from tickwire.testing.tokens import TOKEN_AUTH, bearer_header, sign_token
from tickwire.testing.wire import open_stream

METHODS = ("GET", "HEAD", "OPTIONS")
# If a rule applies to all paths below a path, the test uses one of these paths.
PATHS = sorted({path if not path.endswith("/") or path == "/" else f"{path}x" for _, path in RULES})


async def statuses(server: RunningServer, path: str) -> list[int]:
    async with httpx2.AsyncClient(base_url=server.url) as client:
        return [(await client.request(method, path)).status_code for method in METHODS]


@pytest.mark.parametrize("auth", [{}, TOKEN_AUTH], ids=["open", "with tokens"])
async def test_health_checks_answer_every_method_with_the_same_status(auth: dict[str, str]) -> None:
    async with run_server(**auth) as server:
        for path in HEALTH_PATHS:
            assert await statuses(server, path) == [200] * 3
        server.app.begin_drain()
        assert await statuses(server, "/readyz") == [503] * 3
        assert await statuses(server, "/healthz") == [200] * 3


@pytest.mark.parametrize("path", ["/", "*"])
async def test_the_default_check_of_haproxy_succeeds(path: str) -> None:
    """HAProxy sends `OPTIONS /` in HTTP/1.0 without a Host header. `OPTIONS *` asks about the whole server."""
    async with run_server(**TOKEN_AUTH) as server:
        address, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(address, int(port))
        writer.write(f"OPTIONS {path} HTTP/1.0\r\n\r\n".encode())
        head = (await reader.read()).decode().lower()
        assert head.startswith("http/1.1 204 ")
        assert "allow: get, head, options\r\n" in head
        writer.close()


async def test_head_and_options_follow_the_other_methods_of_every_path() -> None:
    """HEAD has the status and the headers of GET, and no body. OPTIONS lists the methods, also without a token."""
    token = bearer_header(sign_token("admin metrics", user="ann"))
    async with run_server(**TOKEN_AUTH) as server, httpx2.AsyncClient(base_url=server.url) as client:
        for path in PATHS:
            options = await client.options(path)
            assert options.is_success, path
            if path not in HEALTH_PATHS:
                assert options.headers["allow"] == ", ".join(allowed_methods(path))
            if "GET" in allowed_methods(path) and path != STREAM_PATH:
                for headers in ({}, token):
                    get, head = await client.get(path, headers=headers), await client.head(path, headers=headers)
                    assert head.status_code == get.status_code, path
                    assert head.headers["content-type"] == get.headers["content-type"], path
                    assert head.content == b"", path


async def test_options_of_an_unknown_path_is_404() -> None:
    async with run_server() as server:
        assert (await statuses(server, "/v1/unknown"))[2] == 404


async def test_a_stopping_server_is_not_ready_while_its_streams_end() -> None:
    async with run_server() as server, open_stream(server.url) as stream:
        server.app.begin_drain()
        async with httpx2.AsyncClient(base_url=server.url) as client:
            answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["detail"]) == (503, "the server is stopping")
        server.app.drain()
        (bye,) = await stream.next_events(1, name="bye")
        assert bye.data["reason"] == "drain"


async def test_a_full_server_is_ready() -> None:
    """If a load balancer removed a full server, it would send the server's readers to other servers."""
    async with run_server(max_readers=1) as server, open_stream(server.url) as stream:
        await stream.next_events(1, name="welcome")
        async with httpx2.AsyncClient(base_url=server.url) as client:
            assert (await client.get("/v1/stream")).status_code == 503
            assert (await client.get("/readyz")).status_code == 200


async def test_a_request_after_a_failed_start_names_the_stop(tmp_path) -> None:
    """The listening socket stays open for a moment after the application has ended."""
    (tmp_path / "j").write_bytes(b"not a journal" * 99)
    app = create_app(feed="http", journal=f"sqlite:{tmp_path / 'j'}", data=tmp_path)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        assert "app.running()" in (await client.get("/readyz")).json()["detail"]
        with pytest.raises(JournalError):
            async with app.running():
                pass
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["detail"]) == (503, "the server is stopping")
