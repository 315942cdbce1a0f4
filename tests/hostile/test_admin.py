# SPDX-License-Identifier: GPL-3.0-or-later
"""The API and its Unix socket: requests without rights, out of range, malformed; and spellings of networks."""

from __future__ import annotations

import json
import random
import socket
from contextlib import suppress

import pytest

from lab.clients.api import ADMIN_PORT, Api
from lab.timeouts import TIMEOUT
from lab.traffic.probes import ProbeResult, drain, probe

CHANCE = random.Random(5)
LOCAL = ("127.0.0.1", ADMIN_PORT)
# Spellings that are no network, or another one than they seem: none may be taken for a block or a rule.
NO_NETWORKS = (
    "", " ", "/", "/0", "0", "10.77.3", "10.77.3.2/33", "10.77.3.2/-1", "10.77.3.2/ 32", "10.77.3.2/0x20",
    "010.077.003.002", "0x0a.77.3.2", "168.430.2", "181207810", "10.77.3.2.", "10.77.3.2/32/32",
    "10.77.3.2/255.255.255.255x", "10.77.3.0/255.255.255.0", "10.77.3.2%eth0", "::ffff:10.77.3.2/129",
    "fd77:3::2%1", "fd77:3:::2", "fd77:3::2/200", "1::2::3", "\uff11\uff10.77.3.2",
    "10.77.3.2\0", "localhost", "*", "10.77.3.0/24,0.0.0.0/0",
)  # fmt: skip
# The hostile host, spelled in other ways: each block must refuse it, and its removal accept it.
SPELLINGS = (
    "10.77.3.2",
    "10.77.3.2/32",
    "10.77.3.0/24",
    "::ffff:10.77.3.2",
    "::ffff:a4d:302/128",
)
BODIES = {
    "nothing": b"",
    "no JSON": b"{",
    "a number": b"1e999",
    "NaN": b'{"cidr": "198.51.100.1", "reason": "x", "ttl": NaN}',
    "an infinite ttl": b'{"cidr": "198.51.100.1", "reason": "x", "ttl": Infinity}',
    "a negative ttl": b'{"cidr": "198.51.100.1", "reason": "x", "ttl": -1}',
    "a ttl of 400 digits": b'{"cidr": "198.51.100.1", "reason": "x", "ttl": ' + b"9" * 400 + b"}",
    "a list": b"[" * 500 + b"]" * 500,
    "depth of 100 000": b"[" * 100_000,
    "depth of objects": b'{"a":' * 50_000,
    "another type": b'{"cidr": {"$ne": null}, "reason": ["x"]}',
    "an unknown key": b'{"cidr": "198.51.100.1", "reason": "x", "admin": true}',
    "key twice": b'{"cidr": 1, "cidr": {}, "reason": "x"}',
    "a reason of 3 MB": b'{"cidr": "198.51.100.1", "reason": "' + b"x" * 3_000_000 + b'"}',
    "a lone surrogate": b'{"cidr": "198.51.100.1", "reason": "\\ud800", "ttl": -1}',
    "broken UTF-8": b'{"cidr": "198.51.100.1", "reason": "\xc3\x28"}',
    "noise": bytes(range(256)) * 40,
}
RAW = {
    "noise": CHANCE.randbytes(2000),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    "no version": b"GET /\r\n\r\n",
    "two lengths": b"POST /api/v1/blocks HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "length and chunks": (
        b"POST /api/v1/blocks HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a header of 1 MB": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n",
    "a target of 1 MB": b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a method of letters": b"A" * 5000 + b" / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "websocket": b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
}
TOKENS = ("", "x", "ocs__", "ocs_aaaaaaaaaaaa_", "ocs_" + "a" * 5000, "ocs_%s_%s", "Basic YTpi", "\xff" * 20)
COMMANDS = {
    "an empty line": b"\n",
    "no JSON": b"{\n",
    "a list": b"[]\n",
    "no command": b"{}\n",
    "an unknown command": b'{"command": "shutdown"}\n',
    "a block of nothing": b'{"command": "block_ip"}\n',
    "a block of a name": b'{"command": "block_ip", "ip": "localhost"}\n',
    "a block of a number": b'{"command": "block_ip", "ip": 1}\n',
    "a negative ttl": b'{"command": "block_ip", "ip": "198.51.100.9", "ttl": -5}\n',
    "depth of 50 000": b"[" * 50_000 + b"\n",
    "noise": CHANCE.randbytes(300).replace(b"\n", b"") + b"\n",
    "NUL": b"\0\n",
}


@pytest.mark.parametrize("cidr", NO_NETWORKS)
def test_what_is_no_network_is_no_block(arena, cidr):
    status, answer = arena.server.api.call("POST", "/api/v1/blocks", {"cidr": cidr, "reason": "hostile"})
    assert status == 422, answer


@pytest.mark.parametrize("cidr", SPELLINGS)
def test_each_spelling_of_a_source_blocks_it_and_no_other(arena, cidr):
    block = arena.server.api.block(cidr, "hostile")
    assert probe(arena.attacker) is ProbeResult.CLOSED
    arena.server.api.unblock(block["id"])
    assert probe(arena.attacker) is ProbeResult.HANDSHAKE


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_hostile_body_is_refused_by_its_values(arena, body):
    head = (
        "POST /api/v1/blocks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
        f"Authorization: Bearer {arena.server.api.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with arena.server.network.gateway.connect(LOCAL) as stream:
        stream.sendall(head.encode() + body)
        status = drain(stream).split(b" ", 2)[1]
    assert status in {b"400", b"413", b"422"}


@pytest.mark.parametrize("data", RAW.values(), ids=RAW.keys())
def test_bytes_that_are_no_request_end_their_own_connection(arena, data):
    with arena.server.network.gateway.connect(LOCAL) as stream:
        with suppress(OSError):
            stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)
        answer = drain(stream)
    assert not answer or answer.split(b" ", 2)[1] in {b"400", b"401", b"403", b"404", b"413", b"414", b"421", b"431"}


