# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test, or a trial without root, puts in the place of the native gateway and of the layers above."""

from vpn_frontend.testing.memory_gateway import MemoryGateway
from vpn_frontend.testing.memory_ports import MemoryDirectory, MemoryEvents, MemoryJournal

__all__ = ["MemoryDirectory", "MemoryEvents", "MemoryGateway", "MemoryJournal"]
