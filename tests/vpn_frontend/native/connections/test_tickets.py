# SPDX-License-Identifier: GPL-3.0-or-later
"""Session tickets of TLS: when they come, and that they resume a session."""

from __future__ import annotations

import select
import ssl

import pytest

from lab.timeouts import TIMEOUT
from vpn_frontend.gateway.interface import ConnectionUp


def test_a_client_that_says_nothing_gets_its_ticket_too(bench):
    """The ticket of TLS 1.3 leaves with the first answer. Without one it does not wait for long."""
    client = bench.client(version=ssl.TLSVersion.TLSv1_3)
    poller = select.poll()
    poller.register(client.tls, select.POLLIN)
    assert poller.poll(TIMEOUT * 1000)
    client.tls.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):  # a record without data was read
        client.tls.recv(1)
    assert client.tls.session.has_ticket
    client.tls.settimeout(TIMEOUT)
    client.send(b"x")
    assert bench.read_from(bench.wait(ConnectionUp).connection_id, 1) == b"x"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_resume(bench, version):
    first, up = bench.connected(version=version)
    bench.gateway.send(up.connection_id, b"hello")  # TLS 1.3 tickets come with the first data
    assert first.read(5) == b"hello"
    second, again = bench.connected(context=first.context, session=first.tls.session)
    assert second.tls.session_reused
    assert again.resumed
    assert again.exporter_key != up.exporter_key
