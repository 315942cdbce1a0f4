# SPDX-License-Identifier: GPL-3.0-or-later
"""Listening sockets of a former process: which are taken, which are bound, which are closed."""

from __future__ import annotations

import os
import socket

import pytest

from ocsentry.privileges.kept_listeners import KeptListeners, named_listeners, store_name
from vpn_frontend.gateway import sockets
from vpn_frontend.settings import parse_endpoint


class Opener:
    """Binds what it is asked for, and remembers how many."""

    def __init__(self):
        self.counts = []

    def bind_listeners(self, endpoints, workers):
        self.counts.append(workers)
        return sockets.bind_listeners(endpoints, workers)


@pytest.fixture
def endpoint():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return parse_endpoint(f"127.0.0.1:{port}")


def listening(endpoint, count):
    rows = sockets.bind_listeners([endpoint], count)
    found = [descriptor for row in rows for descriptor in row]
    sockets.start_listening(found)
    return found


def close(rows):
    sockets.close_all(one for row in rows for one in row)


@pytest.mark.parametrize(("kept", "workers", "bound"), [(0, 2, [2]), (1, 3, [2]), (2, 2, []), (3, 2, [])])
def test_every_worker_has_a_socket_and_every_kept_one_has_a_worker(endpoint, kept, workers, bound):
    opener = Opener()
    given = listening(endpoint, kept) if kept else []
    listeners = KeptListeners(opener, [(store_name(endpoint), one) for one in given])
    rows = listeners.bind_listeners([endpoint], workers)
    assert opener.counts == bound
    assert all(rows)
    assert set(given) <= {one for row in rows for one in row}
    assert sum(map(len, rows)) == max(kept, workers)
    assert listeners.close_unused() == ()
    assert {name: len(found) for name, found in named_listeners(rows).items()} == {
        store_name(endpoint): max(kept, workers)
    }
    close(rows)


def test_a_client_that_connected_meanwhile_waits_in_a_kept_socket(endpoint):
    (kept,) = listening(endpoint, 1)
    with socket.create_connection((str(endpoint.address), endpoint.port)) as client:
        rows = KeptListeners(Opener(), [(store_name(endpoint), kept)]).bind_listeners([endpoint], 1)
        with socket.socket(fileno=os.dup(rows[0][0])) as taken:
            taken.settimeout(10)
            accepted, address = taken.accept()
        assert address == client.getsockname()
        accepted.close()
        close(rows)


def test_sockets_of_other_endpoints_and_namespaces_are_closed(endpoint):
    """Also those whose name is not theirs, that do not listen, or that are no sockets."""
    bound = sockets.bind_listeners([endpoint], 1)[0][0]
    pipe, other_end = os.pipe()
    wrong = {
        "another program's": listening(endpoint, 1)[0],
        store_name(parse_endpoint("127.0.0.1:1")): listening(endpoint, 1)[0],
        store_name(endpoint, "blue"): listening(endpoint, 1)[0],
    }
    given = [*wrong.items(), (store_name(endpoint), bound), (store_name(endpoint), pipe)]
    opener = Opener()
    rows = KeptListeners(opener, given).bind_listeners([endpoint], 1)
    assert opener.counts == [1]
    close(rows)
    os.close(other_end)


def test_a_kept_socket_whose_endpoint_is_gone_is_closed_and_named(endpoint):
    (kept,) = listening(endpoint, 1)
    listeners = KeptListeners(Opener(), [(store_name(endpoint), kept)])
    assert listeners.bind_listeners([], 1) == ((),)
    assert listeners.close_unused() == (store_name(endpoint),)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(kept)
