# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions and their channels: packets both ways, control frames, ends of every kind."""

from __future__ import annotations

import ssl
import struct
import time
from ipaddress import IPv4Network

import pytest

from vpn_frontend.gateway.interface import (
    Cause,
    ChannelDown,
    ChannelUp,
    ConnectionUp,
    GatewayError,
    SessionClosed,
    SessionIdle,
)


def test_packets_travel_both_ways_and_are_counted_exactly(bench, wire):
    client, session = bench.tunnel()
    bench.wait(ChannelUp)
    up4, up6 = wire.ipv4(wire.own4, wire.outside4), wire.ipv6(wire.own6, wire.outside6, b"z" * 100)
    client.send(wire.frame(wire.data, up4))
    client.send(wire.frame(wire.data, up6))
    assert bench.tun[0].recv(65536) == up4
    assert bench.tun[0].recv(65536) == up6
    down = [wire.ipv4(wire.outside4, wire.own4, b"d" * n) for n in (0, 1, 1380)]
    for packet in down:
        bench.tun[0].send(packet)
    assert [client.read_frame() for _ in down] == [(wire.data, packet) for packet in down]
    carried = bench.gateway.traffic(session)
    bench.gateway.close_session(session, b"")
    counters = bench.wait(SessionClosed).counters
    assert (counters.rx_packets, counters.rx_bytes) == (2, len(up4) + len(up6))
    assert carried == (counters.rx_bytes, counters.tx_bytes)
    with pytest.raises(GatewayError, match="no such session"):
        bench.gateway.traffic(session)
    assert (counters.tx_packets, counters.tx_bytes) == (3, sum(map(len, down)))
    assert (counters.rx_dropped, counters.tx_dropped) == (0, 0)
    assert counters.last_data > 0


def test_frames_arrive_bytewise_and_joined(bench, wire):
    client, _ = bench.tunnel()
    packets = [wire.ipv4(wire.own4, wire.outside4, bytes([i]) * (i * 40)) for i in range(1, 6)]
    stream = b"".join(wire.frame(wire.data, packet) for packet in packets)
    for byte in stream:
        client.send(bytes([byte]))
    assert [bench.tun[0].recv(65536) for _ in packets] == packets
    client.send(stream + stream[:-3])
    assert [bench.tun[0].recv(65536) for _ in packets] == packets
    assert [bench.tun[0].recv(65536) for _ in packets[:-1]] == packets[:-1]
    client.send(stream[-3:])
    assert bench.tun[0].recv(65536) == packets[-1]


def test_early_bytes_behind_the_connect_request_are_frames(bench, wire):
    first, second = wire.ipv4(wire.own4, wire.outside4, b"1"), wire.ipv4(wire.own4, wire.outside4, b"2")
    early = wire.frame(wire.data, first) + wire.frame(wire.data, second)
    client, _ = bench.tunnel(early=early[:-5])
    client.send(early[-5:])
    assert bench.tun[0].recv(65536) == first
    assert bench.tun[0].recv(65536) == second


@pytest.mark.parametrize("fragment", [0x2000, 0x0001], ids=["first", "second"])
def test_a_small_fragment_from_the_host_reaches_its_client(bench, wire, fragment):
    """Clients may not send such fragments; what the host sends is the host's."""
    client, _ = bench.tunnel()
    packet = wire.ipv4(wire.outside4, wire.own4, b"8 bytes.", protocol=6, fragment=fragment)
    bench.tun[0].send(packet)
    assert client.read_frame() == (wire.data, packet)
    assert bench.gateway.stats()["tx_no_session"] == 0


def test_dead_peer_request_is_echoed(bench, wire):
    client, _ = bench.tunnel()
    for payload in (b"", b"Z" * 1300):
        client.send(wire.frame(wire.dpd_request, payload))
        assert client.read_frame() == (wire.dpd_response, payload)


def test_keepalive_answers_and_unknown_frames_change_nothing(bench, wire):
    client, _ = bench.tunnel()
    for kind in (wire.keepalive, wire.dpd_response, 1, 2, 8, 99, 255):
        client.send(wire.frame(kind, b"payload"))
    packet = wire.ipv4(wire.own4, wire.outside4)
    client.send(wire.frame(wire.data, packet))
    assert bench.tun[0].recv(65536) == packet
    assert bench.gateway.stats()["frames_unknown"] == 5


def test_disconnect_brings_its_reason(bench, wire):
    client, session = bench.tunnel()
    client.send(wire.frame(wire.disconnect, b"\xb0bye"))
    down = bench.wait(ChannelDown)
    assert (down.session, down.cause, down.close_message) == (session, Cause.PEER_DISCONNECT, b"\xb0bye")
    assert client.at_end()


