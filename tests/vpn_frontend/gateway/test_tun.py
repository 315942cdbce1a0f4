# SPDX-License-Identifier: GPL-3.0-or-later
"""The TUN device in a network namespace of its own, entered by a child process.

[child in a new namespace] ocstest0: two queues, 192.168.99.1/24, fd00:99::1/64
"""

import json
import os
import subprocess
import sys

import pytest

from vpn_frontend.gateway.tun import TunError, open_queues

CHILD = """
import json, subprocess
from ipaddress import ip_interface
from vpn_frontend.gateway.sockets import close_all
from vpn_frontend.gateway.tun import TunDevice, TunError, configure, open_queues

def shown():
    listing = subprocess.run(["ip", "-j", "addr", "show"], capture_output=True, check=True).stdout
    return {connection["ifname"]: connection for connection in json.loads(listing)}

queues = open_queues("ocstest0", 2)
configure(TunDevice("ocstest0", (ip_interface("192.168.99.1/24"), ip_interface("fd00:99::1/64")), 1400))
connection = shown()["ocstest0"]
try:
    open_queues("ocstest0", 1)
    refused = ""
except TunError as error:
    refused = str(error)
close_all(queues)
print(json.dumps({
    "mtu": connection["mtu"], "up": "UP" in connection["flags"], "refused": refused, "left": sorted(shown()),
    "addresses": [f"{a['local']}/{a['prefixlen']}" for a in connection["addr_info"] if a["scope"] == "global"],
}))
"""


@pytest.mark.netns
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_device_is_made_set_up_and_gone_with_its_queues():
    child = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=60, check=False
    )
    assert child.returncode == 0, child.stderr
    seen = json.loads(child.stdout)
    assert (seen["mtu"], seen["up"]) == (1400, True)
    assert seen["addresses"] == ["192.168.99.1/24", "fd00:99::1/64"]
    assert "Device or resource busy" in seen["refused"]
    assert seen["left"] == ["lo"]


@pytest.mark.parametrize("name", ["", "a-name-too-long-for-linux"])
def test_a_name_that_no_device_can_have_is_refused(name):
    with pytest.raises(TunError, match="not a name"):
        open_queues(name, 1)
