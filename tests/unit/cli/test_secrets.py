"""Startup errors show no credentials, for any setting that contains credentials, even if the value is mistyped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tickwire.testing.command_line import invoke_command

# Every secret contains the word PASS. The port is constant, because all test processes need the same test ids. No
# program listens on the discard port 9.
JOURNALS = (
    "Nats://ann:PASS@h/name",
    "natss://ann:PASS@one:1,bob:PASS@two:1",
    "nats:ann:PASS@h",
    "nats://ann:PASS@h/name?x=PASS",
    "nats://ann:PASS/PASS@h",
    "nats://[ann:PASS@h",
    "nats://ann:PASS@h/bad.name",
    "sqlite+x://PASS@h",
)
URL = "http://ann:PASS@127.0.0.1:9/folder/model.json?sig=PASS"
KEY_OPTIONS = ("--auth", "jwks", "--auth-jwks-url")
OPTIONS = [
    *(("--journal", journal) for journal in JOURNALS),
    *(("--workers", "2", "--journal", journal) for journal in JOURNALS if not journal.startswith("nats:")),
    ("--feed", "nats://ann:PASS@h"),
    ("--feed", "http://ann:PASS@h"),
    ("--model", URL),
    ("--model", URL.replace("http", "HTTP")),
    ("--model", "http://[ann:PASS@h"),
    ("--model", "s3://ann:PASS@?sig=PASS"),
    ("--model", "file://ann:PASS@h/model.json?sig=PASS"),
    ("--feed", "http", "--model", URL),
    ("--feed", "http", "--scenario", URL),
    ("--scenario", URL),
    (*KEY_OPTIONS, "http://ann:PASS@h/keys"),
    (*KEY_OPTIONS, "https://[ann:PASS@h/keys"),
    ("--cors", "https://ann:PASS@h/x?y=PASS"),
    ("--hosts", "https://ann:PASS@h"),
]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_a_start_that_fails_shows_no_credentials(options: tuple[str, ...], tmp_path: Path) -> None:
    common = ("--port", "0", "--data", tmp_path / "data")
    journal = () if "--journal" in options else ("--journal", "memory")
    result = invoke_command("serve", *common, *journal, *options)
    assert result.exit_code in (1, 2)
    assert result.errors.startswith("tickwire: ") or "tickwire: " in result.errors
    assert "Traceback" not in result.errors
    assert "PASS" not in result.errors + result.output


@pytest.mark.parametrize(
    "line", ["journal = ['nats://ann:PASS@h']", "auth_secret = ['PASS']", "ticket_secret = {a='PASS'}"]
)
def test_a_secret_of_the_wrong_type_is_not_shown(line: str, tmp_path: Path) -> None:
    config = tmp_path / "tickwire.toml"
    config.write_text(line)
    result = invoke_command("serve", "--config", config)
    assert result.exit_code == 2
    assert "= ***: " in result.errors
    assert "PASS" not in result.errors


@pytest.mark.parametrize("command", [("simulator", "status"), ("check-filter", "last > 1")])
def test_a_client_shows_no_credentials_of_its_url(command: tuple[str, ...]) -> None:
    for url in (URL, "ftp://ann:PASS@h"):
        result = invoke_command(*command, "--url", url)
        assert result.exit_code != 0
        assert "PASS" not in result.errors + result.output
