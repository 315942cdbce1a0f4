# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to get a tunnel: handshakes and logins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import load_client
from bench.readings import Effort, Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer

THREADS = 16  # enough that the server is never without work


def handshakes(peer: Peer, effort: Effort) -> Iterator[Reading]:
    yield from _cycles(peer, "handshake", "TLS handshakes", effort)


def logins(peer: Peer, effort: Effort) -> Iterator[Reading]:
    yield from _cycles(peer, "login", "logins to an open tunnel", effort)


def first_logins(peer: Peer, effort: Effort) -> Iterator[Reading]:
    """As if every login were its user's first: each password is verified in full."""
    peer.restart(remember_passwords=False)
    yield from _cycles(peer, "login", "logins, each password verified in full", effort)
    peer.restart()


def _cycles(peer: Peer, mode: str, name: str, effort: Effort) -> Iterator[Reading]:
    before = peer.cpu()
    done = load_client.run(mode, peer.host.namespace, peer, threads=THREADS, seconds=effort.seconds)
    peer.settle()  # what is written down later was caused here
    spent = peer.cpu() - before
    yield Reading(name, "per second", done.count / done.seconds, more_is_better=True)
    yield Reading(f"{name}: server CPU each", "ms", 1e3 * spent / max(1, done.count))
    if done.failed:
        yield Reading(f"{name}: failed", "", done.failed)
