# SPDX-License-Identifier: GPL-3.0-or-later
"""What befalls a fleet while its clients come and go. Each nemesis is over when its function returns.

A nemesis lasts until its effect was seen, or some seconds: two of them at once may keep the effect of one away.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from lab.processes.programs import Program
from lab.server import OCSENTRY
from lab.traffic.packet_router import CLEAR, CUT, Way

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.fleet.site import Site

HOUR = 3600
NO_PEERS = """
table inet no_peers {
  chain out { type filter hook output priority 0; oifname "p*" drop; }
}
"""


def kill_a_backend(site: Site) -> None:
    pid = site.stores.primary.backend()
    if pid is not None:
        site.signal(pid, signal.SIGKILL)
    site.go_on()


def kill_the_store(site: Site) -> None:
    site.stores.primary.kill()
    site.stores.primary.start()
    site.go_on()


def stop_a_backend(site: Site) -> None:
    """It may hold the lock of a user then."""
    pid = site.stores.primary.backend()
    if pid is not None and site.signal(pid, signal.SIGSTOP):
        site.go_on()
        site.signal(pid, signal.SIGCONT)


def stop_the_postmaster(site: Site) -> None:
    """What is connected is served; no one else is."""
    pid = site.stores.primary.pid
    site.signal(pid, signal.SIGSTOP)
    site.go_on()
    site.signal(pid, signal.SIGCONT)


def hang_the_store(site: Site) -> None:
    seen = site.lines()
    site.stores.primary.suspend()
    site.until_said('"fleet_cut_off"', seen)
    site.stores.primary.resume()


def slow(seconds: float) -> Callable[[Site], None]:
    def nemesis(site: Site) -> None:
        """Half of it on the way there, half on the way back."""
        site.disturb(Way(delay=seconds / 2), Way(delay=seconds / 2))

    return nemesis


def lossy(site: Site) -> None:
    site.disturb(Way(loss=0.05), Way(loss=0.05))


def drop_to_the_store(site: Site) -> None:
    site.cut_off(CUT, CLEAR)


def drop_from_the_store(site: Site) -> None:
    site.cut_off(CLEAR, CUT)


def cut_the_store(site: Site) -> None:
    site.cut_off(CUT, CUT)


def cut_peers(site: Site) -> None:
    """No node reaches another one's peer port; all reach the database."""
    for place in site.fleet.sites:
        place.gateway.nft(NO_PEERS)
    site.go_on()
    for place in site.fleet.sites:
        place.gateway.run("nft", "delete", "table", "inet", "no_peers")


def stop_a_node(site: Site) -> None:
    """Until the others count it as dead, and a while longer."""
    node = site.choose()
    node.program.signal(signal.SIGSTOP)
    site.until_lost(node)
    site.go_on()
    node.program.signal(signal.SIGCONT)


def kill_a_node(site: Site) -> None:
    node = site.choose()
    node.program.kill()
    site.go_on()
    site.start_again(node)


def move_the_clock_of_a_node(site: Site) -> None:
    shift = site.chosen.choice((HOUR, -HOUR))
    clock = site.chosen.choice(site.clocks)
    clock.jump(shift)
    site.go_on()
    clock.jump(-shift)


def fail_over(*, synchronous: bool, shift: int = 0) -> Callable[[Site], None]:
    def nemesis(site: Site) -> None:
        """Without the synchronous standby the newest commits may be lost."""
        site.stores.fail_over(synchronous=synchronous, shift=shift)
        site.until_returned()
        if not synchronous:
            site.note_loss()
        site.go_on()
        if shift:
            site.stores.primary.clock.jump(-shift)
            site.go_on()
        site.stores.make_whole()

    return nemesis


def restore(site: Site) -> None:
    """The database goes back to what it was some sessions ago."""
    site.stores.primary.save()
    site.go_on()
    site.stores.primary.restore()
    site.until_returned()
    site.note_loss()
    site.go_on()
    site.stores.make_whole()


def fill_the_disk(site: Site) -> None:
    """PostgreSQL writes into what its files have, then refuses, or starts again and again."""
    site.stores.primary.fill_disk()
    site.go_on()
    site.stores.primary.free_disk()
    site.await_store()


def start_with_another_key(site: Site) -> None:
    """A node that has lost its key file, and was given a new one, is refused, and changes nothing for the others."""
    own = site.fleet.nodes[0]
    folder = site.copy_of(own)
    (folder / "fleet.secret").write_text("0f" * 32)
    refused = Program("another key", [OCSENTRY, "serve", "--config", folder / "ocsentry.toml"], own.network.gateway)
    site.programs.append(refused)
    assert refused.await_exit() != 0
    assert "the other nodes have another secret" in refused.output, refused.tail


OF_THE_STORE: dict[str, Callable[[Site], None]] = {
    "kill backend": kill_a_backend,
    "kill store": kill_the_store,
    "stop backend": stop_a_backend,
    "stop postmaster": stop_the_postmaster,
    "hang store": hang_the_store,
    "fail over": fail_over(synchronous=True),
    "fail over to an hour later": fail_over(synchronous=True, shift=HOUR),
    "fail over to an hour earlier": fail_over(synchronous=True, shift=-HOUR),
    "fail over without waiting": fail_over(synchronous=False),
    "restore": restore,
    "fill disk": fill_the_disk,
}
OF_THE_NODES: dict[str, Callable[[Site], None]] = {
    "slow 200 ms": slow(0.2),
    "slow 500 ms": slow(0.5),
    "lossy": lossy,
    "drop to store": drop_to_the_store,
    "drop from store": drop_from_the_store,
    "cut store": cut_the_store,
    "cut peers": cut_peers,
    "stop node": stop_a_node,
    "kill node": kill_a_node,
    "clock of a node": move_the_clock_of_a_node,
    "another key": start_with_another_key,
}
NEMESES = OF_THE_STORE | OF_THE_NODES
