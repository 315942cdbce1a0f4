# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench`: ocsentry, Debian's ocserv and wireguard-go on the same workloads, interleaved in one run.

Requires root (network namespaces, TUN). Prints a table and writes every sample to bench/results/.
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

from bench import compare, load_client, workloads
from bench.machine import MAX_OTHER_LOAD
from bench.page import put_section
from bench.peers import Peer, installed_peers, open_peers
from bench.plot import render
from bench.report import Report
from bench.workload import Scale, Workload

RESULTS = Path(__file__).with_name("results")
TRANSPORTS, WAYS = ("tls", "dtls"), ("up", "down")
TOPICS: dict[str, dict[str, Workload]] = {
    "Logins": {
        "handshakes": workloads.handshakes,
        "logins": workloads.logins,
        "first-logins": workloads.first_logins,
        "certificate-logins": workloads.certificate_logins,
        "certificate-and-password-logins": workloads.certificate_and_password_logins,
        "code-logins": workloads.code_logins,
    },
    "One client": {f"{t}-{way}": workloads.throughput(t, way) for t in TRANSPORTS for way in WAYS},
    "The load client": {
        **{f"push-{t}-{n}": workloads.push(t, n) for t in TRANSPORTS for n in (1, 50)},
        **{f"pull-{t}-{n}": workloads.pull(t, n) for t in TRANSPORTS for n in (1, 50)},
    },
    "Loss at a fixed rate": {
        **{f"loss-{way}-{n}": workloads.datagram_loss(way, n) for way in WAYS for n in (300, 900)},
        **{f"loss-{way}-900-tuned": workloads.datagram_loss(way, 900, tuned=True) for way in WAYS},
        **{f"steady-{way}-900": workloads.steady(way, 900) for way in WAYS},
    },
    "Round trips": {f"latency-{t}": workloads.latency(t) for t in TRANSPORTS},
    "Fairness between clients": {
        **{f"greedy-{t}": workloads.greedy_uploader(t) for t in TRANSPORTS},
        **{f"slow-{t}": workloads.slow_reader(t) for t in TRANSPORTS},
    },
    "Hostile sources": {
        "flood": workloads.connect_flood,
        "hello-flood": workloads.hello_flood,
        "block": workloads.block,
    },
    "Independence from Python": {"independence": workloads.independence},
    "Limits of sessions": {f"limits-{t}": workloads.limits(t) for t in TRANSPORTS},
    "Open sessions": {f"memory-{t}": workloads.memory(t) for t in TRANSPORTS},
    "Ten thousand sessions": {f"crowd-{t}": workloads.crowd(t) for t in TRANSPORTS},
}
WORKLOADS = {name: (topic, workload) for topic, named in TOPICS.items() for name, workload in named.items()}
DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
ENGINE = "engine"  # the policy engine alone is measured by bench.engine
# One round only: they take long and vary little (thousands of sessions, or comparisons within the workload).
ONCE = {
    name
    for topic in (
        "Fairness between clients",
        "Independence from Python",
        "Limits of sessions",
        "Open sessions",
        "Ten thousand sessions",
    )
    for name in TOPICS[topic]
}
# Not part of a run of everything: two minutes each, and 10 000 sockets.
ON_REQUEST = {*TOPICS["Ten thousand sessions"]}
# Failures of one workload that must not end the run.
FAILURES = (AssertionError, OSError, RuntimeError, ValueError, LookupError, SubprocessError, HTTPException)
QUICK = Scale(seconds=1.0, sessions=50, crowd=1000, pings=100, prefixes=10_000)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = ", ".join([*WORKLOADS, ENGINE])
    parser.add_argument(
        "workloads",
        nargs="*",
        choices=[[], *WORKLOADS, ENGINE],
        metavar="workload",
        help=f"one or more of {names}; default: all but {', '.join(sorted(ON_REQUEST))}",
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds per workload and server (default 3)")
    parser.add_argument(
        "--servers", default=",".join(installed_peers()), help="servers and their order (default %(default)s)"
    )
    parser.add_argument("--sessions", type=int, default=Scale().sessions, help="open tunnels for the memory figures")
    parser.add_argument("--seconds", type=float, default=Scale().seconds, help="seconds of traffic per sample")
    parser.add_argument("--quick", action="store_true", help="one short round, as a check")
    parser.add_argument(
        "--load", type=Path, nargs="+", metavar="FILE", help="measure nothing; show the results in FILEs as one report"
    )
    parser.add_argument(
        "--compare",
        type=Path,
        nargs=2,
        metavar=("A", "B"),
        help="measure nothing; show the change from results A to B, and end with 1 if a figure of the first server is "
        f"worse by more than {100 * compare.WORSE:.0f} %% beyond its bounds",
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help=f"write the figures of this processor, and the first one's plot, into {DOCUMENT.name}",
    )
    return parser.parse_args()


def run(chosen: list[str], peers: list[Peer], scale: Scale, rounds: int, report: Report) -> None:
    for name in chosen:
        topic, workload = WORKLOADS[name]
        for number in range(1 if name in ONCE else rounds):
            asked = [peer for peer in peers if peer.takes(name)]
            for peer in asked if number % 2 == 0 else reversed(asked):
                print(f"{name}, round {number + 1}: {peer.label}", file=sys.stderr)
                try:
                    report.others.append(taken := peer.ready())
                    if taken > MAX_OTHER_LOAD:
                        print(f"others take {100 * taken:.0f} % of the processors", file=sys.stderr)
                    for sample in workload(peer, scale):
                        report.add(topic, peer.label, sample)
                except FAILURES as error:
                    traceback.print_exc()
                    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
                    report.remarks.append(f"{name} on {peer.label}, round {number + 1}: {reason}")
                    peer.discard()


def main() -> None:
    wanted = arguments()
    if wanted.compare:
        sys.exit(compare_runs(*wanted.compare))
    chosen = wanted.workloads or [name for name in [*WORKLOADS, ENGINE] if name not in ON_REQUEST]
    vpn = [name for name in chosen if name != ENGINE]
    if wanted.load or vpn:
        report = Report.load(wanted.load) if wanted.load else take(wanted, vpn)
        print(report.tables())
        if wanted.publish:
            publish(report)
    if ENGINE in chosen and not wanted.load:
        quick = ["--quick"] if wanted.quick else []
        subprocess.run([sys.executable, "-m", "bench.engine", *quick], check=True)


def compare_runs(before: Path, after: Path) -> int:
    """Returns the exit code."""
    first, second = Report.load([before]), Report.load([after])
    server = first.labels[0]
    print(compare.render(first, second, server))
    return int(compare.is_worse(first, second, server))


def take(wanted: argparse.Namespace, chosen: list[str]) -> Report:
    labels = wanted.servers.split(",")
    scale = QUICK if wanted.quick else Scale(seconds=wanted.seconds, sessions=wanted.sessions)
    rounds = 1 if wanted.quick else wanted.rounds
    report = Report(labels, f"python -m bench {' '.join(sys.argv[1:])}".strip())
    load_client.build()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        peers = open_peers(folder, labels)
        try:
            run(chosen, peers, scale, rounds, report)
        finally:
            print(report.save(RESULTS), file=sys.stderr)
            for peer in peers:
                peer.close()
    return report


def publish(report: Report) -> None:
    if put_section(DOCUMENT, report):
        DOCUMENT.with_suffix(".svg").write_text(render(report))


main()
