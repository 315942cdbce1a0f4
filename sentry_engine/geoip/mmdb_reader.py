# SPDX-License-Identifier: GPL-3.0-or-later
"""Reader of a MaxMind DB: every prefix with the class of its record, as columns.

The format (https://maxmind.github.io/MaxMind-DB/, version 2.0) is a binary trie whose leaves point into a data section.
The trie is walked here, bounded by its node count. ``maxminddb`` decodes each record once, however many prefixes point
to it: a database of a million prefixes has a few hundred countries.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentry_engine.addresses import V4_MAPPED, V4_OFFSET, render_address
from sentry_engine.prefixes import Prefixes
from sentry_engine.records import dataclass

if TYPE_CHECKING:
    from maxminddb import Reader

MAX_BYTES = 2 * 1024 * 1024 * 1024  # of a database; the largest sold today have a quarter of that
MAX_RECORDS = 4_000_000  # distinct; an ASN database has 100 000
PROGRESS_EVERY = 65_536  # nodes between two reports

Progress = Callable[[int, int], None]  # nodes seen, nodes in all
Classify = Callable[[Any], object | None]  # a record to its class, None: of no interest


class DatabaseError(ValueError):
    """The file is not a MaxMind DB, or is broken."""


@dataclass(frozen=True, slots=True)
class CodedPrefixes:
    """``classes[codes[i]]`` is the class of the prefix in row ``i``."""

    prefixes: Prefixes
    codes: array[int]
    classes: tuple[object, ...]


def read_tree(path: str, classify: Classify, progress: Progress | None = None) -> CodedPrefixes:
    """Read a whole database. Raises ``DatabaseError``, and ``OSError`` if the file cannot be read."""
    from sentry_engine.geoip.database_file import BROKEN, describe_error, open_database  # noqa: PLC0415

    with Path(path).open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise DatabaseError(f"larger than {MAX_BYTES} bytes")
    try:
        with open_database(data) as reader:
            return _Walk(reader, data, classify, progress).run()
    except BROKEN as error:
        raise DatabaseError(describe_error(error)) from None


def check_database(path: str) -> None:
    """Open a database without reading its tree. Raises ``DatabaseError``, and ``OSError`` if it cannot be read."""
    from sentry_engine.geoip.database_file import BROKEN, describe_error, open_database  # noqa: PLC0415

    try:
        open_database(Path(path).read_bytes()).close()
    except BROKEN as error:
        raise DatabaseError(describe_error(error)) from None


class _Walk:
    def __init__(self, reader: Reader, data: bytes, classify: Classify, progress: Progress | None) -> None:
        meta = reader.metadata()
        self._reader, self._data, self._classify, self._progress = reader, data, classify, progress
        self._nodes, self._bits, self._v4_only = meta.node_count, meta.record_size, meta.ip_version == 4
        if self._bits not in (24, 28, 32) or self._nodes * self._bits // 4 + 16 > len(data):
            raise DatabaseError(
                f"{self._nodes} nodes with records of {self._bits} bits do not fit in {len(data)} bytes"
            )
        self._by_pointer: dict[int, int] = {}  # record to code, -1: of no interest
        self._codes_of: dict[object, int] = {}
        self._networks, self._lengths, self._codes = bytearray(), bytearray(), array("I")

    def run(self) -> CodedPrefixes:
        start = (0, 0, V4_OFFSET) if self._v4_only else (0, 0, 0)
        v4_root = self._find_v4_root()
        stack = [start]
        seen = 0
        while stack:
            node, bits, depth = stack.pop()
            if node == v4_root and bits and not self._v4_only:
                continue  # an alias of the IPv4 part (6to4, mapped, Teredo)
            seen += 1
            if seen > self._nodes or depth >= 128:
                raise DatabaseError("the search tree has a loop")
            if self._progress and not seen % PROGRESS_EVERY:
                self._progress(seen, self._nodes)
            for bit in (1, 0):
                child, path = self._child(node, bit), bits << 1 | bit
                if child < self._nodes:
                    stack.append((child, path, depth + 1))
                elif child > self._nodes:
                    self._add(child, path << (127 - depth), depth + 1)
        if self._progress:
            self._progress(self._nodes, self._nodes)
        prefixes = Prefixes(bytes(self._networks), bytes(self._lengths))
        return CodedPrefixes(prefixes, self._codes, tuple(self._codes_of))

    def _child(self, node: int, bit: int) -> int:
        data, at = self._data, node * self._bits // 4
        if self._bits == 24:
            return int.from_bytes(data[at + 3 * bit : at + 3 * bit + 3])
        if self._bits == 32:
            return int.from_bytes(data[at + 4 * bit : at + 4 * bit + 4])
        low = int.from_bytes(data[at + 4 * bit : at + 4 * bit + 3])
        high = data[at + 3] & 0xF if bit else data[at + 3] >> 4
        return high << 24 | low

    def _find_v4_root(self) -> int:
        """The node of ::/96; the root of an IPv4 database; -1 if the path ends in a record earlier."""
        node = 0
        for _ in range(0 if self._v4_only else V4_OFFSET):
            node = self._child(node, 0)
            if node >= self._nodes:
                return -1
        return node

    def _add(self, pointer: int, address: int, length: int) -> None:
        v4 = self._v4_only or (length >= V4_OFFSET and address >> 32 == 0)
        packed = V4_MAPPED + (address & 0xFFFF_FFFF).to_bytes(4) if v4 else address.to_bytes(16)
        code = self._by_pointer.get(pointer)
        if code is None:
            code = self._by_pointer[pointer] = self._decode(packed)
        if code < 0:
            return
        self._append(packed, length, code)
        if not v4 and length < V4_OFFSET and address == 0:
            self._append(V4_MAPPED + bytes(4), V4_OFFSET, code)  # a record above ::/96 covers all of IPv4

    def _append(self, packed: bytes, length: int, code: int) -> None:
        self._networks += packed
        self._lengths.append(length)
        self._codes.append(code)

    def _decode(self, packed: bytes) -> int:
        if len(self._by_pointer) > MAX_RECORDS:
            raise DatabaseError(f"more than {MAX_RECORDS} records")
        known = self._classify(self._reader.get(render_address(packed)))
        return -1 if known is None else self._codes_of.setdefault(known, len(self._codes_of))
