"""The settings of a server. Flags, environment variables, TOML keys and documentation derive from them.

A flag overrides an environment variable, an environment variable overrides the TOML file, and the TOML file overrides
the default. For the setting `port`, the flag is `--port`, the environment variable is `TICKWIRE_PORT` and the key in
the TOML file is `port`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic.config import JsonDict
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from tickwire.errors import SettingsError, suggest_name
from tickwire.feed_settings import FeedSettings
from tickwire.journal.registry import JOURNAL_FORMATS
from tickwire.redaction import REDACTED

ENV_PREFIX = "TICKWIRE_"
OTHER_VARIABLES = frozenset(
    {"CONFIG", "HEARTBEAT_FD", "LISTEN_FD", "NATS_SERVER", "PARENT", "READY_FD", "TOKEN", "URL"}
)
"""The environment variables of Tickwire that are not settings. The names lack the prefix."""

# For the meaning of `only_with`, see the comment in tickwire/feed_settings.py.
_JOURNAL: JsonDict = {"group": "Journal"}
_SQLITE: JsonDict = {"group": "Journal", "only_with": {"journal": ["", "sqlite"]}}
_CLUSTER: JsonDict = {"group": "Cluster"}
_NATS: JsonDict = {"group": "Cluster", "only_with": {"journal": ["nats", "tls"]}}
_NETWORK: JsonDict = {"group": "Network"}
_READERS: JsonDict = {"group": "Readers"}
_LIMITS: JsonDict = {"group": "Limits"}
_AUTHENTICATION: JsonDict = {"group": "Authentication"}
_LOGGING: JsonDict = {"group": "Logging"}

_SERVICE_LINK_NAME = re.compile(
    r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$", re.IGNORECASE
)


class Settings(FeedSettings):
    """The settings of one server.

    `load_settings` reads the settings from all sources. A program that embeds Tickwire may create a `Settings` object
    directly. Each field belongs to a group. The command-line help and the documentation have one section for each
    group. Declare the fields of a group together.
    """

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    journal: str = Field(
        "",
        # The URL may contain a password, so `repr` omits the setting.
        repr=False,
        description=f"Store events in {JOURNAL_FORMATS}. Empty: an SQLite file for this feed in the data folder.",
        json_schema_extra=_JOURNAL,
    )
    data: Path = Field(
        Path(".tickwire"),
        description=(
            "Store the default journal, the data of `nats:embedded` and the default audit log in this folder."
        ),
        json_schema_extra=_JOURNAL,
    )
    synchronous: Literal["OFF", "NORMAL", "FULL"] = Field(
        "NORMAL",
        description="Set the durability of an SQLite journal. With `NORMAL`, no event is lost if the process is "
        "killed. With `FULL`, no event is lost in a power cut either.",
        json_schema_extra=_SQLITE,
    )
    keep_events: int = Field(
        1_000_000,
        ge=1_000,
        description="Keep at least this many of the newest events, unless they are older than --keep-seconds. Older "
        "events are deleted in groups of about 100,000.",
        json_schema_extra=_JOURNAL,
    )
    keep_seconds: float = Field(
        86_400, gt=0, description="Delete events that are older than this many seconds.", json_schema_extra=_JOURNAL
    )
    keep_bytes: int = Field(
        1_000_000_000,
        ge=1_000_000,
        description="Delete the oldest events when the journal, with its write-ahead log, is larger than this many "
        "bytes, even if --keep-events and --keep-seconds would keep them. A journal in memory has at "
        "most 256 MB.",
        json_schema_extra=_JOURNAL,
    )
    keep_candles: int = Field(
        5_000,
        ge=100,
        description="Keep this many closed candles per symbol and interval. With a journal in memory, the limit is at "
        "most 1,000.",
        json_schema_extra=_JOURNAL,
    )
    keep_candle_bytes: int = Field(
        1_000_000_000,
        ge=1_000_000,
        description="Delete the oldest closed candles when their file would become larger than this many bytes. With a "
        "journal in memory, the limit is at most 256 MB.",
        json_schema_extra=_JOURNAL,
    )

    role: Literal["all", "feed", "edge"] = Field(
        "all",
        description="Choose the role of this process if processes share a journal. `feed` runs the feed and "
        "accepts no readers, `edge` accepts readers and runs no feed, and `all` does both.",
        json_schema_extra=_CLUSTER,
    )
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Start this many processes for readers on one port, and one process for the feed. 1 runs "
        "a single process.",
        json_schema_extra=_CLUSTER,
    )
    replicas: int = Field(
        1,
        ge=1,
        le=5,
        description="Store a copy of the NATS journal on this many NATS servers.",
        json_schema_extra=_NATS,
    )
    codec: Literal["packed", "json", "protobuf", "flatbuffers"] = Field(
        "packed",
        description="Encode messages from this process to NATS in this format. Every process decodes all formats.",
        json_schema_extra=_NATS,
    )
    nats_creds: str = Field(
        "",
        description="Authenticate to NATS with this credentials file, which nsc creates. Empty: no credentials file.",
        json_schema_extra=_NATS,
    )
    nats_ca: str = Field(
        "",
        description="Verify the NATS servers with this CA bundle (PEM file). Empty: the CA bundle of the system.",
        json_schema_extra=_NATS,
    )

    host: str = Field("127.0.0.1", description="Listen on this address.", json_schema_extra=_NETWORK)
    port: int = Field(
        8000, ge=0, le=65535, description="Listen on this port. 0 chooses any free port.", json_schema_extra=_NETWORK
    )
    share_port: bool = Field(
        False, description="Let other processes listen on the same port.", json_schema_extra=_NETWORK
    )
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Also listen on this port, which this process does not share with other processes. So its /metrics "
        "can be read when processes share --port. With --workers, the processes listen on consecutive ports from this "
        "port on. 0 opens no additional port.",
        json_schema_extra=_NETWORK,
    )
    tls_cert: str = Field(
        "",
        description="Serve https:// with the certificate chain in this PEM file. The server loads changed files within "
        "seconds, and open streams continue. Empty: serve http://.",
        json_schema_extra=_NETWORK,
    )
    tls_key: str = Field(
        "",
        description="Serve https:// with the private key in this PEM file, which only its owner and group may read.",
        json_schema_extra=_NETWORK,
    )
    peer_timeout: float = Field(
        30.0,
        ge=1,
        le=86_400,
        description="Close a connection if its client has accepted no bytes for this many seconds.",
        json_schema_extra=_NETWORK,
    )
    hosts: str = Field(
        "",
        description="Accept requests for these host names, such as ticks.example.org,app.example.org. `*` accepts "
        "any host name. `localhost` and IP addresses are always accepted. Only a server on loopback "
        "without --auth checks host names.",
        json_schema_extra=_NETWORK,
    )
    cors: str = Field(
        "",
        description="Let web pages of these origins read responses, such as https://app.example.org,... Wildcards are "
        "not allowed. Empty: no other origins.",
        json_schema_extra=_NETWORK,
    )
    trusted_proxies: str = Field(
        "",
        description="Trust the header X-Forwarded-For, and the header named by --user-header, from proxies in "
        "these networks, such as 10.0.0.0/8,127.0.0.1. Empty: trust no proxy.",
        json_schema_extra=_NETWORK,
    )

    drain_delay: float = Field(
        0.0,
        ge=0,
        le=300,
        description="After SIGTERM, answer 503 to /readyz for this many seconds before the listening socket closes, so "
        "that load balancers send new clients elsewhere. 0 closes the socket at once.",
        json_schema_extra=_NETWORK,
    )

    heartbeat: float = Field(
        15.0,
        gt=0,
        le=300,
        description="Send a heartbeat after this many seconds without an event.",
        json_schema_extra=_READERS,
    )
    max_lifetime: float = Field(
        0.0,
        ge=0,
        description="End a stream with a bye event after this many seconds, plus or minus a random 10 %. 0 "
        "sets no limit.",
        json_schema_extra=_READERS,
    )
    compress: Literal["auto", "off"] = Field(
        "auto",
        description="Compress streams with zstd or gzip for readers that accept these codings. Each event is "
        "compressed once for all readers of a channel.",
        json_schema_extra=_READERS,
    )

    sender: Literal["auto", "uring", "native", "transport"] = Field(
        "auto",
        description="Write events to many readers with one io_uring submission (`uring`), with one call of a C "
        "function (`native`), or with one write per reader (`transport`). `auto` chooses the first of "
        "these that works in this process.",
        json_schema_extra=_READERS,
    )

    max_readers: int = Field(
        50_000,
        ge=1,
        description="Accept at most this many readers, and fewer if the limit of open files is too low. Answer 503 to "
        "further readers.",
        json_schema_extra=_LIMITS,
    )
    max_per_address: int = Field(
        0,
        ge=0,
        description="Accept at most this many readers per address. 0 sets no limit. All IPv6 addresses of a /64 "
        "network count as one address. Keep 0 behind a proxy that is not in --trusted-proxies.",
        json_schema_extra=_LIMITS,
    )
    max_per_user: int = Field(
        0,
        ge=0,
        description="Accept at most this many readers per user. 0 sets no limit. Without --auth, the limit applies "
        "only to clients that --user-header identifies.",
        json_schema_extra=_LIMITS,
    )
    max_requests: float = Field(
        0.0,
        ge=0,
        description="Accept at most this many requests per second from each address and each user. A burst may "
        "have 5 times as many. 0 sets no limit.",
        json_schema_extra=_LIMITS,
    )
    max_connects: float = Field(
        0.0,
        ge=0,
        description="Accept at most this many new streams per second from each address and each user. A burst may "
        "have 5 times as many. 0 sets no limit.",
        json_schema_extra=_LIMITS,
    )
    max_symbols: int = Field(
        1_000,
        ge=1,
        description="Accept at most this many symbols and patterns in one subscription.",
        json_schema_extra=_LIMITS,
    )
    max_board: int = Field(
        100_000,
        ge=1,
        description="Accept at most this many symbols on the board. Ticks of further symbols are rejected.",
        json_schema_extra=_LIMITS,
    )
    max_board_per_publisher: int = Field(
        10_000,
        ge=1,
        description="Limit of symbols per publisher: of the symbols on the board, at most this many may match the "
        "claim `symbols` of a publisher's token. Tokens without the claim have no such limit.",
        json_schema_extra=_LIMITS,
    )
    max_body: int = Field(
        8 * 1024 * 1024,
        ge=1024,
        description="Accept publish requests of up to this many bytes. Uploads have no limit.",
        json_schema_extra=_LIMITS,
    )

    auth: Literal["none", "secret", "key", "jwks"] = Field(
        "none",
        description="Require tokens that are signed with a shared secret (`secret`), or with a private key that "
        "matches a public key in a file (`key`) or in a JWKS (`jwks`). `none` requires no token.",
        json_schema_extra=_AUTHENTICATION,
    )
    auth_secret: str = Field(
        "",
        repr=False,
        description="Verify HS256 tokens with this secret of 32 bytes or more. Set it as an environment variable, not "
        "as a flag.",
        json_schema_extra=_AUTHENTICATION,
    )
    auth_secret_previous: str = Field(
        "",
        repr=False,
        description="Also verify HS256 tokens with this secret, while --auth-secret is being replaced. Set it as an "
        "environment variable, not as a flag.",
        json_schema_extra=_AUTHENTICATION,
    )
    auth_key_file: str = Field(
        "",
        description="Verify RS256, ES256 or EdDSA tokens with the public key in this PEM file.",
        json_schema_extra=_AUTHENTICATION,
    )
    auth_jwks_url: str = Field(
        "",
        description="Verify tokens with the public keys at this JWKS URL.",
        json_schema_extra=_AUTHENTICATION,
    )
    auth_issuer: str = Field(
        "",
        description="Require this issuer (iss) in tokens. Empty: accept any issuer.",
        json_schema_extra=_AUTHENTICATION,
    )
    auth_audience: str = Field(
        "",
        description="Require this audience (aud) in tokens. Empty: accept only tokens without an audience.",
        json_schema_extra=_AUTHENTICATION,
    )
    auth_leeway: float = Field(
        10.0,
        ge=0,
        le=300,
        description="Tolerate a difference of this many seconds between the issuer's clock and this server's clock.",
        json_schema_extra=_AUTHENTICATION,
    )
    auth_max_age: float = Field(
        2_592_000.0,
        gt=0,
        description="Reject tokens that expire more than this many seconds after their issue. The server stores a "
        "revocation for this many seconds plus twice --auth-leeway.",
        json_schema_extra=_AUTHENTICATION,
    )
    auth_cookie: str = Field(
        "",
        description="Read the token from the cookie with this name. Empty: ignore cookies.",
        json_schema_extra=_AUTHENTICATION,
    )
    auth_query: bool = Field(
        False,
        description="Accept the token in the URL of a stream (?access_token=). A ticket is safer.",
        json_schema_extra=_AUTHENTICATION,
    )
    ticket_secret: str = Field(
        "",
        repr=False,
        description="Sign tickets with this secret. Set the same secret on all servers of a cluster. Empty: derive a "
        "key from --auth-secret, or generate a random key.",
        json_schema_extra=_AUTHENTICATION,
    )
    user_header: str = Field(
        "",
        description="Read the user from this request header, which a trusted proxy sets (see --trusted-proxies). "
        "Empty: no header names the user.",
        json_schema_extra=_AUTHENTICATION,
    )
    insecure: bool = Field(
        False,
        description="Allow --auth none on an address other than loopback.",
        json_schema_extra=_AUTHENTICATION,
    )

    audit: str = Field(
        "",
        description="Append the audit log to this file: one line for each change that a client makes. `off` writes "
        "no audit log. Empty: audit.jsonl in the data folder, or no audit log if --journal is set.",
        json_schema_extra=_LOGGING,
    )
    audit_bytes: int = Field(
        67_108_864,
        ge=0,
        description="Rotate the audit log before it becomes larger than this many bytes. 0 never rotates it.",
        json_schema_extra=_LOGGING,
    )
    audit_files: int = Field(
        8,
        ge=1,
        le=1000,
        description="Keep this many files of the audit log, and delete older files.",
        json_schema_extra=_LOGGING,
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Log messages of this level and above.", json_schema_extra=_LOGGING
    )
    log_format: Literal["console", "json"] = Field(
        "console",
        description="Write each log line as text (`console`), or as a JSON object (`json`).",
        json_schema_extra=_LOGGING,
    )
    trace_ratio: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Trace this fraction of the requests and of the feed's batches with OpenTelemetry: 0 traces "
        "none, and 1 traces all. The environment variables OTEL_* choose the collector.",
        json_schema_extra=_LOGGING,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of settings, highest precedence first: arguments, environment variables, TOML file."""
        if isinstance(env_settings, EnvSettingsSource):
            env_settings.env_vars = {
                name: value for name, value in env_settings.env_vars.items() if not is_service_link(name, value)
            }
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def is_service_link(name: str, value: str | None) -> bool:
    """Return whether Kubernetes set the environment variable to the address of a Service.

    For a Service named tickwire, Kubernetes sets TICKWIRE_PORT=tcp://10.0.0.1:8000 and other variables in every pod of
    the namespace.
    """
    return bool(_SERVICE_LINK_NAME.search(name) or (name.upper().endswith("_PORT") and "://" in (value or "")))


