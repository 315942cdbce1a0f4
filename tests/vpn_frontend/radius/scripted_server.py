# SPDX-License-Identifier: GPL-3.0-or-later
"""A RADIUS server on loopback that answers as a test says, well-formed or hostile."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from dataclasses import dataclass, field
from ipaddress import ip_address

from pyrad.packet import AcctPacket, AuthPacket

from vpn_frontend.radius.attributes import DICTIONARY
from vpn_frontend.radius.link import Target
from vpn_frontend.radius.packets import Code
from vpn_frontend.settings import Endpoint

SECRET = b"a shared secret"


def attribute(number, value):
    return bytes((number, len(value) + 2)) + value


def vendor_attribute(vendor, number, value):
    return attribute(26, vendor.to_bytes(4, "big") + attribute(number, value))


def build_answer(request, code, attributes=b"", *, secret=SECRET, signed=True, identifier=None):
    """An answer to the raw ``request``, its Message-Authenticator first."""
    mark = attribute(80, bytes(16)) if signed else b""
    body = mark + attributes
    head = bytes((code, request[1] if identifier is None else identifier)) + (20 + len(body)).to_bytes(2, "big")
    if signed:
        digest = hmac.new(secret, head + request[4:20] + body, "md5").digest()
        body = attribute(80, digest) + attributes
    return head + hashlib.md5(head + request[4:20] + body + secret).digest() + body


def accept(attributes=b"", **how):
    return lambda request: [build_answer(request, Code.ACCESS_ACCEPT, attributes, **how)]


def reject(attributes=b"", **how):
    return lambda request: [build_answer(request, Code.ACCESS_REJECT, attributes, **how)]


def challenge(state, message=b"Code?", more=b"", **how):
    attributes = attribute(24, state) + (attribute(18, message) if message else b"") + more
    return lambda request: [build_answer(request, Code.ACCESS_CHALLENGE, attributes, **how)]


def silence(request):
    return []


@dataclass
class ScriptedServer(asyncio.DatagramProtocol):
    """``script``: what is sent for each datagram, from its first to its last entry, which then stays in force."""

    script: list
    requests: list = field(default_factory=list)  # raw, repetitions too
    clients: list = field(default_factory=list)  # where each of them came from
    transport: asyncio.DatagramTransport | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, port=0):
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", port))
        return self

    @property
    def endpoint(self):
        host, port = self.transport.get_extra_info("sockname")[:2]
        return Endpoint(ip_address(host), port)

    def target(self, **how):
        return Target(self.endpoint, SECRET, **{"timeout": 60.0, **how})

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.requests.append(data)
        self.clients.append(addr)
        self.arrived.set()
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        for answer in step(data):
            self.transport.sendto(answer, addr)

    def decoded(self):
        """The requests, without repetitions of the same bytes."""
        kinds = {Code.ACCESS_REQUEST: AuthPacket, Code.ACCOUNTING_REQUEST: AcctPacket}
        distinct = dict.fromkeys(self.requests)
        return [kinds[data[0]](packet=data, dict=DICTIONARY, secret=SECRET) for data in distinct]

    def close(self):
        self.transport.close()
