"""The help of the commands."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner
from pydantic import Field
from pydantic.fields import FieldInfo

from tickwire.cli.options import GroupedCommand, SettingOption
from tickwire.cli.root import root
from tickwire.settings import Settings

COMMANDS = (
    "serve",
    "watch",
    "publish",
    "simulator",
    "calibrate",
    "token",
    "check-filter",
    "record",
    "status",
    "doctor",
    "config",
    "backup",
    "restore",
)


def help_text(*arguments: str) -> str:
    result = CliRunner().invoke(root, [*arguments, "--help"], env={"COLUMNS": "100"}, terminal_width=100)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_serve_lists_every_setting_with_type_default_and_variable() -> None:
    text = " ".join(help_text("serve").split())
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in text
        assert f"env: TICKWIRE_{name.upper()}]" in text
    assert "--port INTEGER RANGE" in text
    assert "[0<=x<=65535; default: 8000; env: TICKWIRE_PORT]" in text
    assert "--speed FLOAT RANGE" in text
    assert "--data PATH" in text
    assert "--host TEXT" in text
    assert "--auth [none|secret|key|jwks]" in text
    assert "--share-port / --no-share-port" in text
    # The help may break a line at a hyphen.
    assert "default:no-share-port" in text.replace(" ", "")


def test_options_are_grouped_and_unnamed_groups_come_last() -> None:
    def option(name: str, group: str | None, default: object, annotation: type) -> SettingOption:
        extra = None if group is None else {"group": group}
        field = Field(default, description=f"About {name}.", json_schema_extra=extra)
        assert isinstance(field, FieldInfo)
        field.annotation = annotation
        return SettingOption(name, field)

    params = [
        option("speed", "Feed", 1.0, float),
        option("port", "Network", 8000, int),
        option("rate", "Feed", 3.0, float),
        click.Option(["--config"], help="Read a file."),
    ]
    text = CliRunner().invoke(GroupedCommand("serve", params=params, callback=print), ["--help"]).stdout
    titles = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Feed:", "Network:", "General:"]
    assert text.index("--speed FLOAT") < text.index("--rate FLOAT") < text.index("--port INTEGER")
    assert text.index("General:") < text.index("--config")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_starts_with_a_verb(command: str) -> None:
    text = help_text(command)
    assert text.startswith("Usage: tickwire" if "Usage: tickwire" in text else "Usage: root")
    description = text.split("\n\n")[1].strip()
    assert description[0].isupper()


def test_root_lists_all_commands() -> None:
    text = help_text()
    assert all(f"  {command} " in text for command in COMMANDS)