def _is_file(path: Path) -> bool:
    """Return whether this is a file. Unlike `Path.is_file`, raise PermissionError if its folder is closed."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def load_settings(overrides: Mapping[str, Any], *, config_path: Path | None = None) -> Settings:
    """Return the settings from `overrides` (the flags), the environment variables and a TOML file.

    If a setting is invalid, raise SettingsError. The message names the flag, the environment variable or the TOML key.
    """
    if config_path is not None and not _is_file(config_path):
        raise SettingsError(
            f"no such configuration file {str(config_path)!r}: create it or change --config", field="config"
        )

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=config_path)

    try:
        return Settings.model_construct(**FromFile(**overrides).model_dump())
    except ValidationError as error:
        raise _to_settings_error(error, overrides, config_path) from None
    except ValueError as error:
        # Also catch ValueError, which the TOML parser raises for invalid syntax.
        raise SettingsError(f"{config_path}: {error}", field="config") from None


def _to_settings_error(error: ValidationError, overrides: Mapping[str, Any], config_path: Path | None) -> SettingsError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return SettingsError(
            f"{config_path}: unknown key {name!r}", field=name, hint=suggest_name(name, Settings.model_fields)
        )
    variable = ENV_PREFIX + name.upper()
    if name in overrides:
        where = f"--{name.replace('_', '-')}"
    elif variable in os.environ:
        where = variable
    else:
        where = f"{config_path}: {name}"
    # Never show the value of a setting with `repr=False`, such as a password, even if the value has the wrong type.
    field = Settings.model_fields.get(name)
    shown = repr(first["input"]) if field is not None and field.repr else REDACTED
    return SettingsError(f"{where} = {shown}: {first['msg'][0].lower()}{first['msg'][1:]}", field=name)
