# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy of the configuration: how it is loaded, and its files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from sentry_engine import GeoipPaths, Policy
from sentry_engine.policy.rule_files import SUFFIXES, read_file

if TYPE_CHECKING:
    from pathlib import Path

    from admin_api.ports import PolicyLoader
    from ocsentry.configuration.sections.policy import PolicySection
    from sentry_engine.geoip.mmdb_reader import Progress
    from sentry_engine.policy.rule_files import FileReader

DATABASE_SUFFIXES = (".mmdb",)
WATCHED_SUFFIXES = (*SUFFIXES, *DATABASE_SUFFIXES)


def policy_loader(
    settings: PolicySection,
    progress: Progress | None = None,
    read: FileReader = read_file,
    *,
    allow_unfetched: bool = False,
) -> PolicyLoader:
    """Returns ``Policy.load`` with the configuration's default, databases and feeds; ``read`` reads the rule files.

    While large databases load, ``progress`` is called on the loading thread with (nodes read, all nodes).
    """
    return partial(
        Policy.load,
        default=settings.default,
        geoip=_databases(settings),
        feed_folder=settings.feeds,
        progress=progress,
        gated=True,
        allow_unfetched=allow_unfetched,
        read=read,
    )


def load_policy(settings: PolicySection, *paths: Path, progress: Progress | None = None) -> Policy:
    """Returns the policy of ``paths``, by default of the configuration's rules, for checks. Raises ``PolicyError``.

    Lists that were never downloaded are empty and named in ``unfetched``: only a server downloads them.
    """
    files = map(str, paths or settings.rules)
    return policy_loader(settings, progress, allow_unfetched=True)(*files, documents={})


def rule_folder(settings: PolicySection) -> Path:
    """Returns the folder for new rule files. Raises ``OperatorError``."""
    folder = next((path for path in settings.rules if path.is_dir()), None)
    if folder is None:
        raise OperatorError("policy.rules names no folder for the new file")
    return folder


def watched_paths(settings: PolicySection) -> tuple[Path, ...]:
    """Returns the files and folders whose changes change the policy."""
    databases = (settings.geoip_country, settings.geoip_asn, settings.geoip_anonymous)
    return (*settings.rules, *(path for path in databases if path is not None))


def _databases(settings: PolicySection) -> GeoipPaths:
    return GeoipPaths(
        country=settings.geoip_country or "", asn=settings.geoip_asn or "", anonymous=settings.geoip_anonymous or ""
    )
