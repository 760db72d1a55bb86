"""Command-line options for settings: one option for each setting, and groups of options in the help."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from tickwire.settings import ENV_PREFIX, Settings

# The heading for options that name no group. The help lists this group last.
_LAST_GROUP = "General"
_LAYOUT_SETTINGS = ("map", "symbol", "bar_time", "wide", "encoding", "skip_rows", "skip_bad_rows")


class GroupedCommand(click.Command):
    """A command whose help lists the options in groups.

    The groups appear in the order in which their first options are declared. The group General comes last.
    """

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section of the help for each group of options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(param, "group", _LAST_GROUP), []).append(record)
        last = sections.pop(_LAST_GROUP, [])
        for title, records in [*sections.items(), (_LAST_GROUP, last)]:
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class SettingOption(click.Option):
    """The command-line option for one setting.

    The declaration of the setting in `Settings` determines the group, type, range, default and environment variable.
    The option passes the user's text unchanged to `load_settings`, which converts and checks the text. Therefore an
    error message can name the source of an invalid value: the option, the environment variable or the key in the file.
    """

    def __init__(self, name: str, field: FieldInfo) -> None:
        flag = f"--{name.replace('_', '-')}"
        if field.annotation is bool:
            flag = f"{flag}/--no-{name.replace('_', '-')}"
            super().__init__([flag, name], default=None, help=_help_text(name, field))
        else:
            super().__init__([flag, name], type=_option_type(field), default=None, help=_help_text(name, field))
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "repeatable" in extra:
            separator = str(extra["repeatable"])
            self.multiple = True
            self.callback = lambda _context, _option, values: separator.join(values) if values else None
        self.group = str(extra["group"]) if isinstance(extra, dict) and "group" in extra else "Settings"


class _TextType(click.ParamType[str]):
    """The type of an option whose value stays a text. `load_settings` converts the text later.

    The help shows `name` as the type.
    """

    def __init__(self, name: str) -> None:
        self.name = name


def settings_options() -> list[click.Parameter]:
    """Return the command-line options of all settings."""
    return [SettingOption(name, field) for name, field in Settings.model_fields.items()]


def config_option(help_text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option for the file with settings."""
    return click.option(
        "--config", type=click.Path(path_type=Path), envvar=f"{ENV_PREFIX}CONFIG", show_envvar=True, help=help_text
    )


def layout_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that describe the layout of a recording. Their help is the description of the replay settings."""
    for name in reversed(_LAYOUT_SETTINGS):
        field = Settings.model_fields[name]
        flag = f"--{name.replace('_', '-')}"
        kind: Any = click.IntRange(0) if field.annotation is int else _option_type(field)
        if field.annotation is bool:
            option = click.option(flag, name, is_flag=True, help=field.description)
        else:
            option = click.option(
                flag, name, type=kind, default=field.default, show_default=bool(field.default), help=field.description
            )
        command = option(command)
    return command


def _option_type(field: FieldInfo) -> click.ParamType[Any]:
    annotation: Any = field.annotation
    if get_origin(annotation) is Literal:
        return click.Choice([str(value) for value in get_args(annotation)], case_sensitive=False)
    name = {int: "integer", float: "float", Path: "path"}.get(annotation, "text")
    return _TextType(f"{name} range" if _value_range(field.metadata) else name)


def _help_text(name: str, field: FieldInfo) -> str:
    facts = [_value_range(field.metadata), _default_text(name, field.default), f"env: {ENV_PREFIX}{name.upper()}"]
    return f"{field.description}  [{'; '.join(filter(None, facts))}]"


def _default_text(name: str, default: object) -> str:
    if isinstance(default, bool):
        return f"default: {'' if default else 'no-'}{name.replace('_', '-')}"
    return "" if default == "" else f"default: {default}"


def _value_range(metadata: Iterable[object]) -> str:
    """Return the allowed range of a setting in the notation of click, such as 0<=x<=65535 or x>0.

    Return an empty string if all values are allowed.
    """
    bounds = {key: getattr(each, key) for each in metadata for key in ("ge", "gt", "le", "lt") if hasattr(each, key)}
    lower = next(((bounds[key], sign) for key, sign in (("ge", "="), ("gt", "")) if key in bounds), None)
    upper = next((f"<{sign}{bounds[key]}" for key, sign in (("le", "="), ("lt", "")) if key in bounds), "")
    if lower is None:
        return f"x{upper}" if upper else ""
    value, sign = lower
    return f"{value}<{sign}x{upper}" if upper else f"x>{sign}{value}"
