# SPDX-License-Identifier: GPL-3.0-or-later
"""Workloads: each runs on one server at a time and yields samples. The caller interleaves the servers."""

from bench.workloads.block_latency import block
from bench.workloads.constant_rate import steady
from bench.workloads.crowd import crowd
from bench.workloads.fairness import greedy_uploader, slow_reader
from bench.workloads.floods import connect_flood, hello_flood
from bench.workloads.independence import independence
from bench.workloads.limits import limits
from bench.workloads.logins import (
    certificate_and_password_logins,
    certificate_logins,
    code_logins,
    first_logins,
    handshakes,
    logins,
)
from bench.workloads.loss import datagram_loss
from bench.workloads.memory import memory
from bench.workloads.openconnect import latency, throughput
from bench.workloads.saturation import pull, push

__all__ = [
    "block",
    "certificate_and_password_logins",
    "certificate_logins",
    "code_logins",
    "connect_flood",
    "crowd",
    "datagram_loss",
    "first_logins",
    "greedy_uploader",
    "handshakes",
    "hello_flood",
    "independence",
    "latency",
    "limits",
    "logins",
    "memory",
    "pull",
    "push",
    "slow_reader",
    "steady",
    "throughput",
]
