"""Rules for combinations of settings, and for the names of environment variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from tickwire.core.timestamps import MAX_TIMESTAMP_NS, parse_timestamp
from tickwire.errors import InputError, SettingsError
from tickwire.feeds.registry import feed_kind_names, parse_feed_spec
from tickwire.journal.registry import EMBEDDED_NATS, select_backend
from tickwire.redaction import REDACTED, redact_address
from tickwire.server.middleware.cors import Cors
from tickwire.server.transport.proxies import TrustedProxies
from tickwire.settings import ENV_PREFIX, OTHER_VARIABLES, Settings, is_service_link


def check_settings(settings: Settings) -> None:
    """Raise InputError if a setting is invalid, or if a setting has no effect together with the other settings.

    This function opens no files and no connections.
    """
    parse_feed_spec(settings.feed)
    if settings.journal:
        select_backend(settings.journal)
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        only_with = extra.get("only_with") if isinstance(extra, dict) else None
        if isinstance(only_with, dict) and getattr(settings, name) != field.default:
            for other, kinds in only_with.items():
                _check_effect(settings, name, other, [str(kind) for kind in kinds] if isinstance(kinds, list) else [])
    if settings.journal == EMBEDDED_NATS:
        _check_embedded_nats(settings)
    if settings.start and parse_timestamp(settings.start, field="start") == MAX_TIMESTAMP_NS:
        raise InputError(f"invalid start {settings.start!r}: choose an earlier time", field="start")
    if bool(settings.tls_cert) != bool(settings.tls_key):
        present, missing = ("tls_cert", "tls_key") if settings.tls_cert else ("tls_key", "tls_cert")
        raise SettingsError(
            f"--{present.replace('_', '-')} needs --{missing.replace('_', '-')}: set both for https://, or neither for "
            "http://",
            field=missing,
        )
    TrustedProxies(settings.trusted_proxies)
    Cors(settings.cors, allow_credentials=bool(settings.auth_cookie))


def _check_embedded_nats(settings: Settings) -> None:
    """Raise SettingsError if another setting requires NATS servers that other machines can reach."""
    for name in ("role", "replicas", "nats_creds", "nats_ca"):
        value = getattr(settings, name)
        if value != Settings.model_fields[name].default:
            raise SettingsError(
                f"--{name.replace('_', '-')} {value} needs NATS servers of your own, because only the processes of one "
                f"command can use --journal {EMBEDDED_NATS}: remove --{name.replace('_', '-')}, or start "
                "`nats-server -js` and choose --journal nats://HOST",
                field=name,
            )


def _check_effect(settings: Settings, name: str, other: str, kinds: list[str]) -> None:
    """Raise SettingsError if the present value of the setting `other` makes the setting `name` useless.

    The setting `name` has an effect only with some kinds of values of `other`. The list `kinds` contains these kinds.
    """
    present_kinds = (
        feed_kind_names(settings.feed) if other == "feed" else [str(getattr(settings, other)).partition(":")[0]]
    )
    if not {*present_kinds} & {*kinds}:
        flag, value = f"--{name.replace('_', '-')}", getattr(settings, name)
        shown = redact_address(value) if isinstance(value, str) else value
        if not Settings.model_fields[name].repr:
            shown = REDACTED
        kind = present_kinds[0]
        allowed = " or ".join(f"--{other} {each}" for each in kinds if each)
        present = f"--{other} {kind}" if kind else f"the default {other}"
        raise SettingsError(
            f"{flag} {shown!r} applies only to {allowed}: remove {flag}, or replace {present}",
            field=name,
        )


def variable_warnings(environment: Mapping[str, str]) -> Iterator[str]:
    """Return a warning for each environment variable that looks like a setting but has no effect."""
    settings = {name.upper() for name in Settings.model_fields}
    for variable, value in environment.items():
        prefix, name = variable[: len(ENV_PREFIX)].upper(), variable[len(ENV_PREFIX) :].upper()
        if prefix != ENV_PREFIX:
            continue
        if is_service_link(variable, value):
            if name in settings:
                yield (
                    f"ignoring {variable}={value}: Kubernetes sets it to the address of a Service. To remove it, set "
                    "enableServiceLinks: false in the pod"
                )
        elif name not in settings | OTHER_VARIABLES:
            near = get_close_matches(name, settings | OTHER_VARIABLES, 1)
            hint = f": did you mean {ENV_PREFIX}{near[0]}?" if near else ""
            yield f"ignoring the unknown environment variable {variable}{hint}"
