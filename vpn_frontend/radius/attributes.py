# SPDX-License-Identifier: GPL-3.0-or-later
"""The attributes that are sent or read: numbers, names and types for pyrad, which has no dictionary of its own."""

from __future__ import annotations

from enum import IntEnum
from io import StringIO

from pyrad.dictionary import Dictionary


class Attribute(IntEnum):
    """Numbers of the attributes that are read from answers (RFC 2865, 2866, 2869, 3162, 4818, 6911)."""

    USER_NAME = 1
    SERVICE_TYPE = 6
    FRAMED_IP_ADDRESS = 8
    REPLY_MESSAGE = 18
    FRAMED_ROUTE = 22
    STATE = 24
    CLASS = 25
    SESSION_TIMEOUT = 27
    IDLE_TIMEOUT = 28
    PROMPT = 76
    MESSAGE_AUTHENTICATOR = 80
    ACCT_INTERIM_INTERVAL = 85
    FRAMED_IPV6_PREFIX = 97
    FRAMED_IPV6_ROUTE = 99
    FRAMED_IPV6_ADDRESS = 168
    DNS_SERVER_IPV6_ADDRESS = 169


Key = int | tuple[int, int]  # a number, or a vendor and its number
MICROSOFT, ROARING_PENGUIN = 311, 10055
MS_DNS: tuple[Key, ...] = ((MICROSOFT, 28), (MICROSOFT, 29))  # RFC 2548 2.7.3: primary and secondary
UPSTREAM_LIMIT: Key = (ROARING_PENGUIN, 1)
DOWNSTREAM_LIMIT: Key = (ROARING_PENGUIN, 2)

DICTIONARY = Dictionary(
    StringIO(
        """
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 octets
ATTRIBUTE NAS-IP-Address 4 ipaddr
ATTRIBUTE Service-Type 6 integer
ATTRIBUTE Framed-Protocol 7 integer
ATTRIBUTE Framed-IP-Address 8 ipaddr
ATTRIBUTE State 24 octets
ATTRIBUTE Class 25 octets
ATTRIBUTE Calling-Station-Id 31 string
ATTRIBUTE NAS-Identifier 32 string
ATTRIBUTE Acct-Status-Type 40 integer
ATTRIBUTE Acct-Delay-Time 41 integer
ATTRIBUTE Acct-Input-Octets 42 integer
ATTRIBUTE Acct-Output-Octets 43 integer
ATTRIBUTE Acct-Session-Id 44 string
ATTRIBUTE Acct-Authentic 45 integer
ATTRIBUTE Acct-Session-Time 46 integer
ATTRIBUTE Acct-Input-Packets 47 integer
ATTRIBUTE Acct-Output-Packets 48 integer
ATTRIBUTE Acct-Terminate-Cause 49 integer
ATTRIBUTE Acct-Input-Gigawords 52 integer
ATTRIBUTE Acct-Output-Gigawords 53 integer
ATTRIBUTE Event-Timestamp 55 date
ATTRIBUTE NAS-Port-Type 61 integer
ATTRIBUTE Connect-Info 77 string
ATTRIBUTE Message-Authenticator 80 octets
ATTRIBUTE NAS-IPv6-Address 95 ipv6addr
ATTRIBUTE Framed-IPv6-Address 168 ipv6addr
"""
    )
)
