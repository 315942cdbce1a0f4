# SPDX-License-Identifier: GPL-3.0-or-later
"""Rate and cost of handshakes and logins."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench import load_client
from bench.code_users import enrol_copies
from bench.peers import OurPeer
from bench.workload import Sample, Scale
from lab.authority import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.peers import Peer

THREADS = 16  # enough to keep the server busy
CODES = 3  # of one user that count at any time
MOST_PER_SECOND = 1500  # logins by code


def handshakes(peer: Peer, scale: Scale) -> Iterator[Sample]:
    yield from _cycles(peer, "handshake", "TLS handshakes", scale)


def logins(peer: Peer, scale: Scale) -> Iterator[Sample]:
    yield from _cycles(peer, "login", "logins to an open tunnel", scale)


def first_logins(peer: Peer, scale: Scale) -> Iterator[Sample]:
    """Without the cache of verified passwords: each password is hashed."""
    peer.restart(remember_passwords=False)
    yield from _cycles(peer, "login", "logins, each password verified in full", scale)
    peer.restart()


def certificate_logins(peer: Peer, scale: Scale) -> Iterator[Sample]:
    yield from _by_certificate(peer, scale, {"methods": ["certificate"]}, "logins by certificate")


def certificate_and_password_logins(peer: Peer, scale: Scale) -> Iterator[Sample]:
    yield from _by_certificate(peer, scale, {"require": ["certificate"]}, "logins by certificate and password")


def code_logins(peer: Peer, scale: Scale) -> Iterator[Sample]:
    """Each user has three codes in these seconds, so there are enough users for all logins."""
    if not isinstance(peer, OurPeer):
        return
    users = max(64, int(scale.seconds * MOST_PER_SECOND / CODES))
    with _serving(peer, {"auth": {"require": ["totp"]}}, lambda folder: enrol_copies(folder, peer.user, users)):
        yield from _cycles(peer, "login", "logins by password and code", scale, ("-t", str(users)))


def _by_certificate(peer: Peer, scale: Scale, auth: dict[str, object], name: str) -> Iterator[Sample]:
    if not isinstance(peer, OurPeer):
        return  # ocserv's processes are given their methods in another way
    with TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        files = authority.issue(peer.user)
        more = ("-c", str(files.certificate), "-k", str(files.key))
        with _serving(peer, {"auth": auth, "auth.certificate": {"ca": str(authority.file)}}):
            yield from _cycles(peer, "login", name, scale, more)


@contextmanager
def _serving(
    peer: OurPeer, tables: Mapping[str, Mapping[str, object]], prepare: Callable[[Path], None] = lambda _: None
) -> Iterator[None]:
    """Restarts the server with other tables of ``[auth]``, and at the end as it was.

    ``prepare`` gets the folder that its own is copied from.
    """
    peer.auth = tables
    prepare(peer.template.folder)
    peer.restart()
    try:
        yield
    finally:
        peer.auth = {}
        peer.restart()


def _cycles(peer: Peer, mode: str, name: str, scale: Scale, more: Sequence[str] = ()) -> Iterator[Sample]:
    before = peer.cpu()
    done = load_client.run(mode, peer.host.namespace, peer, threads=THREADS, seconds=scale.seconds, more=more)
    peer.settle()  # journal writes after the answer belong to the logins
    spent = peer.cpu() - before
    yield Sample(name, "per second", done.count / done.seconds, more_is_better=True)
    yield Sample(f"{name}: server CPU each", "ms", 1e3 * spent / max(1, done.count))
    if done.failed:
        yield Sample(f"{name}: failed", "", done.failed)
