"""Every setting, declared once: its flag, its environment variable, its TOML key and its row in the docs follow.

A flag wins over the environment (`TICKWIRE_` and the name in capitals), which wins over the TOML file (the name as
key), which wins over the default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from tickwire.errors import SettingsError, nearest

PREFIX = "TICKWIRE_"


class Settings(BaseSettings):
    """How one server runs. Made by `load_settings`, or directly in a program that embeds Tickwire."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    feed: str = Field("simulator", description="where prices come from: simulator, replay:PATH or http")
    journal: str = Field(
        "",
        repr=False,  # a password may be in it
        description="memory, sqlite:PATH or nats://[USER:PASSWORD@]HOST[:PORT][,HOST...][/NAME] (tls:// with TLS); if "
        "empty, an SQLite file for this feed in the data folder",
    )
    role: Literal["all", "feed", "edge"] = Field(
        "all", description="with a journal on NATS: feed runs the feed and takes no readers, edge takes readers only"
    )
    workers: int = Field(
        1, ge=1, le=256, description="with a journal on NATS: so many edges in processes of their own share the port"
    )
    codec: Literal["packed", "json", "protobuf", "flatbuffers"] = Field(
        "packed", description="NATS: the form of what this process writes; every form is read"
    )
    share_port: bool = Field(False, description="let other processes listen on the same port, as workers do")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="another port that only this process answers on, for /metrics; with workers, the first of as many",
    )
    nats_creds: str = Field("", description="NATS: a credentials file, as nsc makes it; empty: none")
    nats_ca: str = Field("", description="NATS: a PEM file of who signs the servers' certificates; empty: the system's")
    replicas: int = Field(1, ge=1, le=5, description="NATS: how many servers keep the journal")
    data: Path = Field(Path(".tickwire"), description="the folder for journals that were given no path")
    host: str = Field("127.0.0.1", description="the address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="the port to listen on; 0 takes a free one")
    speed: float = Field(
        1.0, ge=0, le=1000, description="simulator and replay: times real time; 0 is as fast as it can be taken"
    )
    loop: bool = Field(False, description="replay: start again at the end")
    bar_time: Literal["start", "end"] = Field(
        "start", description="replay: whether a bar's time is that of its start or of its end"
    )
    map: str = Field("", description="replay: which column is what, such as symbol=ticker,ts=time@ms,last=px")
    symbol: str = Field("", description="replay: the symbol of a file that names none")
    seed: int = Field(0, ge=0, description="simulator: the same seed gives the same market; 0 takes one by chance")
    start: str = Field(
        "",
        description="simulator: where market time begins, such as 2026-01-05T14:30:00Z (UTC without an offset); if "
        "empty, now",
    )
    rate: float = Field(3.0, gt=0, le=1000, description="simulator: ticks a second of each symbol, on average")
    model: str = Field(
        "",
        description="simulator: the market's model, FILE, http(s)://... or s3://BUCKET/KEY; empty is the built-in one",
    )
    model_poll: float = Field(5.0, gt=0, description="simulator: seconds between looks whether the model has changed")
    scenario: str = Field("", description="simulator: a TOML file that scripts the session")
    synchronous: Literal["OFF", "NORMAL", "FULL"] = Field(
        "NORMAL", description="SQLite: NORMAL survives a killed process, FULL also a power cut"
    )
    keep_events: int = Field(
        1_000_000, ge=1_000, description="events the journal keeps at least; older ones go in strides of 100,000"
    )
    keep_seconds: float = Field(86_400, gt=0, description="how old events in the journal may grow, in seconds")
    keep_bytes: int = Field(
        1_000_000_000,
        ge=1_000_000,
        description="how large the journal may grow, whatever else it should keep; in memory 256 MB at most",
    )
    keep_candles: int = Field(
        5_000, ge=100, description="closed candles that are kept of each symbol and interval; in memory 1,000 at most"
    )
    calendar: str = Field(
        "", description="the exchange whose trading days are the sessions, such as XNYS; if empty, they are UTC days"
    )
    heartbeat: float = Field(15.0, gt=0, le=300, description="seconds of silence before readers get a heartbeat")
    peer_timeout: float = Field(
        30.0, ge=1, le=86_400, description="seconds until a connection is given up whose other side takes no bytes"
    )
    stale_after: float = Field(10.0, gt=0, description="seconds without a tick before the feed is called stale")
    max_readers: int = Field(50_000, ge=1, description="readers in all; one more is answered 503")
    max_per_address: int = Field(
        0, ge=0, description="readers from one address; 0 does not count them (behind a proxy)"
    )
    max_per_user: int = Field(0, ge=0, description="readers of one user (see --user-header); 0 does not count them")
    user_header: str = Field(
        "",
        description="the request header in which a proxy in front (see --trusted-proxies) names the user; empty: none",
    )
    auth: Literal["none", "secret", "key", "jwks"] = Field(
        "none", description="who gets in: everybody, or who has a token signed with a secret, a key, a key of a JWKS"
    )
    auth_secret: str = Field(
        "",
        repr=False,
        description="the secret of HS256 tokens, 32 bytes or more; better in the environment than as a flag",
    )
    auth_key_file: str = Field("", description="a PEM file with the public key of RS256, ES256 or EdDSA tokens")
    auth_jwks_url: str = Field("", description="where the public keys of tokens are published, as a JWKS")
    auth_issuer: str = Field("", description="the iss that tokens must have; empty: any")
    auth_audience: str = Field("", description="the aud that tokens must have; empty: they must have none")
    auth_leeway: float = Field(10.0, ge=0, le=300, description="seconds that clocks may differ")
    auth_max_age: float = Field(
        2_592_000.0, gt=0, description="seconds that a token may still be good for; revoked ones are known as long"
    )
    auth_cookie: str = Field("", description="a cookie that may hold the token; empty: none")
    auth_query: bool = Field(
        False, description="take tokens in the URL of a stream too (?access_token=); a ticket is better"
    )
    ticket_secret: str = Field(
        "",
        repr=False,
        description="the secret of tickets, for several nodes; empty: from --auth-secret, or this node's own",
    )
    insecure: bool = Field(False, description="listen on other addresses than loopback though everybody gets in")
    trusted_proxies: str = Field(
        "", description="networks whose X-Forwarded-For and --user-header are believed: 10.0.0.0/8,127.0.0.1"
    )
    hosts: str = Field(
        "",
        description="names by which a server on loopback without --auth may be called, beside localhost and addresses: "
        "ticks.example.org,...; * is any",
    )
    cors: str = Field("", description="origins whose pages may read answers: https://app.example.org,...; empty: none")
    max_requests: float = Field(
        0.0, ge=0, description="requests a second of one address or user, in bursts of five times that; 0 is no limit"
    )
    max_connects: float = Field(
        0.0, ge=0, description="streams a second that one address or user opens, likewise; 0 is no limit"
    )
    audit: str = Field(
        "",
        description="who changed what: a file, or off; empty: audit.jsonl in the data folder if the journal is there",
    )
    max_lifetime: float = Field(
        0.0, ge=0, description="seconds until a stream is ended with a bye, give or take a tenth; 0 is never"
    )
    max_symbols: int = Field(1_000, ge=1, description="symbols and patterns in one subscription")
    max_board: int = Field(100_000, ge=1, description="symbols on the board; publishing one more is refused")
    max_body: int = Field(8 * 1024 * 1024, ge=1024, description="bytes in one publish request")
    compress: Literal["auto", "off"] = Field(
        "auto",
        description="streams in zstd or gzip for readers that accept it, packed once for all readers of a channel",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least that is logged")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the TOML file named in the class's configuration."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(given: Mapping[str, Any], *, config: Path | None = None) -> Settings:
    """The settings from what was given, the environment and the file `config`; SettingsError names what is wrong."""
    if config is not None and not config.is_file():
        raise SettingsError(f"there is no configuration file {config}", field="config")

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    try:
        return Settings.model_construct(**FromFile(**given).model_dump())
    except ValidationError as error:
        raise _explained(error, given, config) from None
    except ValueError as error:  # the TOML parser's
        raise SettingsError(f"{config}: {error}", field="config") from None


def _explained(error: ValidationError, given: Mapping[str, Any], config: Path | None) -> SettingsError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return SettingsError(f"{config}: unknown key {name}", field=name, hint=nearest(name, Settings.model_fields))
    variable = PREFIX + name.upper()
    if name in given:
        where = f"--{name.replace('_', '-')}"
    elif variable in os.environ:
        where = variable
    else:
        where = f"{config}: {name}"
    return SettingsError(f"{where} = {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}", field=name)
