# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m bench.console`: a browser on the console's live page while events happen.

Shows the share of a core that the page's main thread takes, what one viewer costs the server (its use with the page
open, less its use before), the page's memory, and the time to the first content of the overview. Debian's chromium
renders in software.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

from bench.machine import describe_machine
from lab.clients.chromium import ARGUMENTS, CHROMIUM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import CDPSession, Page

SETTLE = 2.0  # seconds until the page has drawn what it begins with
FIRST_CONTENT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


class EventSource:
    """The server in a process of its own."""

    def __init__(self, program: subprocess.Popen[str]) -> None:
        self._program = program
        self.links: dict[str, str] = json.loads(self._line())

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        assert self._program.stdin is not None
        self._program.stdin.write("\n")
        self._program.stdin.flush()
        return float(self._line())

    def _line(self) -> str:
        assert self._program.stdout is not None
        return self._program.stdout.readline()


@contextmanager
def running_source(rate: int) -> Iterator[EventSource]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.console.event_source", str(rate), folder]
        program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield EventSource(program)
        finally:
            program.communicate()  # the end of its input ends it


def read_metrics(session: CDPSession) -> dict[str, float]:
    return {entry["name"]: entry["value"] for entry in session.send("Performance.getMetrics")["metrics"]}


def watch(page: Page, source: EventSource, seconds: float) -> dict[str, Any]:
    page.goto(source.links["sign_in"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{source.links['base']}/")
    first_content = page.evaluate(FIRST_CONTENT)
    alone = share_of(source, seconds / 2)
    page.goto(f"{source.links['base']}/live")
    page.wait_for_timeout(SETTLE * 1000)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    before, cpu, began = read_metrics(session), source.cpu(), time.monotonic()
    page.wait_for_timeout(seconds * 1000)
    elapsed, used, after = time.monotonic() - began, source.cpu() - cpu, read_metrics(session)
    session.send("HeapProfiler.collectGarbage")
    return {
        "main thread, % of a core": 100 * (after["TaskDuration"] - before["TaskDuration"]) / elapsed,
        "server for one viewer, % of a core": 100 * (used / elapsed - alone),
        "heap after a collection, MB": read_metrics(session)["JSHeapUsedSize"] / 1e6,
        "DOM nodes": after["Nodes"],
        "first content of the overview, ms": first_content,
    }


def share_of(source: EventSource, seconds: float) -> float:
    """Returns the server's use of a core while no page is open that follows events."""
    before, began = source.cpu(), time.monotonic()
    time.sleep(seconds)
    return (source.cpu() - before) / (time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.console", description=__doc__)
    parser.add_argument("--rate", type=int, default=1000, metavar="N", help="events a second (default 1000)")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="of watching (default 20)")
    wanted = parser.parse_args()
    machine = describe_machine()
    with running_source(wanted.rate) as source, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        found = watch(browser.new_page(viewport={"width": 1280, "height": 900}), source, wanted.seconds)
        browser.close()
    print(f"{machine['processor']}, load average before {machine['load_before']}; {wanted.rate} events/s.\n")
    print("| figure | |\n|---|--:|")
    for name, value in found.items():
        print(f"| {name} | {value:.1f} |")


main()
