# SPDX-License-Identifier: GPL-3.0-or-later
"""STRAP: binds a session to a key that only its client has, so that a stolen cookie alone opens no tunnel. Pure.

The client shows a P-256 key during the login. At each CONNECT it shows a new one, with a signature by the key before it
over the channel binding of the TLS connection and the new key (openconnect's cstp.c). If an answer is lost, the client
has moved on to a key that the server never took, and has to log in again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from vpn_frontend.ports import VpnEvent
from vpn_frontend.protocol.client_offer import read_p256_key
from vpn_frontend.sessions.admission import CookieError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vpn_frontend.ports import EventSink
    from vpn_frontend.protocol.connect_request import StrapProof, TunnelRequest
    from vpn_frontend.sessions.session import Peer, Session

MAX_KEYS = 2  # of a session, the latest last
_ALGORITHM = ec.ECDSA(SHA256())


def find_failure(known: Sequence[bytes], proof: StrapProof, bindings: Sequence[bytes]) -> str | None:
    """Why ``proof`` does not come from the client of the ``known`` keys, as a stable code. ``None``: it does.

    A session whose login showed no key has none to prove. ``bindings``: what the client may have signed for this TLS
    connection, depending on its version.
    """
    if not known:
        return None
    if not proof.key or not proof.signature:
        return "strap_missing"
    if read_p256_key(proof.key) is None:
        return "strap_key_unusable"
    if any(_is_signed_by(key, proof, binding) for key in reversed(known) for binding in bindings):
        return None
    return "strap_mismatch"


def check_strap(mode: str, session: Session, peer: Peer, request: TunnelRequest, events: EventSink) -> None:
    """Raises ``CookieError`` if the client is another one than at the login, and ``mode`` enforces that."""
    failure = None if mode == "off" else find_failure(session.strap_keys, request.strap, peer.bindings)
    if failure is None:
        return
    if mode == "enforce":
        raise CookieError(failure)
    events.emit(VpnEvent.STRAP_FAILED, session=session.id, user=session.user.name, address=peer.address, reason=failure)


def add_key(known: tuple[bytes, ...], key: bytes) -> tuple[bytes, ...]:
    """``known`` after a CONNECT that showed ``key`` was accepted."""
    if not key or key in known[-1:]:
        return known
    return (*known, key)[-MAX_KEYS:]


def _is_signed_by(der: bytes, proof: StrapProof, binding: bytes) -> bool:
    key = read_p256_key(der)
    if key is None or not binding:
        return False
    try:
        key.verify(proof.signature, binding + proof.key, _ALGORITHM)
    except InvalidSignature:
        return False
    return True
