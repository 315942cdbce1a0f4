# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured on one server at a time. A measure yields named readings; who calls it interleaves the servers."""

from bench.measures.blocking import block
from bench.measures.floods import connect_flood, hello_flood
from bench.measures.independence import independence
from bench.measures.loss import datagram_loss
from bench.measures.memory import memory
from bench.measures.openconnect import latency, throughput
from bench.measures.saturation import pull, push
from bench.measures.setup import first_logins, handshakes, logins
from bench.measures.sharing import greedy_uploader, slow_reader
from bench.measures.steady import steady

__all__ = [
    "block",
    "connect_flood",
    "datagram_loss",
    "first_logins",
    "greedy_uploader",
    "handshakes",
    "hello_flood",
    "independence",
    "latency",
    "logins",
    "memory",
    "pull",
    "push",
    "slow_reader",
    "steady",
    "throughput",
]
