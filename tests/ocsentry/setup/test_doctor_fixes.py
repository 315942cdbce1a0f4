# SPDX-License-Identifier: GPL-3.0-or-later
"""Each command that the doctor gives ends the finding it is given for, run as it stands by a shell.

namespace: lo, the TUN device of the server where one runs, nothing else
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lab.namespaces import Claim, Namespace
from lab.timeouts import TIMEOUT
from ocsentry.configuration.model import load_config

pytestmark = pytest.mark.netns
CHECK = "import sys; from ocsentry.cli import main; main(['doctor', '--json', '--config', sys.argv[1]])"


def doctor(namespace, config, prefix=()):
    """The findings by check, in the namespace."""
    command = ["ip", "netns", "exec", namespace, *prefix, sys.executable, "-c", CHECK, str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    found = {}
    for row in json.loads(done.stdout):
        found.setdefault(row["check"], row)
    return found


def shell(namespace, command):
    subprocess.run(["ip", "netns", "exec", namespace, "sh", "-ec", command], check=True, timeout=TIMEOUT)


def test_a_route_that_another_program_took_is_put_back(served, namespace):
    config = served.command_line.config
    for network in ("192.168.99.0/24", "192.168.99.0/25", "192.168.99.128/25"):
        shell(namespace, f"ip route del {network} dev ocs0")
    found = doctor(namespace, config)
    assert found["routes to clients"]["level"] == "fail"
    assert found["TCP [::]:443"]["detail"].startswith("this server listens")
    shell(namespace, found["routes to clients"]["command"])
    assert doctor(namespace, config)["routes to clients"]["level"] == "ok"


@pytest.mark.parametrize("written", ["as init writes it", "without the key", "without the table"])
def test_a_host_without_ipv6_is_told_and_served_after_the_fix(command_line, written):
    claim = Claim()
    try:
        space = Namespace.create(claim.name("no6"))
        space.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        text = command_line.config.read_text().replace(', "fd00:99::/64"', "")
        lines = [line for line in text.splitlines(True) if written[:2] == "as" or not line.startswith("ipv6_pool")]
        if written == "without the table":
            begin = lines.index("[vpn.network]\n")
            lines[begin : lines.index("[vpn.limits]\n")] = []
        command_line.config.write_text("".join(lines))
        finding = doctor(space.name, command_line.config)["IPv6"]
        assert (finding["level"], "switched off" in finding["detail"]) == ("fail", True)

        shell(space.name, finding["command"])
        assert load_config(command_line.config).vpn.network.ipv6_pool is None
        assert "IPv6" not in doctor(space.name, command_line.config)
    finally:
        claim.release()


def test_the_start_on_a_host_without_ipv6_says_the_key(command_line):
    claim = Claim()
    try:
        space = Namespace.create(claim.name("no6"))
        space.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        command = CHECK.replace("'doctor', '--json'", "'serve'")
        with pytest.raises(RuntimeError, match=r'IPv6 switched off .*: set vpn\.network\.ipv6_pool = ""'):
            space.run(sys.executable, "-c", command, str(command_line.config))
    finally:
        claim.release()


def test_a_missing_tun_device_is_made(namespace, command_line):
    config = command_line.config
    hidden = ["unshare", "--mount", "sh", "-ec", 'mount -t tmpfs none /dev/net; "$@"', "sh"]
    finding = doctor(namespace, config, hidden)["TUN device"]
    assert (finding["level"], finding["detail"]) == ("fail", "/dev/net/tun is missing")
    fixed = [*hidden[:4], f'mount -t tmpfs none /dev/net; {finding["command"]}; "$@"', "sh"]
    assert doctor(namespace, config, fixed)["TUN device"]["level"] == "ok"


def test_a_port_of_another_program_is_told_with_its_name(namespace, command_line):
    listen = "import socket, sys; s = socket.create_server(('::', 443), family=socket.AF_INET6)"
    holder = f"{listen}; print(flush=True); sys.stdin.read()"
    program = [sys.executable, "-c", holder]
    command = ["ip", "netns", "exec", namespace, *program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        finding = doctor(namespace, command_line.config)["TCP [::]:443"]
        check = CHECK.replace("'doctor', '--json'", "'serve', '--check'")
        with pytest.raises(RuntimeError, match=r"ocsentry: TCP \[::\]:443: in use by another program: python"):
            Namespace(namespace).run(sys.executable, "-c", check, str(command_line.config))
        other.stdin.close()
    assert finding["level"] == "fail"
    assert f"(process {other.pid}" in finding["detail"]
