# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's haproxy and keepalived on two machines: one address for a fleet, which moves when its machine is lost.

TCP is passed on as it is, with a PROXY header in front that names the client; a client stays on one node as long as
that node answers. haproxy carries no UDP, so clients stay on TLS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.lan import NETWORK, PREFIX, as_host
from lab.processes.programs import Program
from lab.timeouts import eventually
from lab.traffic.probes import ProbeResult, Target, probe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lab.lan import Machine

ADDRESS = f"{NETWORK}.100"


def haproxy_configuration(nodes: Sequence[Machine]) -> str:
    servers = "\n".join(f"    server {node.name} {node.ipv4}:443" for node in nodes)
    return f"""\
global
    maxconn 4000

defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h

frontend vpn
    bind :443
    default_backend nodes

backend nodes
    balance source
    hash-type consistent
    option redispatch
    default-server check inter 1s fall 2 rise 2 send-proxy-v2 check-send-proxy on-marked-down shutdown-sessions
{servers}
"""


def keepalived_configuration(machine: Machine, priority: int) -> str:
    return f"""\
global_defs {{
    router_id {machine.name}
}}
vrrp_instance vpn {{
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority {priority}
    advert_int 1
    virtual_ipaddress {{
        {ADDRESS}/{PREFIX}
    }}
}}
"""


def start_balancers(machines: Sequence[Machine], nodes: Sequence[Machine], folder: Path) -> None:
    """The first machine has the address while it is heard."""
    for number, machine in enumerate(machines):
        haproxy = folder / f"haproxy-{machine.name}.cfg"
        haproxy.write_text(haproxy_configuration(nodes))
        _start(machine, "haproxy", ["haproxy", "-db", "-f", str(haproxy)])
        keepalived = folder / f"keepalived-{machine.name}.conf"
        keepalived.write_text(keepalived_configuration(machine, 150 - 50 * number))
        pids = [f"--{kind}={folder}/{machine.name}.{kind}" for kind in ("pid", "vrrp_pid", "checkers_pid")]
        options = ["--dont-fork", "--log-console", "--vrrp", f"--use-file={keepalived}"]
        _start(machine, "keepalived", ["keepalived", *options, *pids])


def _start(machine: Machine, label: str, command: list[str]) -> None:
    machine.programs.append(Program(f"{label} on {machine.name}", command, machine.namespace))


def await_answer(client: Machine) -> None:
    """Waits until one balancer has the address, listens, and has found a node."""

    def look() -> ProbeResult | OSError:
        try:
            return probe(as_host(client), Target(ADDRESS))
        except OSError as error:
            return error

    eventually(look, lambda found: found is ProbeResult.HANDSHAKE, "an answer of the fleet")


def holder(machines: Sequence[Machine]) -> Machine | None:
    """Which machine has the address."""
    for machine in machines:
        if f"{ADDRESS}/" in machine.namespace.run("ip", "-4", "addr", "show", "dev", "eth0"):
            return machine
    return None
