# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the server's own process, from its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ocsentry.configuration.policy_files import watched_paths
from ocsentry.privileges.reach import DEVICES, SHARED_BY_MANY, Reach, system_paths, with_targets
from ocsentry.rule_sources.feeds_in_rules import FeedsInRules
from vpn_frontend.auth.oidc.claims import file_of_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ocsentry.configuration.model import LoadedConfig
    from sentry_engine.policy.rule_files import FileReader


def reach_of_server(config: LoadedConfig, lists: Iterable[Path] = ()) -> Reach:
    """What ``serve`` reads and writes. ``lists`` are block lists that the rule files name by path."""
    vpn = config.values.vpn
    folders = (vpn.user_config_dir, vpn.group_config_dir, vpn.default_user_config, vpn.default_group_config)
    hosts = (path for host in vpn.host for path in host.watched())
    named = (config.values.auth.ocpasswd_file, config.values.auth.oath_file, *folders, *hosts)
    named = (*named, file_of_url(config.values.auth.bearer.configuration_url))
    watched = (*watched_paths(config.values.policy), *lists, *(path for path in named if path is not None))
    own = (place for path in (config.path, *config.reads, *watched) for place in _places(path))
    read = (*system_paths(), *with_targets(own))
    return Reach(read, tuple(writable_folders(config).values()), tuple(map(Path, DEVICES)))


def named_lists(config: LoadedConfig, read: FileReader) -> tuple[Path, ...]:
    """The block lists that the rule files name by path. A file that cannot be read names none."""
    feeds = FeedsInRules(watched_paths(config.values.policy), read).read(None)
    return tuple(feed.path.absolute() for feed in feeds if feed.path is not None)


def writable_folders(config: LoadedConfig) -> dict[str, Path]:
    """The folders that the server writes to, by the configuration key that names them."""
    values = config.values
    folders = {"admin.socket": values.admin.socket.parent, "policy.feeds": values.policy.feeds}
    if config.database_file is not None:
        folders["store.url"] = config.database_file.parent
    return folders


def _places(path: Path) -> Iterator[Path]:
    """A folder itself; of a file its folder, where an editor puts the new version of it."""
    yield path if path.is_dir() or path.parent in SHARED_BY_MANY else path.parent
