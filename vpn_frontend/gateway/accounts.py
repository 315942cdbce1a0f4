# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters of sessions in a mapped file, which outlive the process however it ends (``struct gw_account``).

    header (128 bytes) | account of slot 0 (128 bytes) | account of slot 1 | ...

Workers write to the mapping as to their own memory. Nothing is flushed: the file serves the next process before the
machine starts again. It belongs on a tmpfs such as /run, where no disk delays a worker.
A server reads the former file and writes another one, which takes the place of the former by ``commit``.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.gateway.interface import Counters

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAGIC = b"ocsaccts"
VERSION = 1
HEADER_SIZE = 128
ACCOUNT_SIZE = 128  # of struct gw_account; a test compares them
KEY_SIZE = 16
MAX_ACCOUNTS = 1 << 24  # GW_SLOTS_MAX
CLOCK_TOLERANCE = 10.0  # seconds by which two looks at the time of the boot may differ
_HEADER = struct.Struct("=8sIII4x")  # magic, version, size of an account, number of accounts
_BEAT = struct.Struct("=dd")  # CLOCK_MONOTONIC, and the time of the boot as Unix time
_BEAT_AT = 32
_ACCOUNT = struct.Struct("=16sQ11Q")
NO_KEY = bytes(KEY_SIZE)


class AccountsError(Exception):
    """The file cannot be used. The text says why."""


@dataclass(frozen=True, slots=True)
class Account:
    counters: Counters
    ended: bool  # the session was told to end, or had ended


@dataclass(frozen=True, slots=True)
class FormerAccounts:
    """What a former process left. ``seen_at``: CLOCK_MONOTONIC when it last said that it lives."""

    seen_at: float
    by_key: Mapping[bytes, Account]

    def find(self, session_id: str) -> Account | None:
        return self.by_key.get(account_key(session_id))


class AccountsFile:
    """The accounts of a running server. ``memory`` is the gateway's; it must be closed before this."""

    def __init__(self, path: Path, slots: int) -> None:
        """Raises ``AccountsError``. The file at ``path`` stays as it is until ``commit``."""
        self._path = path
        self._new = path.with_name(path.name + ".new")
        size = HEADER_SIZE + slots * ACCOUNT_SIZE
        try:
            with suppress(FileNotFoundError):
                self._new.unlink()
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._new, flags, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)  # a hole in a full disk would kill the process later
                self._map = mmap.mmap(descriptor, size)
            finally:
                os.close(descriptor)
        except OSError as error:
            with suppress(OSError):
                self._new.unlink()
            raise AccountsError(f"{self._new}: {error.strerror or error}") from error
        _HEADER.pack_into(self._map, 0, MAGIC, VERSION, ACCOUNT_SIZE, slots)
        self.memory = memoryview(self._map)[HEADER_SIZE:]
        self.beat()

    def beat(self) -> None:
        """Note that the server lives."""
        _BEAT.pack_into(self._map, _BEAT_AT, time.monotonic(), _boot_time())

    def commit(self) -> None:
        """Replace the file of the former process. Raises ``AccountsError``."""
        try:
            self._new.rename(self._path)
        except OSError as error:
            raise AccountsError(f"{self._path}: {error.strerror or error}") from error

    def remove(self) -> None:
        """The sessions have ended: no later process is to give one back."""
        for path in (self._path, self._new):
            with suppress(OSError):
                path.unlink()

    def close(self) -> None:
        self.memory.release()
        with suppress(BufferError):  # a gateway that failed to start refers to it; the kernel unmaps it
            self._map.close()


def read_accounts(path: Path) -> FormerAccounts | None:
    """What a former process left; ``None``: nothing. Raises ``AccountsError``."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(HEADER_SIZE + MAX_ACCOUNTS * ACCOUNT_SIZE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AccountsError(f"{path}: {error.strerror or error}") from error
    try:
        return parse_accounts(data, time.monotonic(), _boot_time())
    except AccountsError as error:
        raise AccountsError(f"{path}: {error}") from error


def parse_accounts(data: bytes, now: float, boot_time: float) -> FormerAccounts:
    """``now`` and ``boot_time`` as a beat has them. Raises ``AccountsError``."""
    if len(data) < HEADER_SIZE:
        raise AccountsError("it is cut off")
    magic, version, size, count = _HEADER.unpack_from(data)
    if (magic, version, size) != (MAGIC, VERSION, ACCOUNT_SIZE):
        raise AccountsError("it is no file of accounts of this version")
    if len(data) != HEADER_SIZE + count * ACCOUNT_SIZE:
        raise AccountsError("it has another length than its header says")
    seen_at, booted_at = _BEAT.unpack_from(data, _BEAT_AT)
    if not abs(booted_at - boot_time) <= CLOCK_TOLERANCE or not 0 <= seen_at <= now:
        raise AccountsError("it was written before the machine started, or the clock was changed meanwhile")
    accounts: dict[bytes, Account] = {}
    for number in range(count):
        key, ended, *values = _ACCOUNT.unpack_from(data, HEADER_SIZE + number * ACCOUNT_SIZE)
        if key != NO_KEY:
            values[6] /= 1e9
            accounts[key] = Account(Counters(*values), bool(ended))
    return FormerAccounts(seen_at, accounts)


def account_key(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode()).digest()[:KEY_SIZE]


def _boot_time() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
