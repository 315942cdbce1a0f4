# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that the API changes: overrides of the configuration's file, kept in the store.

Only keys that a reload can put in force can be overridden. What is overridden stays so, whatever the file says, until
the override is removed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError, create_model

from admin_api.session_settings.fields import as_toml
from ocsentry.configuration.changes import LIVE, NEVER_BLOCK, SECTIONS, flatten
from ocsentry.configuration.fields import Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ocsentry.configuration.model import Config, LoadedConfig

# Not a file, and not what keeps the operator's networks safe from the API itself.
OVERRIDABLE = LIVE - {"vpn.profile", NEVER_BLOCK}
MASK = "********"
SECRETS = frozenset({"vpn.camouflage.secret", "store.url"})  # the URL of a database may hold a password


class SettingError(ValueError):
    """An override that cannot be used. ``key`` names it; the text says why."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key, self.reason = key, reason


def apply_overrides(config: LoadedConfig, overrides: Mapping[str, Any]) -> LoadedConfig:
    """Returns the configuration with values of ``overrides``, by key. Raises ``SettingError``."""
    values = config.values
    for key in overrides:
        if key not in OVERRIDABLE:
            known = flatten(values)
            reason = "it changes in the file alone" if key in LIVE else "it changes at a restart only"
            raise SettingError(key, reason if key in known else "there is no such key")
    for table in SECTIONS:
        prefix = f"vpn.{table}."
        given = {key.removeprefix(prefix): value for key, value in overrides.items() if key.startswith(prefix)}
        if given:
            section = _merge(getattr(values.vpn, table), given, prefix)
            values = values.model_copy(update={"vpn": values.vpn.model_copy(update={table: section})})
    for key, value in overrides.items():
        if not key.startswith("vpn."):
            table, _, name = key.partition(".")
            section = getattr(values, table)
            changed = section.model_copy(update={name: _read(section, name, value, key)})
            values = values.model_copy(update={table: changed})
    return replace(config, values=values)


def show_settings(config: Config) -> dict[str, Any]:
    """Returns every key with its value as JSON; groups and tables in lists are left out, secrets are masked."""
    return {key: _show(key, value) for key, value in flatten(config).items() if not _is_table(key, value)}


def keys_of_file(section: Section, path: str = "") -> Iterator[str]:
    """Yields the keys that the file sets; the others have their defaults."""
    for name in type(section).model_fields:
        value, key = getattr(section, name), f"{path}{name}"
        if isinstance(value, Section):
            yield from keys_of_file(value, f"{key}.")
        elif name in section.model_fields_set:
            yield key


def _merge(section: Section, given: Mapping[str, Any], prefix: str) -> Section:
    document = {name: as_toml(getattr(section, name)) for name in type(section).model_fields}
    try:
        return type(section).model_validate(document | dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else next(iter(given))
        raise SettingError(prefix + name, _reason(first["msg"])) from None


def _read(section: Section, name: str, value: object, key: str) -> Any:  # noqa: ANN401 - any setting
    field = type(section).model_fields[name]
    one: dict[str, Any] = {name: (field.annotation, field)}
    try:
        return create_model("Setting", **one).model_validate({name: value}).model_dump()[name]
    except ValidationError as error:
        raise SettingError(key, _reason(error.errors(include_url=False)[0]["msg"])) from None


def _reason(text: str) -> str:
    reason = text.removeprefix("Value error, ")
    return f"{reason[:1].lower()}{reason[1:]}"


def _is_table(key: str, value: object) -> bool:
    if key.startswith("groups."):
        return True
    return isinstance(value, tuple) and any(isinstance(entry, Section) for entry in value)


def _show(key: str, value: object) -> Any:  # noqa: ANN401 - any JSON
    if key in SECRETS or isinstance(value, SecretStr):
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        return MASK if text else ""
    return as_toml(value)
