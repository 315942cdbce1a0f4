# SPDX-License-Identifier: GPL-3.0-or-later
"""Who owns a session: cookies used twice, after their end, and during it; and what its record says at the end."""

from __future__ import annotations

import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.clients.cstp_client import DATA, DISCONNECT, Answer, Tunnel, frame, log_in, open_tunnel, read_answer
from lab.server import INNER_IPV4, PASSWORD
from lab.traffic.probes import open_tls
from tests.hostile.arena import MAX_DEVICES

UDP_HEADERS = 28  # bytes of an IPv4 and a UDP header


def datagram(source: str, size: int) -> bytes:
    """An IPv4 packet of ``size`` bytes to the discard port of the server's inner address, without UDP's checksum."""
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, socket.IPPROTO_UDP, 0,
        socket.inet_aton(source), socket.inet_aton(INNER_IPV4),
    )  # fmt: skip
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
    return head + struct.pack("!HHHH", 9, 9, size - 20, 0) + bytes(size - UDP_HEADERS)


def log_out(arena, cookie: str) -> int:
    with open_tls(arena.attacker) as stream:
        stream.sendall(f"GET /logout HTTP/1.1\r\nHost: x\r\nCookie: webvpn={cookie}\r\n\r\n".encode())
        return read_answer(stream).status


def try_to_open(arena, cookie: str) -> Tunnel | Answer | None:
    """``None``: the server closed the connection, as it does when the session ends meanwhile."""
    try:
        return open_tunnel(arena.attacker, cookie)
    except OSError:
        return None


def refused(arena, cookie: str) -> bool:
    answer = open_tunnel(arena.attacker, cookie)
    return isinstance(answer, Answer) and answer.status == 401


@pytest.mark.parametrize("sizes", [[28], [1400], [28, 29, 576, 1399, 1400], [100] * 500], ids=["1", "2", "3", "4"])
def test_the_bytes_of_a_record_are_exactly_those_sent(arena, sizes):
    with arena.tunnel() as tunnel:
        session = arena.session_of(tunnel)["id"]
        tunnel.stream.sendall(b"".join(frame(DATA, datagram(tunnel.ipv4, size)) for size in sizes))
        assert tunnel.answers()
        tunnel.disconnect()
        row = arena.account(session)  # before the arena ends what is left
    assert (row["rx_packets"], row["rx_bytes"], row["rx_dropped"]) == (len(sizes), sum(sizes), 0)
    assert row["end_reason"] == "user_disconnect"


def test_packets_that_were_dropped_are_not_counted_as_carried(arena):
    with arena.tunnel() as tunnel:
        session = arena.session_of(tunnel)["id"]
        tunnel.stream.sendall(
            frame(DATA, datagram("192.168.99.77", 100)) * 10 + frame(DATA, datagram(tunnel.ipv4, 100))
        )
        assert tunnel.answers()
        tunnel.disconnect()
        row = arena.account(session)  # before the arena ends what is left
    assert (row["rx_packets"], row["rx_bytes"], row["rx_dropped"]) == (1, 100, 10)


def test_a_cookie_used_twice_is_one_session_with_one_channel(arena):
    cookie = arena.cookie()
    first = open_tunnel(arena.attacker, cookie)
    second = open_tunnel(arena.attacker, cookie)
    assert isinstance(first, Tunnel)
    assert isinstance(second, Tunnel)
    assert (first.ipv4, first.ipv6) == (second.ipv4, second.ipv6)
    assert second.answers()
    assert not first.answers()
    assert len([one for one in arena.server.sessions() if one["user"] == "carol"]) == 1
    for tunnel in (first, second):
        tunnel.stream.close()
    arena.end_sessions()


def test_a_cookie_used_sixteen_times_at_once_is_one_session(arena):
    cookie = arena.cookie()
    with ThreadPoolExecutor(16) as pool:
        opened = list(pool.map(lambda _: open_tunnel(arena.attacker, cookie), range(16)))
    tunnels = [one for one in opened if isinstance(one, Tunnel)]
    assert len({tunnel.ipv4 for tunnel in tunnels}) == 1
    assert len([one for one in arena.server.sessions() if one["user"] == "carol"]) == 1
    for tunnel in tunnels:
        tunnel.stream.close()
    arena.end_sessions()


