"""The permissions of the NATS user in the documentation, and clients of NATS without rights to the journal."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import msgspec
import nats as nats_client
import pytest

from tickwire.clock import SystemClock
from tickwire.journal.base import Retention, Snapshot
from tickwire.journal.nats import delivery
from tickwire.journal.nats.address import parse_nats_address
from tickwire.journal.nats.journal import NatsJournal
from tickwire.journal.shared.peers import _PeerRequest
from tickwire.testing.journal_contract import sample_entry
from tickwire.testing.nats_server import NatsServer
from tickwire.testing.server import run_server
from tickwire.testing.waiting import wait_until

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "scaling.md"
OTHER_USER = 'permissions { publish: ["other.>", "_INBOX.>"], subscribe: ["other.>", "_INBOX.>"] }'


@pytest.fixture
def restricted_nats(name, tmp_path):
    """A NATS server with the user that the documentation shows, and a second user with other rights."""
    (block,) = re.findall(
        r"^```text\n(permissions \{.*?\n\})\n```$", DOCUMENTATION.read_text(), re.DOTALL | re.MULTILINE
    )
    users = (
        f"{{user: tickwire, password: p, {block.replace('NAME', name)}}}, {{user: other, password: p, {OTHER_USER}}}"
    )
    (tmp_path / "nats.conf").write_text(f"authorization {{ users: [{users}] }}")
    with NatsServer(tmp_path, "-c", str(tmp_path / "nats.conf")) as server:
        yield server


async def test_documented_permissions_suffice(restricted_nats, name):
    """With these permissions, servers can do all their work.

    They publish, read history, save snapshots, apply retention, list readers, and hand over the lease.
    """
    url = restricted_nats.url.replace("nats://", "nats://tickwire:p@")
    spec = f"{url}/{name}"
    async with run_server(journal=spec) as feed, run_server(journal=spec, role="edge") as edge:
        await wait_until(lambda: feed.runtime.leadership.runs_feed)
        async with httpx2.AsyncClient(base_url=edge.url) as client:
            for price in range(5):
                answer = await client.post(
                    "/v1/quotes", json=[{"symbol": "A", "last": price}], headers={"Idempotency-Key": str(price)}
                )
                assert answer.status_code == 201
            assert (await client.get("/v1/clients")).headers.get("tickwire-unanswered") is None
        await feed.runtime.snapshotter.save()
        journal = await NatsJournal.open(parse_nats_address(spec, name), Retention(1, 0.0, 1), SystemClock())
        await journal.append(sample_entry(1))
        assert await journal.load_snapshot() is not None
        assert len(await journal._history_reader.read(journal.first - 1, journal._message_range, 1, None)) == 1
        await journal.save_snapshot(Snapshot(journal.head, b""))
        await journal.close()
    log = restricted_nats.log_path.read_text()
    assert "iolation" not in log, log


async def test_a_user_of_inboxes_cannot_read_the_journal_or_make_tickwire_act(restricted_nats, name):
    """The user subscribes to all inboxes, and publishes a forged flow-control message and a forged request."""
    spec = f"{restricted_nats.url.replace('nats://', 'nats://tickwire:p@')}/{name}"
    seen, errors = [], []

    async def on_error(error):
        errors.append(str(error))

    async def on_message(message):
        seen.append(message)

    other = await nats_client.connect(restricted_nats.url, user="other", password="p", error_cb=on_error)
    await other.subscribe("_INBOX.>", cb=on_message)
    await other.flush()
    async with run_server(journal=spec) as server:
        await wait_until(lambda: server.runtime.leadership.runs_feed)
        async with httpx2.AsyncClient(base_url=server.url) as client:
            assert (await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])).status_code == 201
        inbox = server.runtime.journal._consumer._inbox
        headers = {"Status": "100", "Nats-Consumer-Stalled": f"{name}.e"}
        for subject in (inbox, f"{name}.e", f"{name}.p.ask", f"$JS.API.STREAM.PURGE.{name}"):
            await other.publish(subject, b"", headers=headers, reply=f"{name}.e")
        await other.flush()
        await wait_until(lambda: len(errors) == 4)
    await other.close()
    assert not seen


async def test_forged_messages_in_an_inbox_have_no_effect(nats, name):
    """A wrong configuration may give a client rights to the inbox.

    The client then sends forged status messages and deliveries.
    """
    journal = await NatsJournal.open(parse_nats_address(nats.url, name), Retention(), SystemClock())
    await journal.append(sample_entry(1))
    connection, inbox = journal.connection, journal._consumer._inbox
    for headers in (
        {"Status": "100"},
        {"Status": "100", "Nats-Consumer-Stalled": f"{name}.e"},
        {"Status": "100", "Nats-Last-Consumer": "x", "Nats-Last-Stream": "-1"},
    ):
        await connection.publish(inbox, b"", headers=headers, reply=f"{name}.e")
    for reply in ("", f"{name}.e", "$JS.ACK.a.b.c.d.e.f.g", "$JS.ACK." + ".".join("9" * 9)):
        await connection.publish(inbox, b"forged", reply=reply)
    await connection.publish(f"{name}.p.ask", b"", reply=f"{name}.e")
    assert await journal.append(sample_entry(1)) == (2, 2, True)
    assert (await connection.call_api(f"STREAM.INFO.{name}"))["state"]["last_seq"] == 2
    await journal.close()


async def test_requests_are_answered_only_to_inboxes_of_the_journal(nats, name):
    spec = parse_nats_address(nats.url, name)
    async with run_server(journal=f"{nats.url}/{name}") as server:
        client = await nats_client.connect(nats.url)
        answers = []

        async def on_answer(message):
            answers.append(message.subject)

        for subject in (f"{name}.inbox.x", "_INBOX.x"):
            await client.subscribe(subject, cb=on_answer)
        request = msgspec.msgpack.encode(_PeerRequest("stranger", "feed", b""))
        for reply in (f"{name}.e", "_INBOX.x", f"{name}.inbox.x"):
            await client.publish(f"{spec.journal_name}.p.ask", request, reply=reply)
        await wait_until(lambda: bool(answers))
        await client.flush()
        assert answers == [f"{name}.inbox.x"]
        assert (await server.runtime.journal.connection.call_api(f"STREAM.INFO.{name}"))["state"]["last_seq"] == (
            server.runtime.journal.last_message
        )
        await client.close()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("$JS.ACK.s.c.1.7.3.1700000000.5", (7, 3, 5)),
        ("$JS.ACK.domain.hash.s.c.1.7.3.1700000000.5", (7, 3, 5)),
        ("$JS.ACK._.hash.s.c.1.7.3.1700000000.5.token", (7, 3, 5)),
    ],
)
def test_parse_delivery_reads_old_and_new_reply_subjects(reply, expected):
    assert delivery.parse_delivery(reply) == expected
