# SPDX-License-Identifier: GPL-3.0-or-later
"""Types of what the binding to libwolfsentry hands out: structures, and pointers to those that stay in C."""

from __future__ import annotations

from typing import Protocol

from sentry_engine.cores.native.types import Bytes


class LibraryPointer:
    """``struct se_ws *``"""


class LibraryGatePointer:
    """``struct se_ws_gate *``"""


class Address:
    """``void *``, the address of a ``struct se_gate``."""


class TrafficStruct(Protocol):
    """``struct se_ws_traffic``"""

    remote: Bytes
    local: Bytes
    remote_port: int
    local_port: int
    protocol: int
    remote_interface: int
    local_interface: int
    is_ipv4: bool
    is_inbound: bool
