# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates, keys, authorities and revocation lists in use, and their files, which are read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpn_frontend.gateway.certificates.signing_keys import KeyGenerations
from vpn_frontend.gateway.certificates.tls_hosts import load_hosts, refresh_hosts
from vpn_frontend.ports import VpnEvent

if TYPE_CHECKING:
    from vpn_frontend.gateway.certificates.server_certificate import FileReader
    from vpn_frontend.gateway.certificates.signing_keys import SigningProcess
    from vpn_frontend.gateway.certificates.tls_hosts import LoadedHosts
    from vpn_frontend.gateway.interface import TlsHost
    from vpn_frontend.ports import EventSink
    from vpn_frontend.settings import VpnSettings


class TlsFiles:
    """``hosts`` are in use, the server's own first. A reading counts from ``use`` on, when the gateway has it.

    ``read`` reads files for a process that may not itself; ``signing`` has the private keys then.
    """

    def __init__(
        self, settings: VpnSettings, events: EventSink, read: FileReader | None, signing: SigningProcess | None
    ) -> None:
        self.hosts: tuple[TlsHost, ...] = ()
        self._settings = settings
        self._events = events
        self._read = read
        self._keys = None if signing is None else KeyGenerations(signing)
        self._reported: frozenset[str] = frozenset()  # problems of files that were told

    def load(self, settings: VpnSettings) -> tuple[TlsHost, ...]:
        """Read every file of ``settings``. Raises ``CertificateError``."""
        load = None if self._keys is None else self._keys.begin()
        return self._report(load_hosts(settings, self._read, load))

    def refresh(self) -> tuple[TlsHost, ...]:
        """The hosts in use with what is short-lived read again: authorities, lists, OCSP responses.

        Raises ``CertificateError``.
        """
        return self._report(refresh_hosts(self._settings, self.hosts, self._read))

    def use(self, hosts: tuple[TlsHost, ...], loaded: VpnSettings | None = None) -> None:
        """The gateway has ``hosts``. After ``load`` keys of before are forgotten, or kept if that fails.

        ``loaded``: what they were loaded by; ``None``: they were refreshed.
        """
        self.hosts = hosts
        if loaded is not None:
            self._settings = loaded
        if self._keys is None or loaded is None:
            return
        try:
            self._keys.commit()
        except OSError as error:
            self._events.emit(VpnEvent.BACKEND_FAILED, what="forgetting old private keys", error=str(error))

    def _report(self, loaded: LoadedHosts) -> tuple[TlsHost, ...]:
        """Clients that will be refused and responses that are not sent are told to the operator, once."""
        told = ((VpnEvent.CLIENTS_REFUSED, loaded.warnings), (VpnEvent.OCSP_NOT_STAPLED, loaded.unstapled))
        for kind, problems in told:
            for text in problems:
                if text not in self._reported:
                    self._events.emit(kind, problem=text)
        self._reported = frozenset((*loaded.warnings, *loaded.unstapled))
        return loaded.hosts
