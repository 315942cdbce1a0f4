# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds, changes and removes groups, and applies them to live sessions before it returns."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from admin_api.groups.schemas import GroupCreate, GroupReplace, GroupView
from admin_api.http.etags import etag_of_version, find_unchanged
from admin_api.http.problems import ApiError, ProblemKind, invalid_value
from admin_api.session_settings.effective import (
    ChangedKeys,
    EffectiveValue,
    show_effective,
    show_overrides,
    split_changed,
)
from admin_api.session_settings.overrides import read_group_settings, render_group_settings
from sentry_engine.records import dataclass
from vpn_frontend.auth.group_logins import find_rules_problem
from vpn_frontend.auth.group_rules import merge_group_rules
from vpn_frontend.sessions.effective_settings import GLOBAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from admin_api.services import Services
    from admin_api.store import UnitOfWork
    from admin_api.store.tables import Group
    from vpn_frontend.settings import Overrides

MAX_GROUPS = 10_000  # made over the API


@dataclass(frozen=True, slots=True)
class GroupResult:
    """A changed group (``None``: removed) and what the change did to live sessions."""

    group: Group | None
    sessions_cut: int
    keys: ChangedKeys


async def create_group(services: Services, body: GroupCreate, *, by: str, dry_run: bool = False) -> GroupResult:
    """Raises ``ApiError`` if there is a group of that name made over the API."""
    settings = _checked_document(services, body.name, body)
    async with _change(services, dry_run=dry_run) as unit:
        groups = await unit.groups.overrides()
        if body.name in groups:
            raise ApiError(ProblemKind.ALREADY_EXISTS, f"There is a group {body.name} already")
        if len(groups) >= MAX_GROUPS:
            raise ApiError(ProblemKind.TABLE_FULL, f"There are {MAX_GROUPS} groups")
        group = unit.groups.make(body.name, label=body.label, note=body.note, settings=settings)
        if not dry_run:
            await unit.groups.add(group)
            await unit.audit.add(by, "group_created", body.name, label=body.label, settings=settings)
    groups[body.name] = read_group_settings(settings, body.label)
    return _apply(services, group, body.name, groups, dry_run=dry_run)


async def change_group(
    services: Services,
    name: str,
    make_body: Callable[[Group], GroupReplace],
    *,
    if_match: str | None,
    by: str,
    dry_run: bool = False,
) -> GroupResult:
    """Replace everything but the name by what ``make_body`` makes of the present group. Raises ``ApiError``."""
    async with _change(services, dry_run=dry_run) as unit:
        group = await _get_group(services, unit, name, if_match)
        body = make_body(group)
        settings = _checked_document(services, name, body)
        groups = await unit.groups.overrides()
        unit.groups.replace(group, label=body.label, note=body.note, settings=settings)
        if not dry_run:
            await unit.audit.add(by, "group_replaced", name, label=body.label, settings=settings)
    groups[name] = read_group_settings(settings, body.label)
    return _apply(services, group, name, groups, dry_run=dry_run)


async def remove_group(
    services: Services, name: str, *, if_match: str | None, by: str, dry_run: bool = False
) -> GroupResult:
    """Remove a group. Its members keep the membership. Raises ``ApiError``."""
    async with _change(services, dry_run=dry_run) as unit:
        group = await _get_group(services, unit, name, if_match)
        groups = await unit.groups.overrides()
        if not dry_run:
            await unit.groups.remove(group)
            await unit.audit.add(by, "group_removed", name)
    del groups[name]
    return _apply(services, None, name, groups, dry_run=dry_run)


def etag_of_group(group: Group) -> str:
    return etag_of_version(group.name, group.version, group.created_at)


def view_group(group: Group, members: int) -> GroupView:
    return GroupView(
        name=group.name,
        source="api",
        label=group.label,
        note=group.note,
        settings=group.settings,
        members=members,
        created_at=group.created_at,
        updated_at=group.updated_at,
    )


def view_file_group(services: Services, name: str, members: int) -> GroupView:
    overrides, own = services.settings.file_groups()[name], services.settings.origins_of_rules(name)
    rules = services.settings.login_rules(name)
    auth = {key: list(getattr(rules, key)) for key, origin in own.items() if origin != GLOBAL}
    return GroupView(
        name=name,
        source="file",
        label=overrides.get("label", ""),
        note="",
        settings=show_overrides(overrides) | ({"auth": auth} if auth else {}),
        members=members,
    )


def show_effective_of_group(services: Services, name: str) -> dict[str, EffectiveValue]:
    """Returns what members get, and the rules of logins by the group, by key."""
    rules, origins = services.settings.login_rules(name), services.settings.origins_of_rules(name)
    shown = {
        f"auth.{key}": EffectiveValue(value=list(getattr(rules, key)), origin=origin) for key, origin in origins.items()
    }
    return shown | show_effective(services.settings.resolve_groups((name,)))


def check_pools(services: Services, settings: Mapping[str, Any]) -> None:
    """Raises ``ApiError`` for a pool that the server does not have: it makes pools when it starts."""
    network = settings.get("network", {})
    for key in ("ipv4_pool", "ipv6_pool"):
        pool = network.get(key)
        if pool and not services.settings.has_pool(str(pool)):
            known = ", ".join(services.settings.pool_names()) or "none"
            detail = f"{pool} is none of the pools in the configuration file ({known})"
            raise invalid_value(f"/settings/network/{key}", detail)


def check_rules(services: Services, name: str, settings: Mapping[str, Any]) -> None:
    """Raises ``ApiError`` for rules of logins that cannot be used with the configuration."""
    auth = services.settings.auth
    rules = merge_group_rules(auth, {name: read_group_settings(settings)}).get(name)
    problem = None if rules is None else find_rules_problem(auth, rules)
    if problem is not None:
        raise invalid_value(f"/settings/auth/{problem[0]}", problem[1])


def _checked_document(services: Services, name: str, body: GroupReplace) -> dict[str, Any]:
    document = render_group_settings(body.settings)
    check_pools(services, document)
    check_rules(services, name, document)
    return document


@asynccontextmanager
async def _change(services: Services, *, dry_run: bool) -> AsyncIterator[UnitOfWork]:
    """A unit of work. A dry run writes nothing in it: it must not wait for the lock of the database."""
    async with services.store.read() if dry_run else services.store.write() as unit:
        yield unit


async def _get_group(services: Services, unit: UnitOfWork, name: str, if_match: str | None) -> Group:
    group = await unit.groups.get(name)
    if group is None and name in services.settings.file_groups():
        raise ApiError(ProblemKind.FROM_FILE, f"{name} is a group of the configuration file")
    return find_unchanged(group, etag_of_group, if_match, f"group {name}")


def _apply(
    services: Services, group: Group | None, name: str, groups: Mapping[str, Overrides], *, dry_run: bool
) -> GroupResult:
    """Runs right after the commit, without a pause in which another change could come between."""
    present, new = services.settings, services.settings.with_groups(groups)
    changed = set(new.resolve_groups((name,)).changed_keys(present.resolve_groups((name,))))
    before, after = present.login_rules(name), new.login_rules(name)
    changed |= {f"auth.{key}" for key in ("methods", "require") if getattr(before, key) != getattr(after, key)}
    cut = len(services.sessions.change_groups(groups, dry_run=dry_run))
    if not dry_run:
        services.settings.set_groups(groups)
    return GroupResult(group, cut, split_changed(changed))
