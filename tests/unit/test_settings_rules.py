"""Settings that have no effect together, and environment variables that are not settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import tickwire
from tickwire.errors import InputError, SettingsError
from tickwire.settings import ENV_PREFIX, OTHER_VARIABLES, Settings, load_settings
from tickwire.settings_rules import check_settings, variable_warnings

OWNERS = {
    "feed": ("simulator", "replay:x.csv", "http", "alpaca:A", "kraken:A", "kraken:A;alpaca:A"),
    "journal": ("", "memory", "sqlite:j", "nats://h", "tls://h"),
}
# A valid value that is not the default, for settings whose type does not suggest one.
VALUES = {
    "bar_time": "end", "codec": "json", "conditions": "sip", "replicas": 3, "seed": 3, "start": "2026-01-05",
    "synchronous": "FULL",
}  # fmt: skip
SCOPES = {
    name: field.json_schema_extra["only_with"]
    for name, field in Settings.model_fields.items()
    if isinstance(field.json_schema_extra, dict) and "only_with" in field.json_schema_extra
}
LINKS = {
    "TICKWIRE_PORT": "tcp://10.0.0.1:8000",
    "TICKWIRE_METRICS_PORT": "tcp://10.0.0.2:9000",
    "TICKWIRE_SERVICE_HOST": "10.0.0.1",
    "TICKWIRE_SERVICE_PORT": "8000",
    "TICKWIRE_SERVICE_PORT_HTTP": "8000",
    "TICKWIRE_PORT_8000_TCP": "tcp://10.0.0.1:8000",
    "TICKWIRE_PORT_8000_TCP_ADDR": "10.0.0.1",
    "TICKWIRE_PORT_8000_TCP_PORT": "8000",
    "TICKWIRE_PORT_8000_TCP_PROTO": "tcp",
    "TICKWIRE_EDGE_PORT": "tcp://10.0.0.3:80",
}


def other_value(name: str) -> Any:
    """Return a value of the setting that differs from its default."""
    default = Settings.model_fields[name].default
    if name in VALUES:
        return VALUES[name]
    return not default if isinstance(default, bool) else default + 1 if isinstance(default, int | float) else "x"


@pytest.mark.parametrize("name", SCOPES)
def test_a_setting_is_rejected_exactly_where_it_has_no_effect(name: str) -> None:
    ((owner, kinds),) = SCOPES[name].items()
    for value in OWNERS[owner]:
        settings = Settings(**{owner: value, name: other_value(name)})
        if any(part.partition(":")[0] in kinds for part in value.split(";")):
            check_settings(settings)
        else:
            with pytest.raises(SettingsError, match=f"--{name.replace('_', '-')} .* applies only to --{owner}"):
                check_settings(settings)
        # The default value is always accepted, because it has no effect.
        check_settings(Settings(**{owner: value, name: Settings.model_fields[name].default}))


@pytest.mark.parametrize(
    ("name", "value"), [("role", "edge"), ("role", "feed"), ("replicas", 3), ("nats_creds", "x"), ("nats_ca", "x")]
)
def test_an_embedded_nats_server_serves_one_command_only(name: str, value: Any) -> None:
    check_settings(Settings(journal="nats:embedded", workers=2, codec="json"))
    flag = f"--{name.replace('_', '-')} {value} needs NATS servers of your own"
    with pytest.raises(SettingsError, match=flag) as raised:
        check_settings(Settings(**{"journal": "nats:embedded", name: value}))
    assert raised.value.field == name


def test_every_setting_of_a_feed_has_a_scope() -> None:
    groups = {name: field.json_schema_extra["group"] for name, field in Settings.model_fields.items()}
    assert {name for name, group in groups.items() if group in ("Simulator", "Replay")} <= SCOPES.keys()


@pytest.mark.parametrize(
    "overrides",
    [
        {"feed": "nope"},
        {"feed": "replay"},
        {"journal": "redis"},
        {"start": "soon"},
        {"start": "9999-01-01"},
        {"loop": True},
        {"cors": "app.example.org"},
        {"trusted_proxies": "nope"},
    ],
)
def test_create_app_rejects_an_invalid_setting_at_once(overrides: dict[str, Any]) -> None:
    (name,) = overrides
    with pytest.raises(InputError) as caught:
        tickwire.create_app(**overrides)
    assert caught.value.field == name


def test_an_unknown_variable_is_reported_with_a_suggestion() -> None:
    environment = {"TICKWIRE_PROT": "9000", "TICKWIRE_VERSION_OF_MINE": "2", "TICKWIRE_URL": "http://h", "PATH": "/bin"}
    assert [*variable_warnings(environment)] == [
        "ignoring the unknown environment variable TICKWIRE_PROT: did you mean TICKWIRE_PORT?",
        "ignoring the unknown environment variable TICKWIRE_VERSION_OF_MINE",
    ]


def test_addresses_of_kubernetes_services_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Service with the name tickwire in the namespace of the server does not change the server's port."""
    for name, value in LINKS.items():
        monkeypatch.setenv(name, value)
    assert (load_settings({}).port, load_settings({}).metrics_port) == (8000, 0)
    assert load_settings({"port": 9000}).port == 9000
    warnings = [*variable_warnings(LINKS)]
    assert [warning.partition(":")[0] for warning in warnings] == [
        "ignoring TICKWIRE_PORT=tcp",
        "ignoring TICKWIRE_METRICS_PORT=tcp",
    ]
    assert all("Kubernetes" in warning and "enableServiceLinks: false" in warning for warning in warnings)


def test_every_variable_that_the_code_names_is_known() -> None:
    """The code names a variable as TICKWIRE_NAME, or as ENV_PREFIX and NAME."""
    package = Path(tickwire.__file__).parent
    text = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    names = set(re.findall(rf"\b{ENV_PREFIX}([A-Z_]+)\b", text)) | set(re.findall(r"\{ENV_PREFIX\}([A-Z_]+)", text))
    assert names <= OTHER_VARIABLES | {name.upper() for name in Settings.model_fields}
    assert names >= OTHER_VARIABLES
