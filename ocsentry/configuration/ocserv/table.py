# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of all keys of ocserv's configuration. The documentation renders it; a test holds it complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocsentry.configuration.ocserv.login_keys import LOGIN_KEYS
from ocsentry.configuration.ocserv.network_keys import NETWORK_KEYS
from ocsentry.configuration.ocserv.policy_keys import POLICY_KEYS
from ocsentry.configuration.ocserv.server_keys import SERVER_KEYS
from ocsentry.configuration.ocserv.session_keys import SESSION_KEYS

if TYPE_CHECKING:
    from ocsentry.configuration.ocserv.rows import Row

# In the order in which they are read: logins first, because what is needed of a file depends on the methods.
ROWS: tuple[Row, ...] = (*SERVER_KEYS, *LOGIN_KEYS, *NETWORK_KEYS, *SESSION_KEYS, *POLICY_KEYS)
BY_KEY = {row.key: row for row in ROWS}
ALIASES = {
    **{row.alias: row.key for row in ROWS if row.alias},
    "ipv4-dns": "dns",
    "ipv6-dns": "dns",
    "ipv4-nbns": "nbns",
    "ipv6-nbns": "nbns",
}
USER_FILE_KEYS = frozenset({"explicit-ipv4", "explicit-ipv6", "hostname", "iroute"})  # of config-per-user files only
