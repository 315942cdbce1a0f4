# SPDX-License-Identifier: GPL-3.0-or-later
"""In-memory stand-ins for the native gateway and the layers above."""

from vpn_frontend.testing.memory_gateway import MemoryGateway
from vpn_frontend.testing.memory_ports import MemoryDirectory, MemoryEvents, MemoryJournal

__all__ = ["MemoryDirectory", "MemoryEvents", "MemoryGateway", "MemoryJournal"]