@pytest.mark.parametrize("start_bytes", [b"STF\x02", b"GET / HTTP/1.1", b"STF\x01\xff\xff\x00\x00", b"X"])
def test_what_is_not_cstp_ends_the_channel(bench, wire, start_bytes):
    client, session = bench.tunnel()
    client.send(start_bytes)
    down = bench.wait(ChannelDown)
    assert (down.session, down.cause) == (session, Cause.PROTOCOL)
    assert client.at_end()


def test_a_vanished_peer_is_told_by_how_it_went(bench, wire):
    client, session = bench.tunnel()
    client.tls.unwrap()
    assert bench.wait(ChannelDown).cause == Cause.PEER_CLOSED
    client2, up = bench.connected()
    bench.gateway.attach(session, up.connection_id, b"HELLO", b"")
    assert client2.read(5) == b"HELLO"
    client2.reset()
    assert bench.wait(ChannelDown).cause == Cause.PEER_RESET


def _bad_packets(wire):
    own, out = wire.own4, wire.outside4
    good = wire.ipv4(own, out)
    return {
        "rx_malformed": [b"", b"\x45", good[:19], good[:-1], good + b"!", wire.ipv4(own, out, total=20),
                         b"\x44" + good[1:], b"\x4f" + good[1:], b"\x15" + good[1:], b"\x75" + good[1:],
                         wire.ipv6(wire.own6, wire.outside6)[:39], wire.ipv6(wire.own6, wire.outside6, length=0),
                         wire.ipv6(wire.own6, wire.outside6, b"", header=44)],
        "rx_spoofed": [wire.ipv4(wire.outside4, out), wire.ipv4("192.168.99.8", out), wire.ipv4("0.0.0.0", out),
                       wire.ipv6("fd00:99::8", wire.outside6)],
        "rx_link_local": [wire.ipv6("fe80::1", "ff02::2", header=58), wire.ipv6("::", "ff02::16", header=58)],
        "rx_fragment": [wire.ipv4(own, out, b"p" * 8, protocol=6, fragment=0x2000),
                        wire.ipv4(own, out, b"p" * 64, protocol=6, fragment=0x0001),
                        wire.ipv6(wire.own6, wire.outside6, struct.pack("!BBHI", 6, 0, 1, 5) + b"p" * 8, header=44)],
        "rx_oversize": [wire.ipv4(own, out, b"p" * 1381)],
    }  # fmt: skip


