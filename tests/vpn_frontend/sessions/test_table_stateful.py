# SPDX-License-Identifier: GPL-3.0-or-later
"""Random clients against the table of sessions: after every step limits, leases and addresses hold."""

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from sentry_engine import ClientLimits, Engine, Policy
from vpn_frontend.gateway.interface import Cause, GatewayError
from vpn_frontend.ports import UserRecord
from vpn_frontend.sessions.admission import CookieError, RefusedError
from vpn_frontend.sessions.liveness_probe import ProbePendingError
from vpn_frontend.sessions.session import Phase
from vpn_frontend.settings import LimitSettings, NetworkSettings, Overrides, SessionSettings, VpnSettings

USERS = st.sampled_from(["alice", "bob"])
CONNECTION_ENDS = st.sampled_from(
    [(Cause.PEER_CLOSED, b""), (Cause.PEER_RESET, b""), (Cause.DPD, b""), (Cause.PEER_DISCONNECT, b"\xb0"),
     (Cause.PEER_DISCONNECT, b"\x91"), (Cause.PROTOCOL, b"")]
)  # fmt: skip


class SessionMachine(RuleBasedStateMachine):
    """Two users, two addresses too few, limits of two clients each; events are handed over late or never in order."""

    logins = Bundle("logins")
    admissions = Bundle("admissions")
    probes = Bundle("probes")

    def __init__(self):
        super().__init__()
        self.lab = None
        self.users = {}
        self.full = False  # the gateway has no memory for another command

    @initialize(on_excess=st.sampled_from(["deny_new", "kick_oldest"]), session_timeout=st.sampled_from([0, 500]))
    def open(self, on_excess, session_timeout):
        vpn = VpnSettings(
            network=NetworkSettings(ipv4_pool=IPv4Network("10.0.0.0/29"), ipv6_pool=IPv6Network("fd00::/125")),
            limits=LimitSettings(max_clients=4, max_same_clients=2),
            session=SessionSettings(cookie_timeout=100, session_timeout=session_timeout),
        )
        policy = Policy.from_document({"wolfsentry": {"version": "1.6.3", "rules": []}})
        engine = Engine(policy, core="reference", limits=ClientLimits(4, 2, on_excess))
        self.lab = self.make_lab(vpn, engine)
        close_in_gateway = self.lab.gateway.close_session

        def close_session(session, frame):
            if self.full:
                raise GatewayError("no memory is left")
            close_in_gateway(session, frame)

        self.lab.gateway.close_session = close_session

    @rule(target=logins, user=USERS)
    def log_in(self, user):
        return user, self.lab.log_in(user)

    @rule(target=admissions, login=logins)
    def admit(self, login):
        user, cookie = login
        peer = self.lab.peer()
        try:
            return self.lab.begin(cookie, peer, user=user), peer
        except (CookieError, RefusedError):
            return None, peer

    @rule(target=probes, login=logins)
    def start_probe(self, login):
        user, cookie = login
        peer = self.lab.peer()
        try:
            self.lab.table.abandon_tunnel(self.lab.begin(cookie, peer, user=user))
        except ProbePendingError as pending:
            return user, cookie, peer, pending.probe
        except (CookieError, RefusedError):
            pass
        return None

    @rule(target=admissions, probed=consumes(probes))
    def ask_again(self, probed):
        if probed is None:
            return None, None
        user, cookie, peer, probe = probed
        try:
            return self.lab.begin(cookie, peer, user=user, probe=probe), peer
        except (CookieError, RefusedError):
            return None, peer

    @rule(index=st.integers(0, 7))
    def answer(self, index):
        if self.lab.gateway.sessions:
            numbers = sorted(self.lab.gateway.sessions)
            self.lab.gateway.answer(numbers[index % len(numbers)])

    @rule(admitted=consumes(admissions), alive=st.booleans())
    def establish(self, admitted, alive):
        admission, peer = admitted
        if admission is None:
            return
        if not alive:
            self.lab.gateway.hang_up(peer.connection_id)
        try:
            self.lab.open(admission)
        except (CookieError, RefusedError):
            return

    @rule(admitted=consumes(admissions))
    def abandon(self, admitted):
        if admitted[0] is not None:
            self.lab.table.abandon_tunnel(admitted[0])

    @rule(login=logins)
    def connect_at_once(self, login):
        admission, peer = self.admit(login)
        self.establish((admission, peer), alive=True)

    @rule(index=st.integers(0, 7), end=CONNECTION_ENDS)
    def lose_connection(self, index, end):
        connections = sorted(self.lab.gateway.connections)
        if connections:
            self.lab.gateway.hang_up(connections[index % len(connections)], *end)

    @rule(index=st.integers(0, 7), count=st.integers(1, 100))
    def move_data(self, index, count):
        if self.lab.gateway.sessions:
            numbers = sorted(self.lab.gateway.sessions)
            self.lab.gateway.move_data(numbers[index % len(numbers)], received=count)

    @rule()
    def pump(self):
        self.lab.pump()

    @rule(seconds=st.sampled_from([1, 50, 100]))
    def pass_time(self, seconds):
        self.lab.pass_time(seconds)
        for session in self.lab.table._index:
            if session.phase < Phase.CLOSING:
                assert not session.is_over(self.lab.now)
                assert session.expires_at is None or session.expires_at > self.lab.now
                assert session.check_at is None or session.check_at > self.lab.wall.timestamp()
            elif not self.full:
                assert session.unsent_close is None

    @rule(user=USERS, timeout=st.sampled_from([0, 1, 60, 500]), expires=st.none() | st.sampled_from([1, 60, 300]))
    def change_user(self, user, timeout, expires):
        """Other ends of its sessions, sooner and later."""
        before = self.users.get(user, UserRecord(user, ""))
        end = None if expires is None else self.lab.wall + timedelta(seconds=expires)
        after = UserRecord(user, "", expires_at=end, overrides=Overrides(session={"session_timeout": timeout}))
        self.users[user] = after
        self.lab.live.change_user(before, after, now=self.lab.now)

    @rule(full=st.booleans())
    def fill_gateway(self, full):
        self.full = full

    @rule(index=st.integers(0, 7))
    def kill(self, index):
        views = self.lab.live.list()
        if views:
            self.lab.live.kill(views[index % len(views)].id, "killed")

    @rule(login=logins)
    def log_out(self, login):
        self.lab.table.log_out(login[1], self.lab.now)

    @rule(user=USERS)
    def kill_user(self, user):
        self.lab.live.kill_user(user, "killed")

    @invariant()
    def every_end_is_scheduled(self):
        """A look at every session finds no end that is before the deadline that the table waits for."""
        for session in [] if self.lab is None else self.lab.table._index:
            for end, deadlines in ((session.due_at, "_due"), (session.check_at, "_checks")):
                deadline = getattr(self.lab.table._index, deadlines).get(session.id)
                assert end is None or (deadline is not None and deadline <= end)

    @invariant()
    def limits_hold(self):
        if self.lab is None:
            return
        leases = self.lab.engine.leases()
        assert len(leases) <= 4
        for user in ("alice", "bob"):
            assert sum(lease.user == user for lease in leases) <= 2
        views = self.lab.live.list()
        held = {lease.session for lease in leases}
        assert {view.id for view in views} <= held, "every tunnel has its lease"
        addresses = [view.ipv4 for view in views]
        assert len(set(addresses)) == len(addresses)

    def teardown(self):
        if self.lab is None:
            return
        try:
            self.full = False
            self.lab.pass_time(0)
            self.lab.pump()
            self.lab.table.shut_down("bye", self.lab.now)
            self.lab.pump()
            assert self.lab.engine.leases() == []
            assert self.lab.recorder.open == {}, "one opened, one closed"
            assert self.lab.table._pools.ipv4.used == 0
            assert self.lab.table._pools.ipv6.used == 0
            assert len(self.lab.table._pending) == 0
            assert self.lab.table._index.is_empty()
            assert self.lab.gateway.sessions == {}
        finally:
            self.lab.engine.close()
            self.lab.gateway.close()


def test_random_clients_leave_nothing_behind(lab_class):
    class Machine(SessionMachine):
        make_lab = staticmethod(lab_class)

    run_state_machine_as_test(Machine, settings=settings(max_examples=40, stateful_step_count=40))
