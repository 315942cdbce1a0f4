# SPDX-License-Identifier: GPL-3.0-or-later
"""The headers of ``CONNECT /CSCOSSLC/tunnel``, each validated.

A value out of its range counts as not sent. So a client that measured nonsense still gets a tunnel, with the server's
numbers.
"""

from __future__ import annotations

import re
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING

from sentry_engine.records import dataclass
from vpn_frontend.protocol.client_family import ClientFamily, client_family
from vpn_frontend.protocol.client_offer import STRAP_KEY_HEADER, read_base64
from vpn_frontend.protocol.constants import MASTER_SECRET_SIZE, MAX_TLS_RECORD, MIN_MTU

if TYPE_CHECKING:
    from vpn_frontend.protocol.http_fast_path import HttpRequest

TUNNEL_PATHS = frozenset({"/CSCOSSLC/tunnel", "CSCOSSLC/tunnel"})  # Clavister's Android client sends no slash
MAX_USER_AGENT = 256  # characters that are kept
SHARED_AGENTS = 1024  # distinct ones that are kept; bounded, because a peer chooses the text
MAX_SUITES = 32  # names per header that are read
SHARED_LISTS = 256  # distinct lists of suites that are kept, each of at most ``MAX_SHARED`` characters
MAX_SHARED = 512
HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", re.ASCII)
APPLE_PLATFORM = "apple-ios"
MOBILE_PLATFORMS = (APPLE_PLATFORM, "android")


@dataclass(frozen=True, slots=True)
class StrapProof:
    """What binds a CONNECT to its login (STRAP). ``key`` is SPKI in DER, ``signature`` an ECDSA-Sig; empty: none."""

    key: bytes = b""
    signature: bytes = field(default=b"", repr=False)


NO_PROOF = StrapProof()


@dataclass(slots=True)  # not frozen: one is made per request, and frozen fields are slow to set
class TunnelRequest:
    """What the client asks for. ``None`` and empty: not sent, or not acceptable. Sizes are bytes."""

    user_agent: str = ""
    family: ClientFamily = ClientFamily.OTHER
    hostname: str = ""
    base_mtu: int | None = None  # of the client's path to the server
    mtu: int | None = None  # inner, as the client asks
    wants_ipv4: bool = True
    wants_ipv6: bool = True
    full_ipv6: bool = False
    mobile: bool = False
    apple: bool = False  # iOS, whatever the client is
    device_id: str = ""
    dtls_suites: tuple[str, ...] = ()  # of X-DTLS-CipherSuite
    dtls12_suites: tuple[str, ...] = ()
    dtls13_suites: tuple[str, ...] = ()  # asks for DTLS 1.3 with the server's certificate
    master_secret: bytes = b""
    strap: StrapProof = NO_PROOF

    @property
    def routes_ipv6(self) -> bool:
        """True if it takes IPv6 routes and servers. Clients that do not say so may end the session at one."""
        return self.full_ipv6 and self.family is not ClientFamily.OPENCONNECT_3

    @property
    def dtls_psk(self) -> bool:
        """True if it offers to negotiate a pre-shared key."""
        return "PSK-NEGOTIATE" in self.dtls_suites


def parse_tunnel_request(request: HttpRequest) -> TunnelRequest:
    """Read the headers of a CONNECT. Of a repeated header the first counts."""
    given = request.first.get
    user_agent = read_user_agent(request)
    family = _family(user_agent)
    wants_ipv4, wants_ipv6 = _families(given("x-cstp-address-type", "IPv6,IPv4"))
    platform = given("x-anyconnect-identifier-platform", "").lower()
    license_kind = given("x-cstp-license", "").lower()
    return TunnelRequest(  # in the sequence of its fields: by their names it takes twice as long
        user_agent,
        family,
        parse_hostname(given("x-cstp-hostname", "")),
        _mtu(given("x-cstp-base-mtu", "")),
        _mtu(given("x-cstp-mtu", "")),
        wants_ipv4,
        wants_ipv6,
        given("x-cstp-full-ipv6-capability", "").strip().lower() == "true",
        platform.startswith(MOBILE_PLATFORMS) or license_kind == "mobile",
        platform.startswith(APPLE_PLATFORM) or family is ClientFamily.APPLE,
        _printable(given("x-anyconnect-identifier-device-uniqueid", ""), MAX_USER_AGENT),
        _suites(given("x-dtls-ciphersuite", "")),
        _suites(given("x-dtls12-ciphersuite", "")),
        _suites(given("x-dtls13-ciphersuite", "")),
        _master_secret(given("x-dtls-master-secret", "")),
        _strap_proof(given(STRAP_KEY_HEADER, ""), given("x-anyconnect-strap-verify", "")),
    )


def read_user_agent(request: HttpRequest) -> str:
    """The User-Agent, printable. Equal texts are one object, because every session keeps it."""
    return _shared(_printable(request.header("user-agent"), MAX_USER_AGENT))


def parse_hostname(text: str) -> str:
    """The first label of a host name; empty if it is not valid."""
    label = text[:254].partition(".")[0]
    return label if HOSTNAME.fullmatch(label) else ""


def _strap_proof(key: str, signature: str) -> StrapProof:
    return StrapProof(read_base64(key), read_base64(signature)) if key or signature else NO_PROOF


def _mtu(text: str) -> int | None:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        return None
    value = int(text)
    return value if MIN_MTU <= value <= MAX_TLS_RECORD else None


def _families(text: str) -> tuple[bool, bool]:
    """Whether the client takes IPv4, and IPv6."""
    if text == "IPv6,IPv4":
        return True, True
    kinds = {kind.strip().lower() for kind in text.split(",")}
    return "ipv4" in kinds, "ipv6" in kinds


@lru_cache(SHARED_AGENTS)
def _family(user_agent: str) -> ClientFamily:
    return client_family(user_agent)


def _suites(text: str) -> tuple[str, ...]:
    """Equal lists are one object: clients of a kind offer the same."""
    if not text:
        return ()
    return _shared_suites(text) if len(text) <= MAX_SHARED else _split_suites(text)


def _split_suites(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(":", MAX_SUITES)[:MAX_SUITES] if name.strip())


_shared_suites = lru_cache(SHARED_LISTS)(_split_suites)


def _master_secret(text: str) -> bytes:
    if not text:
        return b""
    text = text.strip()
    if len(text) != 2 * MASTER_SECRET_SIZE:
        return b""
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        return b""
    return secret if len(secret) == MASTER_SECRET_SIZE else b""


@lru_cache(SHARED_AGENTS)
def _shared(text: str) -> str:
    """One object for equal texts. ``sys.intern`` of early Python 3.12 never frees."""
    return text


def _printable(text: str, limit: int) -> str:
    if not text:
        return text
    text = text[:limit]
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if " " <= character <= "~" else "?" for character in text)
