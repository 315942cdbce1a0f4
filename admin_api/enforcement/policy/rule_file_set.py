# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule files in force. After a rollback some differ from those on disk: these are held.

A held file stays as it is until the file on disk changes again, or a caller reloads the files.
"""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentry_engine.policy.rule_files import RuleFile
    from sentry_engine.rules.policy_part import PolicyPart


@dataclass(frozen=True, slots=True)
class HeldFile:
    """``file`` is in force (``None``: no rules of this name). ``rejected``: the digest on disk (``None``: absent)."""

    file: RuleFile | None
    rejected: bytes | None


@dataclass(frozen=True, slots=True)
class RuleFileSet:
    """All rule files in force by name, and those of them that are held."""

    files: Mapping[str, RuleFile] = field(default_factory=lambda: MappingProxyType({}))
    held: Mapping[str, HeldFile] = field(default_factory=lambda: MappingProxyType({}))

    def parts(self) -> dict[str, PolicyPart]:
        return {name: file.part for name, file in self.files.items()}

    def digests(self) -> dict[str, bytes]:
        return {name: file.digest for name, file in self.files.items()}

    def follow_disk(self, disk: Mapping[str, RuleFile]) -> RuleFileSet:
        """Returns the files of ``disk``, but held ones as they are if the file on disk has not changed."""
        held = {name: one for name, one in self.held.items() if _digest(disk.get(name)) == one.rejected}
        files = {name: file for name, file in disk.items() if name not in held}
        files |= {name: one.file for name, one in held.items() if one.file is not None}
        return RuleFileSet(files, held)


def _digest(file: RuleFile | None) -> bytes | None:
    return None if file is None else file.digest
