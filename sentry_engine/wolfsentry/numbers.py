# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocol and port numbers by name (IANA).

The common names are known here, since a minimal host has neither /etc/protocols nor /etc/services (Debian: netbase).
The host's files are asked for the others.
"""

from __future__ import annotations

from socket import getprotobyname, getservbyname

PROTOCOLS = {
    "icmp": 1,
    "igmp": 2,
    "tcp": 6,
    "udp": 17,
    "dccp": 33,
    "ipv6": 41,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "ipv6-icmp": 58,
    "icmpv6": 58,
    "sctp": 132,
    "udplite": 136,
}
PORTS = {
    "ftp": 21,
    "ssh": 22,
    "telnet": 23,
    "smtp": 25,
    "domain": 53,
    "http": 80,
    "pop3": 110,
    "ntp": 123,
    "imap2": 143,
    "snmp": 161,
    "ldap": 389,
    "https": 443,
    "submission": 587,
    "ldaps": 636,
    "imaps": 993,
    "pop3s": 995,
    "openvpn": 1194,
    "radius": 1812,
    "mysql": 3306,
    "postgresql": 5432,
}


def protocol_number(name: str) -> int:
    """Returns the number of a protocol. Raises ``ValueError`` for an unknown one."""
    try:
        return PROTOCOLS[name] if name in PROTOCOLS else getprotobyname(name)
    except OSError:
        raise ValueError(f"{name!r} is no protocol known here") from None


def port_number(name: str) -> int:
    """Returns the port of a service. Raises ``ValueError`` for an unknown one."""
    try:
        return PORTS[name] if name in PORTS else getservbyname(name)
    except OSError:
        raise ValueError(f"{name!r} is no service known here") from None
