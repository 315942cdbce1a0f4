# SPDX-License-Identifier: GPL-3.0-or-later
"""The server around a gateway in memory: events reach the layers, ``stop`` leaves nothing."""

import asyncio
import errno
import gc
import time
from dataclasses import replace
from ipaddress import IPv4Network, ip_interface
from pathlib import Path

import pytest

from lab.timeouts import TIMEOUT
from tests.vpn_frontend.reserved_ports import port_of, reserve_port
from vpn_frontend.auth.password.checker import PasswordChecker
from vpn_frontend.auth.password.method import PasswordMethod
from vpn_frontend.auth.user_throttle import FREE_FAILURES
from vpn_frontend.gateway import tun
from vpn_frontend.gateway.certificates.server_certificate import CertificateError
from vpn_frontend.gateway.interface import Cause
from vpn_frontend.gateway.tun import tun_device
from vpn_frontend.ports import JournalEntry, Stage
from vpn_frontend.protocol.cstp import disconnect_frame
from vpn_frontend.server import VpnServer
from vpn_frontend.settings import AuthSettings, HostSettings, parse_endpoint
from vpn_frontend.testing import MemoryDirectory, MemoryEvents, MemoryGateway, MemoryJournal

REPLY = (
    b'<config-auth type="auth-reply"><auth><username>alice</username><password>secret</password></auth></config-auth>'
)


def cookie_of(answer):
    return answer.partition(b"webvpn=")[2].partition(b";")[0]


def open_descriptors():
    gc.collect()  # what tests before left to be collected is not of interest
    return len(list(Path("/proc/self/fd").iterdir()))


class Harness:
    """A server that runs, and one client's steps."""

    def __init__(self, vpn, gateway, journal, events, engine):
        self.vpn, self.gateway, self.journal, self.events, self.engine = vpn, gateway, journal, events, engine

    async def until(self, condition):
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            await asyncio.sleep(0.001)

    async def say(self, connection, data):
        sent = self.gateway.sent[connection]
        before = len(sent)
        self.gateway.say(connection, data)
        await self.until(lambda: len(sent) > before)
        return bytes(sent[before:])

    async def enter(self):
        connection = self.gateway.connect()
        answer = await self.open_tunnel(connection, cookie_of(await self.log_in(connection)))
        assert answer.startswith(b"HTTP/1.1 200 CONNECTED\r\n")
        return connection

    async def log_in(self, connection, user=b"alice"):
        reply = REPLY.replace(b"alice", user)
        return await self.say(
            connection, b"POST /auth HTTP/1.1\r\nHost: vpn\r\nContent-Length: %d\r\n\r\n" % len(reply) + reply
        )

    async def open_tunnel(self, connection, cookie):
        return await self.say(
            connection, b"CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: vpn\r\nCookie: webvpn=" + cookie + b"\r\n\r\n"
        )


@pytest.fixture
def make_harness(make_settings, make_engine, users, monkeypatch):
    """Without root: no device is made, the reference core has no gate."""

    def configured(device):
        assert device.mtu == 1400

    passwords = PasswordChecker(threads=1)
    reserved = reserve_port()
    listen = (parse_endpoint(f"127.0.0.1:{port_of(reserved)}"),)

    async def make(journal=None, **changes):
        monkeypatch.setattr(tun, "open_queues", lambda name, count: ())
        monkeypatch.setattr(tun, "configure", configured)
        engine, gateway, events = make_engine(), MemoryGateway(), MemoryEvents()
        monkeypatch.setattr(type(engine), "gate_address", 0)
        journal = journal or MemoryJournal()
        settings = make_settings(listen=listen, dtls=False, worker_threads=1, **changes)
        directory = MemoryDirectory(users.values())
        vpn = VpnServer(
            settings, engine=engine, users=directory, methods={"password": PasswordMethod(directory, passwords)},
            journal=journal, events=events, open_gateway=gateway,
        )  # fmt: skip
        await vpn.start()
        return Harness(vpn, gateway, journal, events, engine)

    yield make
    reserved.close()
    passwords.close()


@pytest.mark.asyncio
async def test_a_client_comes_and_the_server_goes(make_harness):
    harness = await make_harness()
    connection = await harness.enter()
    await harness.until(lambda: len(harness.journal.open) == 1)
    assert harness.vpn.stats()["sessions"] == 1
    await harness.vpn.stop("Going down for an hour")
    assert not harness.gateway.accepting
    assert bytes(harness.gateway.sent[connection]).endswith(disconnect_frame("Going down for an hour"))
    [(view, reason)] = harness.journal.ended.values()
    assert (view.user, reason) == ("alice", "shutdown")
    assert harness.journal.open == {}
    assert harness.engine.leases() == []


