# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and routes over netlink, against what ip(8) shows, in a network namespace of a child process.

[child in a new namespace] ocsroute0: 192.168.99.1/24, fd00:99::1/64, routes to it
"""

import json
import os
import subprocess
import sys

import pytest

from lab.timeouts import TIMEOUT

CHILD = """
import json, subprocess
from ipaddress import ip_address, ip_interface, ip_network
from vpn_frontend.gateway.rtnetlink import RouteSocket
from vpn_frontend.gateway.tun import open_queues

def shown(*words):
    return json.loads(subprocess.run(["ip", "-j", *words], capture_output=True, check=True).stdout)

def routes():
    # Those of this test: the kernel adds some of its own to IPv6 addresses, after a while.
    mine = {ip_address("10.8.0.0"), far.network_address, far6.network_address}
    return {str(route.destination): [route.prefixlen, str(route.gateway)] for route in netlink.routes()
            if route.destination in mine}

def refusal(call, *given):
    try:
        return call(*given)
    except OSError as error:
        return error.strerror

queues = open_queues("ocsroute0", 1)
far, far6 = ip_network("10.9.0.0/16"), ip_network("fd00:9::/48")
with RouteSocket() as netlink:
    index = netlink.find_link("ocsroute0")
    netlink.set_link(index, mtu=1380, queue_length=321)
    for own in ("192.168.99.1/24", "fd00:99::1/64"):
        netlink.add_address(index, ip_interface(own))
    netlink.set_link_up(index)
    netlink.add_route(far, index, source=ip_address("192.168.99.1"))
    netlink.add_route(far6, index)
    subprocess.run(["ip", "route", "add", "10.8.0.0/16", "via", "192.168.99.7"], check=True)
    result = {
        "link": shown("link", "show", "ocsroute0")[0],
        "addresses": [[str(a.address), a.prefixlen, a.link == index] for a in netlink.addresses()],
        "routes": routes(),
        "source": shown("route", "show", "10.9.0.0/16")[0]["prefsrc"],
        "again": refusal(netlink.add_route, far, index),
        "no link": refusal(netlink.find_link, "ocsroute1"),
    }
    netlink.delete_route(far, index)
    netlink.delete_route(far6, index)
    result |= {
        "left": sorted(routes()),
        "gone": refusal(netlink.delete_route, far, index),
    }
print(json.dumps(result))
"""


@pytest.mark.netns
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_links_addresses_and_routes_are_set_and_read():
    child = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert child.returncode == 0, child.stderr
    seen = json.loads(child.stdout)
    assert (seen["link"]["mtu"], seen["link"]["txqlen"], "UP" in seen["link"]["flags"]) == (1380, 321, True)
    assert ["192.168.99.1", 24, True] in seen["addresses"]
    assert ["fd00:99::1", 64, True] in seen["addresses"]
    assert seen["routes"] == {"10.9.0.0": [16, "None"], "fd00:9::": [48, "None"], "10.8.0.0": [16, "192.168.99.7"]}
    assert seen["source"] == "192.168.99.1"
    assert seen["left"] == ["10.8.0.0"]
    assert (seen["again"], seen["no link"], seen["gone"]) == ("File exists", "No such device", "No such process")
