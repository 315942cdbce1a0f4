# SPDX-License-Identifier: GPL-3.0-or-later
from ipaddress import ip_address

from tests.vpn_frontend.auth.scripted import Scripted
from vpn_frontend.auth.login_ways import LoginWays
from vpn_frontend.auth.method import LoginRequest
from vpn_frontend.auth.result import Accepted, Refused
from vpn_frontend.settings import AuthSettings, LoginRules
from vpn_frontend.testing import MemoryEvents, MemoryJournal

AUTH = AuthSettings(group_rules={"vault": LoginRules(("radius",))})
METHODS = {"password": Scripted(name="password"), "radius": Scripted(Refused("No.", "no"), name="radius")}


def make(auth=AUTH):
    events = MemoryEvents()
    return LoginWays(auth, METHODS, MemoryJournal(), events), events


def method_of(ways, group):
    return ways.method_of(LoginRequest("alice", "", group, ip_address("192.0.2.1")))


def test_groups_get_their_rules_and_lose_them():
    ways, events = make()
    before = ways.make(AUTH)
    ways.set_groups({"guests": {"auth": {"methods": ("radius",)}}, "vault": {"auth": {"methods": ("password",)}}})
    during = ways.make(AUTH)
    assert method_of(during, "guests") is method_of(before, "vault"), "equal rules share one method"
    assert method_of(during, "vault") is method_of(before, "")
    ways.set_groups({})
    after = ways.make(AUTH)
    assert method_of(after, "guests") is method_of(after, "")
    assert method_of(after, "vault") is not method_of(after, "")
    assert events.of("backend_failed") == []


def test_rules_hold_at_hosts_of_other_rules():
    ways, _ = make()
    ways.set_groups({"guests": {"auth": {"methods": ("password",)}}})
    host = AuthSettings(("radius",), group_rules=AUTH.group_rules)
    assert ways.auth_of(host).group_rules["guests"] == LoginRules(("password",))
    assert ways.auth_of(host).rules == LoginRules(("radius",))


def test_a_group_that_is_closed_is_reported_once():
    ways, events = make()
    for _ in range(2):
        ways.set_groups({"old": {"auth": {"methods": ("ldap",)}}})
    [told] = events.of("backend_failed")
    assert (told["what"], "does not use ldap" in told["error"]) == ("logins by the group old", True)
    accepted = Accepted(METHODS["password"].outcome.user, ("old",))
    login = LoginRequest("alice", "", "", ip_address("192.0.2.1"))
    assert ways.make(AUTH).confirm(login, accepted).reason == "group_closed"
