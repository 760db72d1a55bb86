"""Credentials for NATS: passwords, tokens, credentials files and TLS."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import signal

import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tickwire.clock import SystemClock
from tickwire.core.event import named_entry
from tickwire.errors import InputError
from tickwire.journal.nats.address import parse_nats_address
from tickwire.journal.nats.connection import CredentialsRejected, NatsConnection
from tickwire.journal.nats.credentials import NatsCredentials
from tickwire.journal.options import JournalOptions
from tickwire.journal.registry import open_journal_and_cluster
from tickwire.testing.certificates import write_certificate
from tickwire.testing.nats_server import NatsServer
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

# NATS keys begin with the letters O, A, U and S.
OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def encode_nkey(prefix, raw):
    data = bytes(prefix) + raw
    return base64.b32encode(data + binascii.crc_hqx(data, 0).to_bytes(2, "little")).rstrip(b"=").decode()


def encode_public_key(prefix, key):
    return encode_nkey([prefix], key.public_key().public_bytes(*RAW))


def sign_nats_token(kind, key, name, issuer, issuer_name, **more):
    """Return a NATS JWT for `name`, signed by `issuer`."""
    claims = {
        "jti": "",
        "iat": 0,
        "iss": issuer_name,
        "name": name,
        "sub": encode_public_key(kind, key),
        "nats": {"version": 2, **more},
    }
    claims["jti"] = base64.b32encode(hashlib.sha256(json.dumps(claims).encode()).digest()).rstrip(b"=").decode()
    parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, claims]
    text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    return (text + b"." + base64.urlsafe_b64encode(issuer.sign(text)).rstrip(b"=")).decode()


LIMITS = dict.fromkeys(("subs", "conn", "data", "payload", "leaf", "imports", "exports"), -1) | {"wildcards": True}
JETSTREAM = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)


def operator_options(folder):
    """Write a credentials file. Return the options of a server with an operator and an account with JetStream."""
    operator, system, account, user = (ed25519.Ed25519PrivateKey.generate() for _ in range(4))
    operator_key, account_key = encode_public_key(OPERATOR, operator), encode_public_key(ACCOUNT, account)
    tokens = {
        "operator": sign_nats_token(OPERATOR, operator, "O", operator, operator_key, type="operator"),
        "system": sign_nats_token(ACCOUNT, system, "SYS", operator, operator_key, type="account", limits=LIMITS),
        "account": sign_nats_token(
            ACCOUNT, account, "A", operator, operator_key, type="account", limits=LIMITS | JETSTREAM
        ),
        "user": sign_nats_token(USER, user, "U", account, account_key, type="user", subs=-1, data=-1, payload=-1),
    }
    # The first two bytes of a seed encode the letter S and the letter of the key type.
    seed = encode_nkey([SEED | (USER >> 5), (USER & 31) << 3], user.private_bytes_raw())
    (folder / "user.creds").write_text(
        f"-----BEGIN NATS USER JWT-----\n{tokens['user']}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
    accounts = f"{account_key}: {tokens['account']}, {encode_public_key(ACCOUNT, system)}: {tokens['system']}"
    (folder / "nats.conf").write_text(
        f"operator: {tokens['operator']}\nsystem_account: {encode_public_key(ACCOUNT, system)}\n"
        f"resolver: MEMORY\nresolver_preload: {{ {accounts} }}\n"
    )
    return ("-c", str(folder / "nats.conf"))


def certificate_options(folder):
    """Write a self-signed certificate for the loopback address. Return the options of a server that uses it."""
    certificate, key = write_certificate(folder)
    return ("--tls", "--tlscert", str(certificate), "--tlskey", str(key))


async def append_event(spec, **options):
    """Append an event to the journal and return its number."""
    async with open_journal_and_cluster(spec, JournalOptions(is_leader_candidate=False, **options), SystemClock()) as (
        journal,
        _,
    ):
        return (await journal.append(named_entry("note", 1))).last


async def test_user_and_password_in_the_address_are_percent_encoded(name, tmp_path, connect_error):
    """The error for a wrong password does not contain the password."""
    with NatsServer(tmp_path, "--user", "tick", "--pass", "p@ss/w:rd") as server:
        host = server.url.removeprefix("nats://")
        assert await append_event(f"nats://tick:p%40ss%2Fw%3Ard@{host}/{name}") == 1
        error = str(await connect_error(parse_nats_address(f"nats://tick:secret@{host}/{name}", "")))
        assert "rejects the credentials" in error
        assert "secret" not in error


async def test_rejected_credentials_are_reported_at_once_and_after_a_reconnect(name, tmp_path):
    """The client would send rejected credentials again and again."""
    # A server reloads a configuration file only if the file contains the server name from the command line.
    config = "server_name: n1\nauthorization"
    (tmp_path / "nats.conf").write_text(f"{config} {{ user: tick, password: old }}")
    with NatsServer(tmp_path, "-c", str(tmp_path / "nats.conf")) as server:
        host = server.url.removeprefix("nats://")
        with pytest.raises(CredentialsRejected):
            await NatsConnection.open(parse_nats_address(f"nats://tick:new@{host}/{name}", ""), timeout_s=1e6)
        connection = await NatsConnection.open(parse_nats_address(f"nats://tick:old@{host}/{name}", ""))
        assert connection.fault is None
        (tmp_path / "nats.conf").write_text(f"{config} {{ user: tick, password: new }}")
        server.send_signal(signal.SIGHUP)
        await wait_until(lambda: "rejects the credentials" in (connection.fault or ""))
        await connection.close()


async def test_secret_without_a_colon_is_a_token(name, tmp_path):
    with NatsServer(tmp_path, "--auth", "t0ken") as server:
        assert await append_event(f"nats://t0ken@{server.url.removeprefix('nats://')}/{name}") == 1


async def test_credentials_file_authenticates_the_user(name, tmp_path, connect_error):
    with NatsServer(tmp_path, *operator_options(tmp_path)) as server:
        assert await append_event(f"{server.url}/{name}", nats_creds_file=str(tmp_path / "user.creds")) == 1
        # The client may first see the error or the closed connection.
        error = str(await connect_error(parse_nats_address(server.url, name)))
        assert "rejects the credentials" in error or "reset" in error


async def test_tls_connection_needs_the_ca_bundle_of_the_server(name, tmp_path, connect_error):
    with NatsServer(tmp_path, *certificate_options(tmp_path)) as server:
        url = server.url.replace("nats:", "tls:")
        assert await append_event(f"{url}/{name}", nats_ca_file=str(tmp_path / "ca.pem")) == 1
        assert "certificate verify failed" in str(await connect_error(parse_nats_address(url, name)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read"),
        ("nothing", "is not a NATS credentials file"),
        ("-----BEGIN NATS USER JWT-----\na\n------END NATS USER JWT------\n"
         "-----BEGIN USER NKEY SEED-----\nSUAM\n------END USER NKEY SEED------\n", "is damaged"),
    ],
)  # fmt: skip
def test_client_options_reject_an_invalid_credentials_file(tmp_path, text, message):
    path = tmp_path / "user.creds"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        NatsCredentials(creds_file=path).client_options()


async def test_banner_log_and_repr_contain_no_password(name, tmp_path):
    with NatsServer(tmp_path, "--user", "tick", "--pass", "hush") as server:
        spec = f"nats://tick:hush@{server.url.removeprefix('nats://')}/{name}"
        async with ServerProcess("--journal", spec, "--log-level", "debug", cwd=tmp_path) as process:
            output = "".join(process.banner_lines) + (tmp_path / "server.log").read_text()
        assert "hush" not in output
        assert "hush" not in repr(parse_nats_address(spec, ""))


async def test_permissions_in_the_scaling_docs_are_sufficient(name, tmp_path):
    """A user with these permissions can run the feed, send requests to peers, publish, save snapshots and read."""
    subjects = json.dumps([f"{name}.>", f"$KV.{name}-lease.>", "$JS.>", "_INBOX.>"])
    (tmp_path / "nats.conf").write_text(
        "authorization { users = [{ user: tick, password: hush, "
        f"permissions: {{ publish: {subjects}, subscribe: {subjects} }} }}] }}\n"
    )
    with NatsServer(tmp_path, "-c", str(tmp_path / "nats.conf")) as server:
        options = {"journal": f"nats://tick:hush@{server.url.removeprefix('nats://')}/{name}", "feed": "http"}
        async with (
            run_server(**options) as one,
            run_server(**options, role="edge") as two,
            open_stream(one.url, {"client_id": "me"}) as stream,
            httpx2.AsyncClient(base_url=two.url) as client,
        ):
            assert (await stream.next_event()).name == "welcome"
            while not (one.runtime.leadership.runs_feed and two.runtime.cluster.peers.count == 2):
                await asyncio.sleep(0.005)
            assert (await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])).status_code == 201
            (event,) = await stream.next_events(1)
            assert event.data["symbol"] == "A"
            assert [each["id"] for each in (await client.get("/v1/clients")).json()] == ["me"]
        assert await append_event(options["journal"]) > 2
        log = server.log_path.read_text()
    assert "iolation" not in log
