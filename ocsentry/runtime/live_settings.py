# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the running server for the API: shows them, and changes overrides of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from admin_api.http.etags import etag_of_version
from admin_api.http.problems import invalid_value
from admin_api.ports import SettingEntry, SettingOrigin, SettingsChange, SettingsState
from ocsentry.configuration.overrides import (
    OVERRIDABLE,
    SettingError,
    apply_overrides,
    keys_of_file,
    show_settings,
)
from ocsentry.observability.event_catalog import LogEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from admin_api.store import Store
    from ocsentry.configuration.model import LoadedConfig
    from ocsentry.runtime.live_reload import LiveReload
    from vpn_frontend.ports import EventSink


class LiveSettings:
    """The API's ``SettingsControl``."""

    def __init__(self, store: Store, live: LiveReload, events: EventSink) -> None:
        self._store, self._live, self._events = store, live, events

    async def read(self) -> SettingsState:
        async with self._store.read() as unit:
            rows = {row.key: row for row in await unit.settings.read_all()}
        file, overrides = self._live.file, self._live.overrides
        values = show_settings(apply_overrides(file, overrides).values)
        before, given = show_settings(file.values), set(keys_of_file(file.values))
        settings = {}
        for key, value in values.items():
            origin = SettingOrigin.FILE if key in given else SettingOrigin.DEFAULT
            row = rows.get(key)
            if key in overrides:
                by, at = (None, None) if row is None else (row.changed_by, row.changed_at)
                settings[key] = SettingEntry(value, SettingOrigin.API, True, before[key], by, at)
            else:
                settings[key] = SettingEntry(value, origin, key in OVERRIDABLE)
        return SettingsState(settings, self._live.needs_restart, self._etag())

    async def change(
        self, changes: Mapping[str, object], check: Callable[[str], None], *, by: str, dry_run: bool
    ) -> SettingsChange:
        async with self._live.locked():
            check(self._etag())
            merged = {key: value for key, value in {**self._live.overrides, **changes}.items() if value is not None}

            async def store() -> None:
                async with self._store.write() as unit:
                    await unit.settings.change(changes, by)
                    await unit.audit.add(by, "settings_changed", ", ".join(changes)[:200], changes=dict(changes))

            try:
                _refuse_unknown(changes)
                done = await self._live.override(merged, None if dry_run else store)
            except SettingError as error:
                raise invalid_value(f"/{error.key}", error.reason) from None
        if done.in_force and not dry_run:
            self._events.emit(LogEvent.CONFIGURATION_RELOADED, in_force=list(done.in_force), needs_restart=[], by=by)
        return SettingsChange(await self.read(), done.in_force, done.sessions_cut)

    async def read_again(self) -> None:
        """Put the overrides in force that the store has now: another node has changed them."""
        async with self._live.locked():
            overrides = await read_overrides(self._store, self._live.file, self._events)
            done = await self._live.override(overrides, _is_stored)
        if done.in_force:
            live = list(done.in_force)
            self._events.emit(LogEvent.CONFIGURATION_RELOADED, in_force=live, needs_restart=[], by="another node")

    def _etag(self) -> str:
        return etag_of_version(show_settings(self._live.file.values), sorted(self._live.overrides.items()))


async def _is_stored() -> None:
    """The store has them already."""


def _refuse_unknown(changes: Mapping[str, object]) -> None:
    """A key that is removed is checked too. Raises ``SettingError``."""
    for key in changes:
        if key not in OVERRIDABLE:
            raise SettingError(key[:128], "no setting that can change while the server runs")


async def read_overrides(store: Store, config: LoadedConfig, events: EventSink) -> dict[str, Any]:
    """Returns the overrides that can be used. One that cannot be, for instance after an upgrade, is told and left."""
    async with store.read() as unit:
        rows = {row.key: row.value for row in await unit.settings.read_all()}
    usable: dict[str, Any] = {}
    for key, value in rows.items():
        try:
            apply_overrides(config, {**usable, key: value})
        except SettingError as error:
            events.emit(LogEvent.CONFIGURATION_REFUSED, problems=[f"settings: {error}"])
        else:
            usable[key] = value
    return usable
