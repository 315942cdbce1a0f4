# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench`: ours, Debian's ocserv and wireguard-go on the same work in the same run, interleaved.

Needs root (network namespaces, TUN). Prints a table and writes every reading to bench/results/.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import traceback
from http.client import HTTPException
from pathlib import Path
from subprocess import SubprocessError

from bench import load_client, measures
from bench.machine import TOO_MUCH
from bench.peers import Peer, installed_peers, open_peers
from bench.plot import render
from bench.readings import Effort, Measure
from bench.report import Report, replace_figures

RESULTS = Path(__file__).with_name("results")
TRANSPORTS, WAYS = ("tls", "dtls"), ("up", "down")
TOPICS: dict[str, dict[str, Measure]] = {
    "Getting a tunnel": {
        "handshakes": measures.handshakes,
        "logins": measures.logins,
        "first-logins": measures.first_logins,
    },
    "One client": {f"{t}-{way}": measures.throughput(t, way) for t in TRANSPORTS for way in WAYS},
    "The load client": {
        **{f"push-{t}-{n}": measures.push(t, n) for t in TRANSPORTS for n in (1, 50)},
        **{f"pull-{t}-{n}": measures.pull(t, n) for t in TRANSPORTS for n in (1, 50)},
    },
    "Loss at a fixed rate": {
        **{f"loss-{way}-{n}": measures.datagram_loss(way, n) for way in WAYS for n in (300, 900)},
        **{f"loss-{way}-900-tuned": measures.datagram_loss(way, 900, tuned=True) for way in WAYS},
        **{f"steady-{way}-900": measures.steady(way, 900) for way in WAYS},
    },
    "Round trips": {"latency": measures.latency},
    "What one client costs the others": {
        **{f"greedy-{t}": measures.greedy_uploader(t) for t in TRANSPORTS},
        **{f"slow-{t}": measures.slow_reader(t) for t in TRANSPORTS},
    },
    "Strangers": {"flood": measures.connect_flood, "hello-flood": measures.hello_flood, "block": measures.block},
    "What tunnels notice of Python": {"independence": measures.independence},
    "Open sessions": {f"memory-{t}": measures.memory(t) for t in TRANSPORTS},
}
MEASURES = {name: (topic, measure) for topic, named in TOPICS.items() for name, measure in named.items()}
DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
FIGURES = ("<!-- figures -->", "<!-- end of figures -->")
ENGINE = "engine"  # the policy engine alone has a program of its own, bench.engine
# What takes long and differs little from one time to the next: thousands of sessions, and comparisons within a measure.
ONCE = {
    name
    for topic in ("What one client costs the others", "What tunnels notice of Python", "Open sessions")
    for name in TOPICS[topic]
}
# What a measure may die of: one that a server does not survive must not cost all the others their figures.
FAILURES = (AssertionError, OSError, RuntimeError, ValueError, LookupError, SubprocessError, HTTPException)
QUICK = Effort(seconds=1.0, sessions=50, pings=100, prefixes=10_000)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = ", ".join([*MEASURES, ENGINE])
    parser.add_argument(
        "measures", nargs="*", choices=[[], *MEASURES, ENGINE], metavar="measure", help=f"of {names}; default: all"
    )
    parser.add_argument("--rounds", type=int, default=3, help="times that every measure is taken on every server")
    parser.add_argument("--servers", default=",".join(installed_peers()), help="which, and in which order; %(default)s")
    parser.add_argument(
        "--sessions", type=int, default=Effort().sessions, help="tunnels held open for the memory figures"
    )
    parser.add_argument("--seconds", type=float, default=Effort().seconds, help="that traffic is watched for")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument(
        "--load", type=Path, nargs="+", metavar="FILE", help="measure nothing, show the results in FILEs as one"
    )
    parser.add_argument("--publish", action="store_true", help=f"put the figures into {DOCUMENT.name}, with a plot")
    return parser.parse_args()


def run(chosen: list[str], peers: list[Peer], effort: Effort, rounds: int, report: Report) -> None:
    for name in chosen:
        topic, measure = MEASURES[name]
        for number in range(1 if name in ONCE else rounds):
            asked = [peer for peer in peers if peer.takes(name)]
            for peer in asked if number % 2 == 0 else reversed(asked):
                print(f"{name}, round {number + 1}: {peer.label}", file=sys.stderr)
                try:
                    report.others.append(taken := peer.ready())
                    if taken > TOO_MUCH:
                        print(f"others take {100 * taken:.0f} % of the processors", file=sys.stderr)
                    for reading in measure(peer, effort):
                        report.add(topic, peer.label, reading)
                except FAILURES as error:
                    traceback.print_exc()
                    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
                    report.remarks.append(f"{name} on {peer.label}, round {number + 1}: {reason}")
                    peer.discard()


def main() -> None:
    wanted = arguments()
    chosen = wanted.measures or [*MEASURES, ENGINE]
    vpn = [name for name in chosen if name != ENGINE]
    if wanted.load or vpn:
        report = Report.load(wanted.load) if wanted.load else take(wanted, vpn)
        print(report.tables())
        if wanted.publish:
            publish(report)
    if ENGINE in chosen and not wanted.load:
        quick = ["--quick"] if wanted.quick else []
        subprocess.run([sys.executable, "-m", "bench.engine", *quick], check=True)


def take(wanted: argparse.Namespace, chosen: list[str]) -> Report:
    labels = wanted.servers.split(",")
    effort = QUICK if wanted.quick else Effort(seconds=wanted.seconds, sessions=wanted.sessions)
    rounds = 1 if wanted.quick else wanted.rounds
    report = Report(labels, f"python -m bench {' '.join(sys.argv[1:])}".strip())
    load_client.build()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        peers = open_peers(folder, labels)
        try:
            run(chosen, peers, effort, rounds, report)
        finally:
            print(report.save(RESULTS), file=sys.stderr)
            for peer in peers:
                peer.close()
    return report


def publish(report: Report) -> None:
    replace_figures(DOCUMENT, FIGURES, f"{report.heading()}\n\n{report.tables()}")
    DOCUMENT.with_suffix(".svg").write_text(render(report))


main()