@pytest.mark.parametrize("token", TOKENS)
def test_a_wrong_token_reads_and_changes_nothing(arena, token):
    api = Api(arena.server.network.gateway, token)
    for method, path in (("GET", "/api/v1/users"), ("GET", "/api/v1/sessions"), ("DELETE", "/api/v1/users/alice")):
        with suppress(ConnectionError):
            assert api.call(method, path)[0] in {400, 401, 429}
        api.close()


def test_a_token_with_one_scope_has_no_other(arena):
    body = {"name": "reader", "scopes": ["sessions:read"]}
    made = arena.server.api.expect(201, "POST", "/api/v1/tokens", body)
    api = Api(arena.server.network.gateway, made["token"])
    assert api.call("GET", "/api/v1/sessions")[0] == 200
    assert api.call("GET", "/api/v1/users")[0] == 403
    assert api.call("POST", "/api/v1/blocks", {"cidr": "198.51.100.1", "reason": "x"})[0] == 403
    assert api.call("POST", "/api/v1/tokens", {"name": "more", "scopes": ["*"]})[0] == 403
    api.close()
    arena.server.api.call("DELETE", f"/api/v1/tokens/{made['id']}")


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_hostile_command_line_is_refused(arena, line):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(TIMEOUT)
        stream.connect(str(arena.server.socket))
        with suppress(OSError):
            stream.sendall(line)
            stream.shutdown(socket.SHUT_WR)
        answer = drain(stream)
    assert not answer or answer.startswith(b"HTTP/1.1 4") or json.loads(answer.splitlines()[0])["ok"] is False


@pytest.mark.parametrize("path", ["/api/v1/users/..%2f..%2fetc", "/api/v1/sessions/%00", "/api/v1/blocks/' OR 1=1",
                                  "/api/v1/users/" + "a" * 5000, "/api/v1/sessions?limit=-1",
                                  "/api/v1/sessions?limit=1e9",
                                  "/api/v1/audit?cursor=AAAA", "/api/v1/explain?address=nonsense",
                                  "/api/v1/decisions?limit=99999999999999999999"])  # fmt: skip
def test_a_hostile_path_is_an_error_of_the_caller(arena, path):
    status, _ = arena.server.api.call("GET", path.replace(" ", "%20"))
    assert 400 <= status < 500


@pytest.mark.parametrize("document", [
    {"wolfsentry": {"version": "1.6.3", "rules": [{"id": "a", "type": "whitelist", "remote_addr": "0.0.0.0/99"}]}},
    {"wolfsentry": {"version": "1.6.3", "rules": [{"id": "a", "type": "open_everything"}]}},
    {"wolfsentry": {"version": "1.6.3", "rules": [{"id": "a"}, {"id": "a"}]}},
    {"wolfsentry": {"rules": "all"}},
    {},
], ids=["prefix", "type", "same id", "no list", "empty"])  # fmt: skip
def test_a_broken_rule_file_leaves_the_policy_as_it_is(arena, document):
    good = arena.server.rule_file.read_text()
    broken = arena.server.rule_file.with_name("broken.json")
    broken.write_text(json.dumps(document))
    try:
        assert arena.server.command("reload_rules")["ok"] is False
        assert probe(arena.blocked) is ProbeResult.CLOSED
        assert probe(arena.attacker) is ProbeResult.HANDSHAKE
    finally:
        broken.unlink()
    assert arena.server.rule_file.read_text() == good
    assert arena.server.command("reload_rules")["ok"] is True


def test_reloads_beside_the_tunnels_keep_the_policy_and_every_packet(arena):
    """Of 20 reloads every second one finds a broken file."""
    broken = arena.server.rule_file.with_name("broken.json")
    try:
        for _ in range(10):
            broken.write_text('{"wolfsentry": {"version": "1.6.3", "rules": [{"id": "a", "type": "open_everything"}]}}')
            assert arena.server.command("reload_rules")["ok"] is False
            assert probe(arena.blocked) is ProbeResult.CLOSED
            broken.unlink()
            assert arena.server.command("reload_rules")["ok"] is True
            assert probe(arena.blocked) is ProbeResult.CLOSED
    finally:
        broken.unlink(missing_ok=True)
    assert probe(arena.attacker) is ProbeResult.HANDSHAKE


def test_bodies_over_their_limit_keep_no_room_of_operations(arena):
    """Each is held while it is read: if it stayed held, there were no 3 MB left of the 64 MiB of all operations."""
    head = (
        "POST /api/v1/policy/check HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Prefer: respond-async\r\nAuthorization: Bearer {arena.server.api.token}\r\nConnection: close\r\n"
    ).encode()
    piece = b"%x\r\n%s\r\n" % (1 << 16, b" " * (1 << 16))
    for _ in range(17):
        with arena.server.network.gateway.connect(LOCAL) as stream:
            with suppress(OSError):
                stream.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + piece * 65)
            assert drain(stream).split(b" ", 2)[1] == b"413"
    body = b'{"wolfsentry": {"version": "1.6.3", "rules": []}}' + b" " * 3_000_000
    with arena.server.network.gateway.connect(LOCAL) as stream:
        stream.sendall(head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        assert drain(stream).split(b" ", 2)[1] == b"202"