def _extension(following, size=8, kind=0, segments_left=0):
    """An IPv6 extension header of ``size`` bytes."""
    return bytes([following, size // 8 - 1, kind, segments_left]).ljust(size, b"\0")


def _fragment(following, offset=0, more=1):
    """``offset`` in bytes."""
    return struct.pack("!BBHI", following, 0, offset | more, 5)


def _hidden_headers(wire):
    """Packets whose transport header a filter on the way cannot read."""

    def six(first, *parts):
        return wire.ipv6(wire.own6, wire.outside6, b"".join(parts), header=first)

    hop, dst, routing, frag, tcp = 0, 60, 43, 44, 6
    return {
        "rx_fragment": [
            six(hop, _extension(frag), _fragment(tcp), b"p" * 8),
            six(dst, _extension(frag), _fragment(tcp), b"p" * 16),
            six(frag, _fragment(dst), _extension(tcp), b"p" * 16),
            six(frag, _fragment(dst), b"\x06\x7f" + b"\0" * 22),  # the chain goes on in the next fragment
            six(frag, _fragment(dst)),
            six(hop, _extension(frag), _fragment(tcp, 8, 0), b"p" * 64),
            six(frag, _fragment(dst, 8, 0), b"p" * 64),
            six(frag, _fragment(frag, 0, 0), _fragment(tcp), b"p" * 64),
            wire.ipv4(wire.own4, wire.outside4, b"p" * 16, protocol=6, fragment=0x2000),
            wire.ipv4(wire.own4, wire.outside4, b"p" * 64, protocol=6, fragment=0x0002),
        ],
        "rx_malformed": [
            six(dst, b"\x11\x01" + b"\0" * 6),
            six(hop, b"\x11\0\0"),
            six(dst, *[_extension(dst)] * 8, _extension(17), b"p" * 32),
            six(dst, _extension(hop), _extension(17), b"p" * 32),
        ],
        "rx_source_routed": [
            six(routing, _extension(17, 24, 0, 1), b"p" * 32),
            six(hop, _extension(routing), _extension(17, 24, 4, 1), b"p" * 32),
        ],
    }


def _group_destinations(wire):
    return {
        "rx_broadcast": ["255.255.255.255", "192.168.99.255", "192.168.99.0", "0.0.0.0"],
        "rx_multicast": ["224.0.0.1", "224.0.0.251", "239.255.255.250", "240.0.0.1", "ff02::1", "ff02::fb", "ff05::2"],
        "rx_loopback": ["127.0.0.1", "127.255.255.254", "::1", "::"],
        "rx_link_local": ["fe80::1", "febf::1"],
    }


def test_a_header_that_no_filter_can_read_is_dropped_by_reason(bench, wire):
    client, session = bench.tunnel()
    bad = _hidden_headers(wire)
    for packet in (packet for packets in bad.values() for packet in packets):
        client.send(wire.frame(wire.data, packet))
    whole = [
        wire.ipv6(wire.own6, wire.outside6, _extension(44) + _fragment(6) + b"p" * 24, header=0),
        wire.ipv6(wire.own6, wire.outside6, _fragment(60) + _extension(6) + b"p" * 24, header=44),
        wire.ipv6(wire.own6, wire.outside6, _fragment(6, 1200, 0) + b"p" * 8, header=44),
        wire.ipv6(wire.own6, wire.outside6, _extension(43) + _extension(17, 24, 2) + b"p" * 8, header=0),
        wire.ipv4(wire.own4, wire.outside4, b"p" * 24, protocol=6, fragment=0x2000),
        wire.ipv4(wire.own4, wire.outside4, b"p" * 8, protocol=6, fragment=0x0096),
    ]
    for packet in whole:
        client.send(wire.frame(wire.data, packet))
    assert [bench.tun[0].recv(65536) for _ in whole] == whole
    stats = bench.gateway.stats()
    assert {name: stats[name] for name in bad} == {name: len(packets) for name, packets in bad.items()}
    assert bench.gateway.counters(session).rx_dropped == sum(map(len, bad.values()))


def test_a_source_route_is_dropped(bench, wire):
    client, _ = bench.tunnel()
    plain = wire.ipv4(wire.own4, wire.outside4)

    def with_options(options):
        size = len(plain) + len(options)
        return (
            bytes([0x45 + len(options) // 4])
            + plain[1:2]
            + size.to_bytes(2, "big")
            + plain[4:20]
            + options
            + plain[20:]
        )

    hop = bytes([192, 0, 2, 1])
    for options in (b"\x83\x07\x04" + hop + b"\0", b"\x89\x07\x04" + hop + b"\0", b"\x01\x83\x07\x04" + hop):
        client.send(wire.frame(wire.data, with_options(options)))
    client.send(wire.frame(wire.data, with_options(b"\x07\x01\0\0")))  # an option of one byte would be read forever
    router_alert = with_options(b"\x94\x04\0\0")
    client.send(wire.frame(wire.data, router_alert))
    assert bench.tun[0].recv(65536) == router_alert
    stats = bench.gateway.stats()
    assert (stats["rx_source_routed"], stats["rx_malformed"]) == (3, 1)


def test_groups_and_broadcasts_reach_no_local_service(start, wire):
    bench = start(ipv4_pool=IPv4Network("192.168.99.0/24"))
    client, session = bench.tunnel()
    bad = _group_destinations(wire)
    for destination in (destination for group in bad.values() for destination in group):
        build, own = (wire.ipv6, wire.own6) if ":" in destination else (wire.ipv4, wire.own4)
        client.send(wire.frame(wire.data, build(own, destination)))
    good = [
        wire.ipv4(wire.own4, "192.168.99.1"),
        wire.ipv4(wire.own4, "192.168.98.255"),
        wire.ipv6(wire.own6, "fd00::1"),
    ]
    for packet in good:
        client.send(wire.frame(wire.data, packet))
    assert [bench.tun[0].recv(65536) for _ in good] == good
    stats = bench.gateway.stats()
    assert {name: stats[name] for name in bad} == {name: len(group) for name, group in bad.items()}
    assert bench.gateway.counters(session).rx_dropped == sum(map(len, bad.values()))


@pytest.mark.parametrize("pool", ["192.168.99.6/31", "192.168.99.7/32"])
def test_a_pool_without_a_broadcast_address_loses_no_address(start, wire, pool):
    bench = start(ipv4_pool=IPv4Network(pool))
    client, _ = bench.tunnel(ipv4=wire.other4)
    packets = [wire.ipv4(wire.other4, address) for address in IPv4Network(pool)]
    for packet in packets:
        client.send(wire.frame(wire.data, packet))
    assert [bench.tun[0].recv(65536) for _ in packets] == packets


def test_what_a_client_may_not_send_is_dropped_by_reason(bench, wire):
    client, session = bench.tunnel()
    bad = _bad_packets(wire)
    for packets in bad.values():
        for packet in packets:
            client.send(wire.frame(wire.data, packet))
    good = wire.ipv4(wire.own4, wire.outside4, b"good")
    client.send(wire.frame(wire.data, good))
    assert bench.tun[0].recv(65536) == good
    stats = bench.gateway.stats()
    assert {name: stats[name] for name in bad} == {name: len(packets) for name, packets in bad.items()}
    assert bench.gateway.counters(session).rx_dropped == sum(map(len, bad.values()))


def test_a_mapped_address_inside_ipv6_is_not_the_ipv4_address(bench, wire):
    client, _ = bench.tunnel()
    client.send(wire.frame(wire.data, wire.ipv6(f"::ffff:{wire.own4}", wire.outside6)))
    assert bench.wait_stat("rx_malformed") == 1
    bench.tun[0].send(wire.ipv6(wire.outside6, f"::ffff:{wire.own4}"))
    assert bench.wait_stat("tx_malformed") == 1


def test_clients_do_not_reach_each_other(start, wire):
    bench = start()
    one, _ = bench.tunnel()
    bench.tunnel(ipv4=wire.other4, ipv6=None)
    one.send(wire.frame(wire.data, wire.ipv4(wire.own4, wire.other4)))
    assert bench.wait_stat("rx_client_to_client") == 1


def test_packets_for_unknown_or_absent_clients_are_counted(bench, wire):
    client, session = bench.tunnel()
    bench.tun[0].send(wire.ipv4(wire.outside4, "192.168.99.200"))
    bench.wait_stat("tx_no_session")
    bench.tun[0].send(b"\x00junk")
    bench.wait_stat("tx_malformed")
    bench.tun[0].send(wire.ipv4(wire.outside4, wire.own4, b"p" * 1500, fragment=0x4000))
    bench.wait_stat("tx_oversize")
    client.reset()
    bench.wait(ChannelDown)
    bench.tun[0].send(wire.ipv4(wire.outside4, wire.own4))
    bench.wait_stat("tx_no_channel")
    assert bench.gateway.counters(session).tx_dropped == 2


def test_closing_a_session_says_why_and_frees_its_addresses(bench, wire):
    client, session = bench.tunnel()
    bench.gateway.close_session(session, wire.frame(wire.terminate, b"\x01blocked"))
    assert bench.wait(SessionClosed).session == session
    assert client.read_frame() == (wire.terminate, b"\x01blocked")
    assert client.at_end()
    bench.tun[0].send(wire.ipv4(wire.outside4, wire.own4))
    bench.wait_stat("tx_no_session")
    bench.gateway.close_session(session, b"")  # a second time: gone, and no fault
    assert not [event for event in bench.seen if isinstance(event, ChannelDown)]


def test_a_reconnect_keeps_session_and_counters_and_ends_the_old_connection(bench, wire):
    old, session = bench.tunnel()
    packet = wire.ipv4(wire.own4, wire.outside4)
    old.send(wire.frame(wire.data, packet))
    bench.tun[0].recv(65536)
    new, up = bench.connected()
    bench.gateway.attach(session, up.connection_id, b"AGAIN", b"")
    assert new.read(5) == b"AGAIN"
    bench.wait(ChannelUp, lambda event: event.connection_id == up.connection_id)
    # A client that is not told comes back with its cookie, and two with one cookie replace each other for ever.
    assert old.read_frame() == (wire.disconnect, b"\xb0Another connection took over this session.")
    assert old.at_end()
    new.send(wire.frame(wire.data, packet))
    assert bench.tun[0].recv(65536) == packet
    down = wire.ipv4(wire.outside4, wire.own4)
    bench.tun[0].send(down)
    assert new.read_frame() == (wire.data, down)
    assert not [event for event in bench.seen if isinstance(event, ChannelDown)]
    assert bench.gateway.counters(session).rx_packets == 2


def _connect_on_other_worker(bench, worker):
    """The kernel spreads connections by their port: try until one lands elsewhere."""
    for _ in range(64):
        client, up = bench.connected()
        if up.connection_id & 0xFF != worker:
            return client, up
        client.close()
    raise AssertionError("64 connections on one worker")


def test_a_reconnect_on_another_worker_moves_to_the_session(start, wire):
    bench = start(workers=2)
    old, session = bench.tunnel()
    home = session & 0xFF
    new, up = _connect_on_other_worker(bench, home)
    bench.gateway.attach(session, up.connection_id, b"MOVED", b"")
    assert new.read(5) == b"MOVED"
    packet = wire.ipv4(wire.own4, wire.outside4)
    new.send(wire.frame(wire.data, packet))
    assert bench.tun[home].recv(65536) == packet
    for queue in bench.tun:  # whichever queue the kernel chose, the packet finds its session
        down = wire.ipv4(wire.outside4, wire.own4)
        queue.send(down)
        assert new.read_frame() == (wire.data, down)
    assert bench.gateway.counters(session).tx_packets == 2
    assert old.read_frame()[0] == wire.disconnect
    assert old.at_end()
    bench.gateway.close_session(session, wire.frame(wire.disconnect, b"\x01end"))
    assert new.read_frame() == (wire.disconnect, b"\x01end")


def test_attach_to_a_session_that_ended_closes_the_connection(start, wire):
    bench = start(workers=2)
    _, session = bench.tunnel()
    new, up = _connect_on_other_worker(bench, session & 0xFF)
    bench.gateway.close_session(session, b"")
    bench.gateway.attach(session, up.connection_id, b"LATE", b"")
    assert new.at_end()
    assert (
        bench.wait(wire.connection_closed, lambda event: event.connection_id == up.connection_id).cause == Cause.LOCAL
    )


def test_silence_is_probed_and_then_ends_the_channel(bench, wire):
    client, session = bench.tunnel(dpd=1)
    assert client.read_frame() == (wire.dpd_request, b"")
    down = bench.wait(ChannelDown)
    assert (down.session, down.cause) == (session, Cause.DPD)


def test_an_answering_peer_is_alive(bench, wire):
    client, _ = bench.tunnel(dpd=2)
    for _ in range(2):
        assert client.read_frame() == (wire.dpd_request, b"")
        client.send(wire.frame(wire.dpd_response))
    assert not [event for event in bench.seen if isinstance(event, ChannelDown)]


def test_idle_is_told_once_and_icmp_does_not_feed_it(bench, wire):
    client, session = bench.tunnel(idle_timeout=1)
    ping = wire.ipv4(wire.own4, wire.outside4, protocol=1)
    client.send(wire.frame(wire.data, ping))
    assert bench.tun[0].recv(65536) == ping
    assert bench.wait(SessionIdle).session == session
    client.send(wire.frame(wire.data, wire.ipv4(wire.own4, wire.outside4)))
    assert bench.wait(SessionIdle).session == session  # used again, then idle again


def test_a_reconnect_is_no_use_of_the_tunnel(bench, wire):
    _, session = bench.tunnel(idle_timeout=1)
    begun = time.monotonic()
    while not (idle := [event for event in bench.seen if isinstance(event, SessionIdle)]):
        client, up = bench.connected()  # again and again, more often than the idle timeout
        bench.gateway.attach(session, up.connection_id, b"AGAIN", b"")
        assert client.read(5) == b"AGAIN"
        bench.wait(ChannelUp, lambda event, connection_id=up.connection_id: event.connection_id == connection_id)
        client.close()
        assert time.monotonic() - begun < wire.patience
    assert idle == [SessionIdle(session)]


def test_slots_of_sessions_are_used_again_under_new_ids(start, wire):
    bench = start(max_sessions=2)
    ids = set()
    for _ in range(8):
        client, session = bench.tunnel()
        ids.add(session)
        bench.gateway.close_session(session, b"")
        bench.wait(SessionClosed)
        client.close()
    assert len(ids) == 8
    assert bench.wait(ChannelUp)
    assert not [event for event in bench.seen if isinstance(event, ConnectionUp)]


def test_keys_are_renewed_and_the_tunnel_goes_on(bench, wire):
    client, _ = bench.tunnel(rekey=1)
    up, down = wire.ipv4(wire.own4, wire.outside4), wire.ipv4(wire.outside4, wire.own4)
    for round_ in (1, 2):
        bench.wait_stat("rekeys", round_)
        bench.tun[0].send(down)
        assert client.read_frame() == (wire.data, down)
        client.send(wire.frame(wire.data, up))
        assert bench.tun[0].recv(65536) == up


def test_a_channel_of_tls12_keeps_its_keys(bench, wire):
    client, _ = bench.tunnel(version=ssl.TLSVersion.TLSv1_2, rekey=1, dpd=2)
    assert client.read_frame() == (wire.dpd_request, b"")
    client.send(wire.frame(wire.dpd_response))
    assert client.read_frame() == (wire.dpd_request, b"")  # two seconds later: past the rekey time, and alive
    assert bench.gateway.stats()["rekeys"] == 0
