# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy that the configuration names: how it is loaded, wherever that happens, and which files it is made of."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ocsentry.errors import OperatorError
from sentry_engine import GeoipPaths, Policy
from sentry_engine.policy.rule_files import SUFFIXES, read_file

if TYPE_CHECKING:
    from pathlib import Path

    from admin_api.ports import PolicyLoader
    from ocsentry.configuration.model import PolicySection
    from sentry_engine.geoip.mmdb_reader import Progress
    from sentry_engine.policy.rule_files import FileReader

DATABASE_SUFFIXES = (".mmdb",)
WATCHED_SUFFIXES = (*SUFFIXES, *DATABASE_SUFFIXES)


def policy_loader(
    settings: PolicySection, progress: Progress | None = None, read: FileReader = read_file
) -> PolicyLoader:
    """``Policy.load`` with what the configuration says besides the rule files, which ``read`` reads.

    ``progress`` is called with (nodes read, nodes in all) while large databases are read, from the loading thread.
    """
    return partial(
        Policy.load,
        default=settings.default,
        geoip=_databases(settings),
        feed_folder=settings.feeds,
        progress=progress,
        gated=True,
        read=read,
    )


def load_policy(settings: PolicySection, *paths: Path, progress: Progress | None = None) -> Policy:
    """The policy of ``paths``, or, where none are given, of the configuration. Raises ``PolicyError``."""
    files = map(str, paths or settings.rules)
    return policy_loader(settings, progress)(*files, documents={})


def rule_folder(settings: PolicySection) -> Path:
    """The folder that new rule files go to. Raises ``OperatorError``."""
    folder = next((path for path in settings.rules if path.is_dir()), None)
    if folder is None:
        raise OperatorError("policy.rules names no folder to put the file into")
    return folder


def watched_paths(settings: PolicySection) -> tuple[Path, ...]:
    """Every file and folder whose change is a change of the policy."""
    databases = (settings.geoip_country, settings.geoip_asn, settings.geoip_anonymous)
    return (*settings.rules, *(path for path in databases if path is not None))


def _databases(settings: PolicySection) -> GeoipPaths:
    return GeoipPaths(
        country=settings.geoip_country or "", asn=settings.geoip_asn or "", anonymous=settings.geoip_anonymous or ""
    )
