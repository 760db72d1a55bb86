"""Addresses without credentials, in errors and in any text."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tickwire.errors import InputError, JournalError, SettingsError, TickwireError
from tickwire.redaction import redact_address, redact_urls

SCHEMES = ("nats", "Nats", "NATSS", "tls", "http", "HTTPS", "s3", "ftp", "x-y.z+1", "postgres")
# Texts that can follow the scheme of a URL. Every secret in them contains the word PASS.
LOCATIONS = (
    "user:PASS@host",
    "user:PASS@host:4222/name",
    "PASS@host",
    ":PASS@host",
    "user:PASS%40@host",
    "user:PA@SS-PASS@host",
    "user:PASS/PASS@host/name",
    "user:PASS?PASS@host",
    "user:PASS#PASS@host",
    "user:PASS@[::1]:4222",
    "user:PASS@one:4222,user:PASS@two:4222/name",
    "one:4222,user:PASS@two",
    "nats://user:PASS@one,nats://user:PASS@two",
    "host/model.json?sig=PASS",
    "host/model.json#PASS",
    "host?sig=PASS&mail=a@b&key=PASS",
    "user:PASS@host/model.json?sig=PASS#PASS",
    "user:PASS",
)
URLS = [f"{scheme}://{location}" for scheme, location in itertools.product(SCHEMES, LOCATIONS)]


@pytest.mark.parametrize("url", URLS)
def test_no_form_of_an_address_shows_its_secrets(url: str) -> None:
    for text in (redact_address(url), redact_urls(url), redact_urls(f'GET {url} "HTTP/1.1", then {url}: lost ({url})')):
        assert "PASS" not in text
    for error_type in (TickwireError, InputError, SettingsError, JournalError):
        assert "PASS" not in str(error_type(f"cannot reach {url}: no answer"))


@pytest.mark.parametrize(
    "address", ["nats:user:PASS@host", "user:PASS@host", "nats:/u:PASS@host", "nats://u:PASS PASS@h"]
)
def test_an_address_with_a_mistake_shows_no_secrets(address: str) -> None:
    assert "PASS" not in redact_address(address)


@given(st.text(min_size=1).map(lambda text: f"PASS{text}PASS"))
@example("PASS@?#/:PASS")
def test_no_character_of_a_password_reveals_it(password: str) -> None:
    assert "PASS" not in redact_address(f"Nats://user:{password}@host:4222/name")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("no file 'http:/ann:x@host/model.json?sig=y'", "no file 'http:/***@host/model.json'"),
        ("cannot reach nats://ann:x@one:4222/name: lost", "cannot reach nats://***@one:4222/name: lost"),
        ("see https://example.org/docs, then go on", "see https://example.org/docs, then go on"),
        ('GET http://[::1]:80/a?b=c "200"', 'GET http://[::1]:80/a "200"'),
        ("write s3://BUCKET/KEY or nats://HOST", "write s3://BUCKET/KEY or nats://HOST"),
        ("AAPL 12:30 a@b.example", "AAPL 12:30 a@b.example"),
        (r'{"path":"/x/http://a\"b","status":404}', r'{"path":"/x/http://a\"b","status":404}'),
    ],
)
def test_the_rest_of_a_text_stays(text: str, redacted: str) -> None:
    assert redact_urls(text) == redacted


@pytest.mark.parametrize(
    "address", ["postgres", "sqlite:/data/x.journal", "nats://one:1,two:2/name", "/models/a b.json"]
)
def test_an_address_without_secrets_stays(address: str) -> None:
    assert redact_address(address) == address