@pytest.mark.asyncio
async def test_a_client_that_leaves_is_accounted_for(make_harness):
    harness = await make_harness()
    connection = await harness.enter()
    harness.gateway.hang_up(connection, Cause.PEER_DISCONNECT, b"\xb0bye")
    await harness.until(lambda: len(harness.journal.ended) == 1)
    assert harness.engine.leases() == []
    await harness.vpn.stop("")


@pytest.mark.asyncio
async def test_reads_of_the_tun_device_that_fail_are_told_until_they_work(make_harness):
    harness = await make_harness()
    assert harness.vpn.find_tun_problem() is None
    harness.gateway.fail_reads(0, errno.EIO)
    await harness.until(lambda: len(harness.events.of("tun_failing")) == 1)
    assert harness.vpn.find_tun_problem() == "the TUN device ocs0 cannot be read: Input/output error"
    await harness.enter()
    harness.gateway.fail_reads(0, 0)
    await harness.until(lambda: len(harness.events.of("tun_failing")) == 2)
    assert harness.vpn.find_tun_problem() is None
    assert [event["error"] for event in harness.events.of("tun_failing")] == ["Input/output error", ""]
    await harness.vpn.stop("")


@pytest.mark.asyncio
async def test_a_signing_process_that_hangs_or_is_gone_is_told(make_harness):
    harness = await make_harness()
    assert harness.vpn.find_signing_problem() is None
    harness.gateway.delay = 3.0
    assert harness.vpn.find_signing_problem() == "it has not answered for 3 s; no new client can connect"
    harness.gateway.delay = 0.5
    assert harness.vpn.find_signing_problem() is None
    for _ in range(2):  # each worker reports it
        harness.gateway.lose_signer()
    await harness.enter()
    assert len(harness.events.of("signer_lost")) == 1
    assert "it is gone" in harness.vpn.find_signing_problem()
    await harness.vpn.stop("")


@pytest.mark.asyncio
async def test_a_stopping_server_stays_until_load_balancers_have_noticed(make_harness):
    harness = await make_harness(drain_at_least=1)
    began = time.monotonic()
    await harness.vpn.stop("")
    assert time.monotonic() - began >= 1


@pytest.mark.asyncio
async def test_a_fault_in_one_event_does_not_stop_the_others(make_harness, monkeypatch):
    harness = await make_harness()

    def fail(*_):
        raise RuntimeError("a fault")

    monkeypatch.setattr(harness.vpn._table.reports, "session_idle", fail)
    harness.gateway.fall_idle(1)
    await harness.enter()
    [failed] = harness.events.of("backend_failed")
    assert "a fault" in failed["error"]
    assert not harness.gateway.held
    await harness.vpn.stop("")


@pytest.mark.asyncio
async def test_what_a_process_before_left_open_is_closed_at_start(make_harness, make_lab):
    lab = make_lab()
    lab.tunnel(lab.log_in())
    journal = MemoryJournal()
    await journal.record([JournalEntry(Stage.OPENED, lab.live.list()[0])])
    harness = await make_harness(journal)
    assert journal.open == {}
    await harness.vpn.stop("")


@pytest.mark.asyncio
async def test_another_certificate_is_used_at_once_and_a_bad_one_never(make_harness, certificate_files):
    harness = await make_harness()
    before = harness.gateway.hosts
    chain, content = certificate_files[0], certificate_files[0].read_bytes()
    chain.write_bytes(b"junk")
    with pytest.raises(CertificateError):
        harness.vpn.reload_certificate()
    assert harness.gateway.hosts == before
    chain.write_bytes(content)
    harness.gateway.hosts = ()
    harness.vpn.reload_certificate()
    assert harness.gateway.hosts == before
    await harness.vpn.stop("")


@pytest.mark.asyncio
async def test_a_device_that_cannot_be_made_stops_the_start_and_leaves_no_socket(make_harness, monkeypatch):
    harness = await make_harness()
    await harness.vpn.stop("")

    def refuse(name, count):
        raise tun.TunError("no TUN here")

    monkeypatch.setattr(tun, "open_queues", refuse)
    before = open_descriptors()
    with pytest.raises(tun.TunError):
        await harness.vpn.start()
    assert open_descriptors() <= before


def test_the_server_has_the_first_address_of_each_pool(make_settings):
    device = tun_device(make_settings())
    assert device.addresses == (ip_interface("192.168.99.1/29"), ip_interface("fd00:99::1/64"))
    only6 = tun_device(make_settings(network={"ipv4_pool": None, "mtu": 1280}))
    assert (only6.addresses, only6.mtu) == ((ip_interface("fd00:99::1/64"),), 1280)


