# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and limits of the protocol that more than one module needs."""

from __future__ import annotations

# Cookies
CONTEXT_COOKIE = "webvpncontext"  # one login under way, over several connections
SESSION_COOKIE = "webvpn"  # the right to open tunnels
HINTS_COOKIE = "webvpnc"  # tells AnyConnect's downloader where to look

MAX_TLS_RECORD = 16384  # bytes of payload (RFC 8446 section 5.1); a CSTP frame is one record

# Limits of one HTTP request
MAX_HEAD = 16 * 1024  # bytes of request line and headers together
MAX_BODY = (
    32 * 1024
)  # bytes; with the head less than 64 KiB for each connection; the largest login of a client is below 8 KB
MAX_HEADERS = 100
MAX_REASON = 300  # characters of a text for the user in a header

# Limits of a login
MAX_NAME = 256  # characters of a user or group name
MAX_SECRET = 1024  # characters of a password: argon2 would take any number
MAX_FIELDS = 32  # submitted fields that are kept

# MTU of the tunnel
MIN_MTU = 800  # bytes; below it a tunnel carries mostly headers (the gateway itself takes 576)
MIN_MTU_IPV6 = 1280  # bytes; RFC 8200 section 5
MAX_MTU = 9000  # bytes; a TUN device takes more, but no path carries more

# DTLS
MASTER_SECRET_SIZE = 48  # bytes, sent as hex (RFC 5246 section 8.1)
KEY_SIZE = 32  # bytes of the keys from the exporter of TLS

NO_REKEY = 365 * 86400  # seconds; a rekey time that no session reaches; clients read 32 bits
