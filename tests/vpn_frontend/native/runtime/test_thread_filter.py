# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that each worker loads at its start: without it no worker runs."""

from __future__ import annotations

import struct

import pytest

from vpn_frontend.gateway.interface import GatewayError

ALLOW = struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)  # BPF_RET, SECCOMP_RET_ALLOW
NO_PROGRAM = struct.pack("=HBBI", 0xFFFF, 0, 0, 0)


@pytest.mark.parametrize("program", [b"\0" * 7, NO_PROGRAM, ALLOW * 4097], ids=["odd", "no instruction", "too long"])
def test_a_filter_that_cannot_be_loaded_stops_the_start(start, program):
    with pytest.raises(GatewayError, match="worker 0 does not start: "):
        start(workers=2, worker_filter=program)
