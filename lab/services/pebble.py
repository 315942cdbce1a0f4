# SPDX-License-Identifier: GPL-3.0-or-later
"""Pebble, the ACME server that Let's Encrypt tests with (Debian's pebble), and its name server for validations.

Pebble refuses some nonces on purpose. It validates over TLS at port 443 of the address that the name server gives.
"""

from __future__ import annotations

import json
import os
import ssl
import urllib.request
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509

from lab.authority import Authority
from lab.processes.programs import Program
from lab.timeouts import TIMEOUT

if TYPE_CHECKING:
    from pathlib import Path

    from lab.network import Network

ADDRESS = "127.0.0.1"
ACME_PORT, MANAGEMENT_PORT, DNS_PORT, NAMES_PORT = 14000, 15000, 8053, 8055
DIRECTORY = f"https://{ADDRESS}:{ACME_PORT}/dir"
NONCES_REFUSED = 30  # percent


class Pebble:
    """Runs in the gateway's namespace. Every name has the address of ``resolve_to``. ``ca``: of its own TLS."""

    def __init__(self, network: Network, folder: Path) -> None:
        folder.mkdir()
        self._network = network
        authority = Authority(folder / "ca", "pebble's TLS")
        own = authority.issue(
            "pebble",
            names=[x509.IPAddress(ip_address(ADDRESS))],
            purpose=x509.oid.ExtendedKeyUsageOID.SERVER_AUTH,
        )
        self.ca = authority.file
        settings = {
            "listenAddress": f"{ADDRESS}:{ACME_PORT}",
            "managementListenAddress": f"{ADDRESS}:{MANAGEMENT_PORT}",
            "certificate": str(own.certificate),
            "privateKey": str(own.key),
            "httpPort": 80,
            "tlsPort": 443,
        }
        configuration = folder / "pebble.json"
        configuration.write_text(json.dumps({"pebble": settings}))
        names = self._start(
            ["pebble-challtestsrv", "-defaultIPv4", "", "-defaultIPv6", "", "-dns01", f":{DNS_PORT}",
             "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"{ADDRESS}:{NAMES_PORT}"],
        )  # fmt: skip
        names.await_line("Starting challenge servers|Starting management server")
        pebble = self._start(
            ["pebble", "-strict", "-config", configuration, "-dnsserver", f"{ADDRESS}:{DNS_PORT}"],
            {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": str(NONCES_REFUSED)},
        )
        pebble.await_line("ACME directory available")

    def _start(self, command: list[str | Path], variables: dict[str, str] | None = None) -> Program:
        program = Program(str(command[0]), command, self._network.gateway, env={**os.environ, **(variables or {})})
        self._network.programs.append(program)
        return program

    def resolve_to(self, address: str) -> None:
        """Every name has this IPv4 address."""
        body = json.dumps({"ip": address}).encode()
        with self._network.gateway.entered():
            url = f"http://{ADDRESS}:{NAMES_PORT}/set-default-ipv4"
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=TIMEOUT):
                pass

    def root(self) -> bytes:
        """The certificate of the authority that signs, in PEM form. It is another at each start."""
        context = ssl.create_default_context(cafile=str(self.ca))
        with self._network.gateway.entered():
            url = f"https://{ADDRESS}:{MANAGEMENT_PORT}/roots/0"
            with urllib.request.urlopen(url, context=context, timeout=TIMEOUT) as answer:
                return answer.read()
