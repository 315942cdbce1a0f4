# SPDX-License-Identifier: GPL-3.0-or-later
"""The table in a real kernel, made by a real helper: what is dropped, what is not, and how the table ends.

namespace: lo with 10.9.0.1 (the server's), 10.9.0.2 and 10.9.0.3 (sources), fd09::1, fd09:0:0:2::2, fd09:0:0:3::2
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from ipaddress import ip_network

import pytest

from lab.namespaces import Claim, Namespace
from lab.timeouts import TIMEOUT, eventually
from ocsentry.privileges.helper.client import Helper, HelperError
from ocsentry.privileges.helper.scope import Scope
from ocsentry.privileges.packet_filter.verbs import MAX_CHANGES, MAX_SECONDS
from vpn_frontend.gateway.tun import TunDevice
from vpn_frontend.settings import parse_endpoint

pytestmark = pytest.mark.netns
PORT = 443
SERVER4, SERVER6 = "10.9.0.1", "fd09::1"
REFUSED4, OTHER4 = "10.9.0.2", "10.9.0.3"
REFUSED6, OTHER6 = "fd09:0:0:2::2", "fd09:0:0:3::2"
TABLE = "ocsentry_ocstest9"
HELLO = bytes.fromhex("16fefd0000000000000000000301000000")
DATA = bytes.fromhex("17fefd0001000000000001000301000000")
SOON = 0.5  # seconds in which a SYN on a loopback device would be answered


@pytest.fixture(scope="module")
def namespace():
    claim = Claim()
    made = Namespace.create(claim.name("nft"))
    made.ip(
        *(f"addr add {address}/32 dev lo" for address in (SERVER4, REFUSED4, OTHER4)),
        *(f"addr add {address}/128 dev lo nodad" for address in (SERVER6, REFUSED6, OTHER6)),
    )
    yield made
    claim.release()


@pytest.fixture
def helper(namespace):
    endpoint = str(parse_endpoint(f"*:{PORT}"))
    spared = (ip_network(f"{OTHER4}/32"),)
    scope = Scope({}, TunDevice("ocstest9", (), 1400), (), (endpoint,), (endpoint,), True, spared)
    with namespace.entered():
        made = Helper.start(scope)
    try:
        made.confine(seccomp="kill", landlock=True)
        made.open_filter()
        yield made
    finally:
        made.close()


@pytest.fixture
def listener(namespace):
    with namespace.socket(socket.AF_INET6) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(("::", PORT))
        bound.listen()
        yield bound


@pytest.fixture
def datagrams(namespace):
    with namespace.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(("::", PORT))
        bound.settimeout(TIMEOUT)
        yield bound


def reaches(namespace, source):
    server = SERVER6 if ":" in source else SERVER4
    try:
        namespace.connect((server, PORT), timeout=SOON, source=source).close()
    except TimeoutError:
        return False
    return True


def tables(namespace):
    return namespace.run("nft", "list", "tables")


@pytest.mark.parametrize(
    ("network", "source", "other"),
    [
        (f"{REFUSED4}/32", REFUSED4, OTHER4),
        ("10.9.0.2/31", REFUSED4, OTHER4),  # the other one is in never_block
        ("0.0.0.0/0", REFUSED4, OTHER4),
        ("fd09:0:0:2::/64", REFUSED6, OTHER6),
        (f"{REFUSED6}/128", REFUSED6, OTHER6),
        ("fd09:0:0:2::/63", REFUSED6, REFUSED4),
        ("::/0", REFUSED6, REFUSED4),
    ],
)
def test_a_refused_source_gets_no_answer_and_is_counted(helper, namespace, listener, network, source, other):
    family = "ipv6" if ":" in source else "ipv4"
    assert reaches(namespace, source)
    listener.accept()[0].close()
    helper.change_filter([], [(network, 300)])
    assert not reaches(namespace, source)
    assert reaches(namespace, other)
    assert listener.accept()[1][0].removeprefix("::ffff:") == other  # and of the refused one nothing was accepted
    assert helper.read_filter()[family] >= 1
    helper.change_filter([network], [])
    assert reaches(namespace, source)


def test_a_connection_that_exists_goes_on(helper, namespace, listener):
    """The server itself ends it, with a message that says why."""
    with namespace.connect((SERVER4, PORT), source=REFUSED4) as client:
        accepted, _ = listener.accept()
        helper.change_filter([], [(f"{REFUSED4}/32", 0)])
        with accepted:
            for sender, receiver in ((client, accepted), (accepted, client)):
                receiver.settimeout(TIMEOUT)
                sender.sendall(b"still here")
                assert receiver.recv(100) == b"still here"


def test_of_datagrams_only_a_hello_is_dropped(helper, namespace, datagrams):
    helper.change_filter([], [(f"{REFUSED4}/32", 300)])
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((REFUSED4, 0))
        client.sendto(HELLO, (SERVER4, PORT))
        client.sendto(DATA, (SERVER4, PORT))
    assert datagrams.recv(100) == DATA
    with namespace.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((OTHER4, 0))
        client.sendto(HELLO, (SERVER4, PORT))
    assert datagrams.recv(100) == HELLO


def test_other_ports_are_not_concerned(helper, namespace):
    helper.change_filter([], [(f"{REFUSED4}/32", 300)])
    with namespace.socket() as other:
        other.bind((SERVER4, 444))
        other.listen()
        namespace.connect((SERVER4, 444), source=REFUSED4).close()


def test_an_element_ends_by_itself_and_can_be_removed_then(helper, namespace, listener):
    helper.change_filter([], [(f"{REFUSED4}/32", 1), ("10.9.8.0/24", 1)])
    eventually(lambda: reaches(namespace, REFUSED4), bool, "lifted by the kernel")
    listener.accept()[0].close()
    helper.change_filter([f"{REFUSED4}/32", "10.9.8.0/24"], [("10.9.0.0/16", 0)])
    assert not reaches(namespace, REFUSED4)


FORGED = (
    {"remove": [], "add": [["10.9.0.2", 1]]},
    {"remove": ["10.9.0.2/24"], "add": []},
    {"remove": ["10.9.0.2/32 } ; flush ruleset"], "add": []},
    {"remove": [7], "add": []},
    {"remove": [], "add": [["10.9.0.2/32", -1]]},
    {"remove": [], "add": [["10.9.0.2/32", 1.5]]},
    {"remove": [], "add": [["10.9.0.2/32", True]]},
    {"remove": [], "add": [["10.9.0.2/32", MAX_SECONDS + 1]]},
    {"remove": [], "add": [["10.9.0.2/32"]]},
    {"remove": [], "add": ["10.9.0.2/32"]},
    {"remove": [], "add": [["10.9.0.2/32", 1]] * (MAX_CHANGES + 1)},
    {"remove": "10.9.0.2/32", "add": []},
    {"add": []},
)


def test_anything_but_networks_and_seconds_is_refused(helper, namespace, listener):
    for message in FORGED:
        with pytest.raises(HelperError):
            helper._ask({"verb": "change_filter", **message}, 0)
    assert reaches(namespace, REFUSED4)


def test_a_helper_without_a_filter_has_no_verb_for_it(namespace):
    with namespace.entered():
        helper = Helper.start(Scope({}, TunDevice("ocstest9", (), 1400), ()))
    try:
        helper.confine(seccomp="kill", landlock=True)
        with pytest.raises(HelperError, match="no such verb"):
            helper.open_filter()
    finally:
        helper.close()


def test_a_change_is_whole_or_nothing(helper, namespace, listener):
    helper.change_filter([], [("10.9.0.0/16", 0), ("10.8.0.0/16", 0)])
    with pytest.raises(HelperError, match="overlaps"):
        helper.change_filter(["10.9.0.0/16"], [("10.8.0.0/15", 0)])
    assert not reaches(namespace, REFUSED4)


def test_no_other_program_changes_or_removes_the_table(helper, namespace):
    for command in (["delete", "table", "inet", TABLE], ["flush", "table", "inet", TABLE]):
        with pytest.raises(RuntimeError, match="not permitted"):
            namespace.run("nft", *command)
    namespace.run("nft", "flush", "ruleset")
    assert TABLE in tables(namespace)


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_the_table_ends_with_the_helper(helper, namespace, listener, how):
    helper.change_filter([], [(f"{REFUSED4}/32", 0)])
    if how == "closed":
        helper.close()
    else:
        descriptor = os.pidfd_open(helper._process.pid)
        os.kill(helper._process.pid, signal.SIGKILL)
        assert select.select([descriptor], [], [], TIMEOUT)[0]
        os.close(descriptor)
    eventually(lambda: tables(namespace), lambda said: TABLE not in said, "removed by the kernel")
    assert reaches(namespace, REFUSED4)


def test_a_new_table_is_empty(helper, namespace, listener):
    helper.change_filter([], [(f"{REFUSED4}/32", 0)])
    helper.open_filter()
    assert reaches(namespace, REFUSED4)
    assert helper.read_filter() == {"ipv4": 0, "ipv6": 0}


def test_a_full_set_is_an_error_and_holds_what_it_held(helper, namespace):
    elements = [f"11.{number >> 16}.{number >> 8 & 255}.{number & 255}/32" for number in range(65_536)]
    for start in range(0, len(elements), MAX_CHANGES):
        helper.change_filter([], [(element, 0) for element in elements[start : start + MAX_CHANGES]])
    with pytest.raises(HelperError):
        helper.change_filter([], [(f"{REFUSED4}/32", 0)])
    helper.change_filter([elements[0]], [(f"{REFUSED4}/32", 0)])
    said = json.loads(namespace.run("nft", "-j", "list", "set", "inet", TABLE, "addresses4"))
    assert len(said["nftables"][1]["set"]["elem"]) == 65_536
