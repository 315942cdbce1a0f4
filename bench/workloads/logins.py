# SPDX-License-Identifier: GPL-3.0-or-later
"""Rate and cost of handshakes and logins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import load_client
from bench.workload import Sample, Scale

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer

THREADS = 16  # enough to keep the server busy


def handshakes(peer: Peer, scale: Scale) -> Iterator[Sample]:
    yield from _cycles(peer, "handshake", "TLS handshakes", scale)


def logins(peer: Peer, scale: Scale) -> Iterator[Sample]:
    yield from _cycles(peer, "login", "logins to an open tunnel", scale)


def first_logins(peer: Peer, scale: Scale) -> Iterator[Sample]:
    """Without the cache of verified passwords: each password is hashed."""
    peer.restart(remember_passwords=False)
    yield from _cycles(peer, "login", "logins, each password verified in full", scale)
    peer.restart()


def _cycles(peer: Peer, mode: str, name: str, scale: Scale) -> Iterator[Sample]:
    before = peer.cpu()
    done = load_client.run(mode, peer.host.namespace, peer, threads=THREADS, seconds=scale.seconds)
    peer.settle()  # journal writes after the answer belong to the logins
    spent = peer.cpu() - before
    yield Sample(name, "per second", done.count / done.seconds, more_is_better=True)
    yield Sample(f"{name}: server CPU each", "ms", 1e3 * spent / max(1, done.count))
    if done.failed:
        yield Sample(f"{name}: failed", "", done.failed)
