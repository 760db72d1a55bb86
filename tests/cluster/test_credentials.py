"""Getting in at a NATS server that asks who one is."""

from __future__ import annotations

import asyncio
import base64
import binascii
import datetime
import hashlib
import ipaddress
import json

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from tickwire.clock import SystemClock
from tickwire.core.event import named_entry
from tickwire.errors import InputError, JournalError
from tickwire.journal.nats.address import parse_address
from tickwire.journal.nats.credentials import Credentials
from tickwire.journal.nats.link import Link
from tickwire.journal.open import JournalOptions, opened_journal
from tickwire.testing.nats import NatsServer
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.wire import open_stream

OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3  # the letters O, A, U, S that NATS' keys begin with
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def spelled(prefix, raw):
    data = bytes(prefix) + raw
    return base64.b32encode(data + binascii.crc_hqx(data, 0).to_bytes(2, "little")).rstrip(b"=").decode()


def public(prefix, key):
    return spelled([prefix], key.public_key().public_bytes(*RAW))


def claims(kind, key, name, issuer, issuer_name, **more):
    """A token of NATS' own: who `name` is, said by `issuer`."""
    said = {
        "jti": "",
        "iat": 0,
        "iss": issuer_name,
        "name": name,
        "sub": public(kind, key),
        "nats": {"version": 2, **more},
    }
    said["jti"] = base64.b32encode(hashlib.sha256(json.dumps(said).encode()).digest()).rstrip(b"=").decode()
    parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, said]
    text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    return (text + b"." + base64.urlsafe_b64encode(issuer.sign(text)).rstrip(b"=")).decode()


LIMITS = dict.fromkeys(("subs", "conn", "data", "payload", "leaf", "imports", "exports"), -1) | {"wildcards": True}
JETSTREAM = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)


def operated(folder):
    """The options of a server with an operator, one account with JetStream, and a user's credentials file."""
    operator, system, account, user = (ed25519.Ed25519PrivateKey.generate() for _ in range(4))
    boss, owner = public(OPERATOR, operator), public(ACCOUNT, account)
    tokens = {
        "operator": claims(OPERATOR, operator, "O", operator, boss, type="operator"),
        "system": claims(ACCOUNT, system, "SYS", operator, boss, type="account", limits=LIMITS),
        "account": claims(ACCOUNT, account, "A", operator, boss, type="account", limits=LIMITS | JETSTREAM),
        "user": claims(USER, user, "U", account, owner, type="user", subs=-1, data=-1, payload=-1),
    }
    # A seed's first two bytes: S, and then the letter of what it is the seed of.
    seed = spelled([SEED | (USER >> 5), (USER & 31) << 3], user.private_bytes_raw())
    (folder / "user.creds").write_text(
        f"-----BEGIN NATS USER JWT-----\n{tokens['user']}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
    accounts = f"{owner}: {tokens['account']}, {public(ACCOUNT, system)}: {tokens['system']}"
    (folder / "nats.conf").write_text(
        f"operator: {tokens['operator']}\nsystem_account: {public(ACCOUNT, system)}\n"
        f"resolver: MEMORY\nresolver_preload: {{ {accounts} }}\n"
    )
    return ("-c", str(folder / "nats.conf"))


def certified(folder):
    """A certificate for the loopback that is its own authority, and the options of a server that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*form))
    return ("--tls", "--tlscert", str(folder / "ca.pem"), "--tlskey", str(folder / "key.pem"))


async def appended(spec, **options):
    """The number of an event appended to the journal."""
    async with opened_journal(spec, JournalOptions(candidate=False, **options), SystemClock()) as (journal, _):
        return (await journal.append(named_entry("note", 1))).last


async def test_a_user_and_password_may_hold_any_character(name, tmp_path):
    """They are percent-encoded in the address; wrong ones are one sentence, without the password."""
    with NatsServer(tmp_path, "--user", "tick", "--pass", "p@ss/w:rd") as server:
        host = server.url.removeprefix("nats://")
        assert await appended(f"nats://tick:p%40ss%2Fw%3Ard@{host}/{name}") == 1
        with pytest.raises(JournalError, match="Authorization") as caught:
            await Link.open(parse_address(f"nats://tick:secret@{host}/{name}", ""), seconds=0.5)
        assert "secret" not in str(caught.value)


async def test_a_token_alone_is_one(name, tmp_path):
    """What stands before the host without a colon."""
    with NatsServer(tmp_path, "--auth", "t0ken") as server:
        assert await appended(f"nats://t0ken@{server.url.removeprefix('nats://')}/{name}") == 1


async def test_a_credentials_file(name, tmp_path):
    """As nsc makes it: NATS' own token, and the server's nonce signed with the key."""
    with NatsServer(tmp_path, *operated(tmp_path)) as server:
        assert await appended(f"{server.url}/{name}", nats_creds=str(tmp_path / "user.creds")) == 1
        with pytest.raises(JournalError, match=r"Authorization|reset"):  # whichever of the two is seen first
            await Link.open(parse_address(server.url, name), seconds=0.5)


async def test_tls_with_an_authority_of_ones_own(name, tmp_path):
    """Who signed the server's certificate is named in a file; without it the server is not believed."""
    with NatsServer(tmp_path, *certified(tmp_path)) as server:
        url = server.url.replace("nats:", "tls:")
        assert await appended(f"{url}/{name}", nats_ca=str(tmp_path / "ca.pem")) == 1
        with pytest.raises(JournalError, match="certificate verify failed"):
            await Link.open(parse_address(url, name), seconds=0.5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot read"),
        ("nothing", "is no credentials file of NATS"),
        ("-----BEGIN NATS USER JWT-----\na\n------END NATS USER JWT------\n"
         "-----BEGIN USER NKEY SEED-----\nSUAM\n------END USER NKEY SEED------\n", "is damaged"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_credentials_file_is_said(tmp_path, text, says):
    """Before anything is asked of a server."""
    path = tmp_path / "user.creds"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=says):
        Credentials(file=path).options()


async def test_secrets_of_nats_are_said_nowhere(name, tmp_path):
    """Not by the greeting, the log, or what represents the settings and the address."""
    with NatsServer(tmp_path, "--user", "tick", "--pass", "hush") as server:
        spec = f"nats://tick:hush@{server.url.removeprefix('nats://')}/{name}"
        async with ServerProcess("--journal", spec, "--log-level", "debug", cwd=tmp_path) as process:
            said = "".join(process.lines) + (tmp_path / "server.log").read_text()
        assert "hush" not in said
        assert "hush" not in repr(parse_address(spec, ""))


async def test_the_subjects_that_docs_scaling_names_are_enough(name, tmp_path):
    """A user who may use only those can lead, ask other nodes, publish, save states and read."""
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
            assert (await stream.event()).name == "welcome"
            while not (one.runtime.leads and two.runtime.company.peers.count == 2):
                await asyncio.sleep(0.005)
            assert (await client.post("/v1/quotes", json=[{"symbol": "A", "last": 1}])).status_code == 201
            (event,) = await stream.events(1)
            assert event.data["symbol"] == "A"
            assert [each["id"] for each in (await client.get("/v1/clients")).json()] == ["me"]
        assert await appended(options["journal"]) > 2  # who left saved a state, which this starts from
        said = server.log.read_text()
    assert "iolation" not in said
