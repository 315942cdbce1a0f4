# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy file: a snapshot of the native core's policy, with the rule ids that Python keeps.

    head (HEAD) | block (struct se_snapshot, checked in C) | meta (JSON: limits) | names (rule ids, NUL after each)

It replaces compiling at the start of a server with a million prefixes. Everything is verified: head and names here, by
length and checksum; the block in C, by checksum and then number by number.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import overload

from sentry_engine.cores.native.library import ffi, lib
from sentry_engine.cores.native.types import PolicyPointer
from sentry_engine.cores.plan import PlanError
from sentry_engine.records import dataclass

HEAD = struct.Struct("<8sIIQQQ")  # magic, layout; bytes of meta, block and names; checksum of meta and names
MAGIC = b"ocs-prep"
LAYOUT = 1
MAX_META = 1 << 26  # bytes; 65 536 limits need 8 MB
MAX_NAMES = 1 << 32  # bytes


class RuleNames(Sequence[str]):
    """Rule ids of a file, split on first access."""

    def __init__(self, blob: bytes, count: int) -> None:
        self._blob = blob
        self._count = count
        self._names: list[bytes] | None = None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if self._names is None:
            self._names = self._blob.split(b"\0")[:-1]
        if isinstance(at, slice):
            return [name.decode() for name in self._names[at]]
        return self._names[at].decode()


@dataclass(frozen=True, slots=True)
class PolicyMetadata:
    """The Python part of a policy."""

    rule_ids: Sequence[str]
    limits: Sequence[tuple[int, float, str | None]]  # max_events, window in seconds, rule id


def write_policy_file(policy: PolicyPointer, described: PolicyMetadata, path: Path) -> None:
    """Write a policy to ``path`` atomically. Raises ``OSError``, and ``PlanError`` for a rule id with a NUL."""
    names = "".join(f"{name}\0" for name in described.rule_ids).encode()
    if names.count(b"\0") != len(described.rule_ids):
        raise PlanError("a rule id with a NUL in it cannot be written to a policy file")
    meta = json.dumps({"rules": len(described.rule_ids), "limits": described.limits}).encode()
    checksum = lib.se_checksum(meta + names, len(meta) + len(names))
    block = int(lib.se_policy_bytes(policy))
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with beside.open("wb", buffering=0) as file:
            file.write(HEAD.pack(MAGIC, LAYOUT, len(meta), block, len(names), checksum))
            code = lib.se_policy_write(policy, file.fileno())
            if code:
                raise OSError(-code, os.strerror(-code), str(path))
            for rest in (meta, names):
                view = memoryview(rest)
                while view:
                    view = view[file.write(view) or 0 :]
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_policy_file(path: Path) -> tuple[PolicyPointer, PolicyMetadata]:
    """Read a policy and its metadata. Ownership passes to the caller. Raises ``PlanError`` and ``OSError``."""
    policy, fault = ffi.new("struct se_policy **"), ffi.new("struct se_fault *")
    with path.open("rb", buffering=0) as file:
        meta_size, block_size, names_size, checksum = _read_head(
            file.read(HEAD.size), os.fstat(file.fileno()).st_size, path
        )
        code = lib.se_policy_read(file.fileno(), HEAD.size, block_size, policy, fault)
        if code:
            what = os.strerror(-code) if fault.what == ffi.NULL else ffi.string(fault.what).decode()
            raise PlanError(f"{path}: {what}")
        text = os.pread(file.fileno(), meta_size + names_size, HEAD.size + block_size)
    try:
        intact = len(text) == meta_size + names_size and lib.se_checksum(text, len(text)) == checksum
        described = _read_names(text[:meta_size], text[meta_size:], path, intact=intact)
        sizes = lib.se_policy_rules(policy[0]), lib.se_policy_limits(policy[0])
        if sizes != (len(described.rule_ids), len(described.limits)):
            raise PlanError(f"{path}: its names belong to another policy")  # noqa: TRY301
    except BaseException:
        lib.se_policy_free(policy[0])
        raise
    return policy[0], described


def _read_head(head: bytes, size: int, path: Path) -> tuple[int, int, int, int]:
    if len(head) < HEAD.size or not head.startswith(MAGIC):
        raise PlanError(f"{path}: not a policy file")
    _, layout, meta_size, block_size, names_size, checksum = HEAD.unpack(head)
    if layout != LAYOUT:
        raise PlanError(f"{path}: written by another version (layout {layout}, not {LAYOUT}): write it again")
    if meta_size > MAX_META or names_size > MAX_NAMES or size != HEAD.size + meta_size + block_size + names_size:
        raise PlanError(f"{path}: its length is wrong")
    return meta_size, block_size, names_size, checksum


def _read_names(meta: bytes, names: bytes, path: Path, *, intact: bool) -> PolicyMetadata:
    if not intact:
        raise PlanError(f"{path}: damaged, the checksum of its names does not match")
    try:
        document = json.loads(meta)
        rules = int(document["rules"])
        limits = tuple((int(n), float(window), rule) for n, window, rule in document["limits"])
    except (ValueError, KeyError, TypeError) as error:
        raise PlanError(f"{path}: its description cannot be read: {error}") from None
    if names.count(b"\0") != rules or (names and names[-1]):
        raise PlanError(f"{path}: the number of names differs from the number of rules")
    return PolicyMetadata(RuleNames(names, rules), limits)
