# SPDX-License-Identifier: GPL-3.0-or-later
"""libnftables (libnftables(3)) through ctypes: commands in the syntax of nft(8), run without a program."""

from __future__ import annotations

import ctypes

from ocsentry.privileges.errors import PrivilegeError

LIBRARY = "libnftables.so.1"
MISSING = 'policy.kernel: the library libnftables is missing (Debian: apt install libnftables1), or set it to "off"'


class NftablesError(OSError):
    """The kernel or the library refuses a transaction. Nothing of it is in force."""


class Nftables:
    """One context, and its netlink socket: a table with ``flags owner`` lives as long as it."""

    def __init__(self) -> None:
        """Raises ``PrivilegeError`` where the library is missing."""
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise PrivilegeError(MISSING) from error
        self._library.nft_ctx_new.restype = ctypes.c_void_p
        self._library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        context = self._library.nft_ctx_new(0)
        if not context:
            raise PrivilegeError("policy.kernel: libnftables cannot open its netlink socket")
        self._context = ctypes.c_void_p(context)
        self._library.nft_ctx_buffer_error(self._context)
        self._library.nft_ctx_buffer_output(self._context)

    def run(self, commands: str) -> None:
        """Run ``commands`` as one transaction. Raises ``NftablesError``."""
        if self._library.nft_run_cmd_from_buffer(self._context, commands.encode()):
            said = self._library.nft_ctx_get_error_buffer(self._context) or b"no reason given"
            first = said.decode(errors="replace").strip().partition("\n")[0]
            raise NftablesError(0, f"nftables: {first.removeprefix('Error: ')}")

    def close(self) -> None:
        """The kernel removes the tables that this context owns."""
        self._library.nft_ctx_free(self._context)