def test_a_cookie_opens_another_session_after_a_disconnect_and_is_dead_after_a_logout(arena):
    """Its time is short (``disconnect_grace``), and each session has its own account."""
    cookie = arena.cookie()
    sessions = []
    for _ in range(2):
        tunnel = open_tunnel(arena.attacker, cookie)
        assert isinstance(tunnel, Tunnel)
        sessions.append(arena.session_of(tunnel)["id"])
        tunnel.send(DISCONNECT, b"\xb0")
        with pytest.raises(OSError, match="closed"):
            tunnel.receive()
        tunnel.stream.close()
        assert arena.account(sessions[-1])["end_reason"] == "user_disconnect"
    assert len(set(sessions)) == 2
    assert log_out(arena, cookie) == 200
    assert refused(arena, cookie)


def test_a_cookie_is_dead_after_a_kill(arena):
    cookie = arena.cookie()
    tunnel = open_tunnel(arena.attacker, cookie)
    assert isinstance(tunnel, Tunnel)
    session = arena.session_of(tunnel)["id"]
    assert arena.server.api.call("DELETE", f"/api/v1/sessions/{session}")[0] in {200, 204}
    assert refused(arena, cookie)
    tunnel.stream.close()
    assert arena.account(session)["end_reason"] == "killed"


def test_a_cookie_is_dead_after_a_logout(arena):
    cookie = arena.cookie()
    assert log_out(arena, cookie) == 200
    assert refused(arena, cookie)


def test_a_logout_ends_the_tunnel_that_uses_the_cookie(arena):
    cookie = arena.cookie()
    tunnel = open_tunnel(arena.attacker, cookie)
    assert isinstance(tunnel, Tunnel)
    session = arena.session_of(tunnel)["id"]
    assert log_out(arena, cookie) == 200
    assert arena.account(session)["end_reason"] == "logout"
    tunnel.stream.close()


def test_connects_during_a_logout_leave_no_session(arena):
    for _ in range(5):
        cookie = arena.cookie()
        with ThreadPoolExecutor(4) as pool:
            opening = [pool.submit(try_to_open, arena, cookie) for _ in range(3)]
            assert log_out(arena, cookie) == 200
            opened = [one.result() for one in opening]
        assert refused(arena, cookie)
        for one in opened:
            if isinstance(one, Tunnel):
                one.stream.close()


def test_a_part_of_a_cookie_opens_nothing(arena):
    cookie = arena.cookie()
    for part in (cookie[:-1], cookie + "A", cookie[1:], cookie[::-1], cookie[:32]):
        assert refused(arena, part)
    assert log_out(arena, cookie) == 200


def test_logins_without_a_tunnel_hold_no_lease(arena):
    before = arena.server.leases()
    cookies = [arena.cookie() for _ in range(20)]
    assert arena.server.leases() == before
    assert len(set(cookies)) == 20
    for cookie in cookies:
        log_out(arena, cookie)


def test_one_user_exceeds_the_limit_by_no_number_of_cookies(arena):
    """The clients answer no probe, so later ones take the places of earlier ones."""
    opened = [open_tunnel(arena.attacker, arena.cookie()) for _ in range(MAX_DEVICES + 2)]
    assert len([one for one in arena.server.sessions() if one["user"] == "carol"]) <= MAX_DEVICES
    for one in opened:
        if isinstance(one, Tunnel):
            one.stream.close()
    arena.end_sessions()


def test_a_removed_user_is_out_at_once_with_all_cookies(arena):
    api = arena.server.api
    api.expect(201, "POST", "/api/v1/users", {"name": "trent", "password": PASSWORD})
    tunnel = open_tunnel(arena.attacker, arena.cookie("trent"))
    assert isinstance(tunnel, Tunnel)
    waiting = arena.cookie("trent")
    assert api.call("DELETE", "/api/v1/users/trent")[0] in {200, 204}
    assert refused(arena, waiting)
    assert log_in(arena.attacker, "trent", PASSWORD) == ""
    tunnel.stream.close()


def test_a_changed_password_is_changed_for_the_next_login(arena):
    api = arena.server.api
    arena.cookie("mallory")
    api.expect(200, "PUT", "/api/v1/users/mallory", {"password": "another good password"})
    assert log_in(arena.attacker, "mallory", PASSWORD) == ""
    api.expect(200, "PUT", "/api/v1/users/mallory", {"password": PASSWORD})
    arena.end_sessions()
