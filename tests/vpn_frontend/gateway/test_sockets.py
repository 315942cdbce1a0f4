# SPDX-License-Identifier: GPL-3.0-or-later
import array
import fcntl
import gc
import os
import resource
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from lab.timeouts import TIMEOUT
from tests.vpn_frontend.reserved_ports import port_of, reserve_datagram_port, reserve_port
from vpn_frontend.gateway.sockets import (
    MAX_NUMBER,
    UDP_BUFFERS,
    UDP_SOCKETS,
    ListenError,
    bind_listeners,
    close_all,
    move_last,
    start_listening,
)
from vpn_frontend.settings import parse_endpoint

SIOCOUTQNSD = 0x894B  # linux/sockios.h


@pytest.fixture
def port():
    with reserve_port() as reserved:
        yield port_of(reserved)


def open_descriptors():
    gc.collect()  # what tests before left to be collected is not of interest
    return len(list(Path("/proc/self/fd").iterdir()))


def test_each_worker_gets_its_own_socket_per_endpoint(port):
    rows = bind_listeners([parse_endpoint(f"127.0.0.1:{port}"), parse_endpoint(f"[::1]:{port}")], 3)
    try:
        assert [len(row) for row in rows] == [2, 2, 2]
        assert len({descriptor for row in rows for descriptor in row}) == 6
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        start_listening(descriptor for row in rows for descriptor in row)
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=TIMEOUT).close()
    finally:
        close_all(descriptor for row in rows for descriptor in row)


def test_listening_sockets_get_the_highest_numbers(port):
    before = open_descriptors()
    highest = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], MAX_NUMBER)
    rows = move_last(bind_listeners([parse_endpoint(f"127.0.0.1:{port}")], 3))
    try:
        numbers = [descriptor for row in rows for descriptor in row]
        assert len(numbers) == len({*numbers}) == 3
        assert min(numbers) >= highest - 4
        assert not any(os.get_inheritable(descriptor) for descriptor in numbers)
        start_listening(numbers)
        socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT).close()
    finally:
        close_all(numbers)
    assert open_descriptors() == before


def test_every_address_means_both_families(port):
    rows = bind_listeners([parse_endpoint(f"*:{port}")], 1)
    try:
        start_listening(rows[0])
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=TIMEOUT).close()
    finally:
        close_all(rows[0])


@pytest.mark.parametrize(("option", "limit"), [(socket.SO_RCVBUF, "rmem_max"), (socket.SO_SNDBUF, "wmem_max")])
def test_datagram_sockets_of_an_address_hold_a_burst_and_no_more_together(option, limit):
    most = UDP_BUFFERS // UDP_SOCKETS
    limit = int(Path("/proc/sys/net/core", limit).read_text())
    reserved, ((descriptor,),) = reserve_datagram_port("127.0.0.1", 1)
    with reserved, socket.socket(fileno=descriptor) as bound:
        # The kernel counts its own overhead: it doubles what is asked for.
        assert 2 * min(most, limit) <= bound.getsockopt(socket.SOL_SOCKET, option) <= 2 * most


def test_datagram_sockets_do_not_block():
    reserved, rows = reserve_datagram_port("127.0.0.1", 2)
    try:
        for (descriptor,) in rows:
            assert not os.get_blocking(descriptor)
    finally:
        close_all(descriptor for row in rows for descriptor in row)
        reserved.close()


def test_what_cannot_be_listened_on_is_named_and_nothing_stays_open(port):
    before = open_descriptors()
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1:443"):
        bind_listeners([parse_endpoint(f"127.0.0.1:{port}"), parse_endpoint("192.0.2.1:443")], 2)
    assert open_descriptors() == before


@pytest.mark.parametrize("bound", [0, 65_536])
def test_output_for_a_peer_that_reads_nothing_is_bounded_in_the_kernel(port, bound):
    """The peer's own buffer takes some; what is left unsent counts here."""
    (row,) = bind_listeners([parse_endpoint(f"127.0.0.1:{port}")], 1)
    listener = socket.socket(fileno=row[0])
    start_listening(row, bound)
    with listener, socket.create_connection(listener.getsockname()) as frozen:
        frozen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.setblocking(True)
        stream, _ = listener.accept()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000_000)
        stream.setblocking(False)
        with stream, suppress(BlockingIOError):
            while stream.send(bytes(16_384)):
                unsent = array.array("i", [0])
                fcntl.ioctl(stream, SIOCOUTQNSD, unsent)
    assert (unsent[0] <= 2 * bound) if bound else (unsent[0] > 200_000)