OTHER = HostSettings(
    "other.test", AuthSettings(), groups=("staff",), overrides={"network": {"ipv4_pool": IPv4Network("10.77.0.0/29")}}
)


@pytest.mark.asyncio
async def test_a_cookie_of_one_host_opens_nothing_at_another(make_harness):
    harness = await make_harness(hosts=(OTHER,))
    cookie = cookie_of(await harness.log_in(harness.gateway.connect(host="other.test")))
    for refused in (
        await harness.open_tunnel(harness.gateway.connect(), cookie),
        await harness.open_tunnel(harness.gateway.connect(host="other.test"), b"0" * len(cookie)),
    ):
        assert refused.startswith(b"HTTP/1.1 401 ")
    logout = b'<config-auth type="logout"><session-token>' + cookie + b"</session-token></config-auth>"
    await harness.say(
        harness.gateway.connect(), b"POST / HTTP/1.1\r\nHost: vpn\r\nContent-Length: %d\r\n\r\n" % len(logout) + logout
    )
    answer = await harness.open_tunnel(harness.gateway.connect(host="other.test"), cookie)
    assert answer.startswith(b"HTTP/1.1 200 CONNECTED\r\n")
    assert b"X-CSTP-Address: 10.77.0." in answer, "the host's own pool"
    [session] = harness.vpn.sessions.list()
    harness.gateway.hang_up(next(iter(harness.gateway.connections)), Cause.PEER_RESET)
    assert (await harness.open_tunnel(harness.gateway.connect(), cookie)).startswith(b"HTTP/1.1 401 ")
    assert [one.id for one in harness.vpn.sessions.list()] == [session.id]
    await harness.vpn.stop("")


@pytest.mark.asyncio
async def test_a_login_under_way_at_one_host_is_unknown_at_another(make_harness):
    harness = await make_harness(hosts=(OTHER,))
    answer = await harness.log_in(harness.gateway.connect(host="other.test"), b"mallory")
    assert b"webvpncontext=" in answer
    own, other = (harness.vpn.hosts.by_name[name].portal.logins for name in ("", "other.test"))
    assert (len(own), len(other)) == (0, 1)
    await harness.vpn.stop("")


@pytest.mark.asyncio
async def test_a_host_of_groups_takes_their_members_only(make_harness):
    harness = await make_harness(hosts=(OTHER,))
    answer = await harness.log_in(harness.gateway.connect(host="other.test"), b"bob")
    assert cookie_of(answer) == b""
    assert harness.events.of("login_refused")[-1]["reason"] == "not_a_member"
    assert cookie_of(await harness.log_in(harness.gateway.connect(), b"bob")) != b""
    await harness.vpn.stop("")


@pytest.mark.asyncio
async def test_a_host_is_added_and_removed_while_the_server_runs(make_harness):
    harness = await make_harness()
    vpn, settings, accounts = harness.vpn, harness.vpn._settings, harness.vpn._accounts
    under_way = harness.gateway.connect()
    answer = await harness.log_in(under_way, b"mallory")
    assert b"webvpncontext=" in answer
    more = replace(settings, hosts=(OTHER,))
    vpn.renew(more, accounts, vpn.load_tls(more))
    assert [host.name for host in harness.gateway.hosts] == ["", "other.test"]
    cookie = cookie_of(await harness.log_in(harness.gateway.connect(host="other.test"), b"alice"))
    assert cookie
    vpn.renew(settings, accounts, vpn.load_tls(settings))
    late = harness.gateway.connect(host="other.test")
    # Its host is gone: it may not be taken for another one.
    await harness.until(lambda: late not in harness.gateway.connections)
    assert harness.events.of("link_refused")[-1]["reason"] == "its host was removed"
    assert cookie_of(await harness.log_in(harness.gateway.connect(), b"alice"))
    await vpn.stop("")


@pytest.mark.asyncio
async def test_a_reload_gives_no_guesser_a_free_attempt(make_harness):
    harness = await make_harness()
    vpn, later = harness.vpn, time.monotonic() + 10 * TIMEOUT
    throttle = vpn.hosts._throttles.of("")
    for _ in range(2 * FREE_FAILURES):
        throttle.note_failure("mallory", later)
    assert throttle.take("mallory", later) is None, "the last attempt for a while"
    vpn.renew(vpn._settings, vpn._accounts, vpn.load_tls(vpn._settings))
    await harness.log_in(harness.gateway.connect(), b"mallory")
    assert harness.events.of("login_refused")[-1]["reason"] == "user_throttled"
    await vpn.stop("")
