# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of the Debian package on a bare system with systemd: ``make package-test``.

    python -m tests.packaging.lifecycle PACKAGE.deb ROOT.tar

A bare root (mmdebstrap) is booted in a container whose only link leads to a namespace. The package is installed and set
up by the commands of docs/first-hour.md, and a stock openconnect connects. Tunnels come back after a restart, a crash
and an upgrade. Then the package is removed and purged. Prints the commands and their times; ends with an error at the
first thing that is not as it should be.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from lab.namespaces import Claim, Namespace, run
from lab.server import INNER_IPV4, PASSWORD
from lab.timeouts import time_limit
from tests.packaging.nspawn import Container
from tests.packaging.returning import MAIN_PROCESS, connect, host_of, try_returns

FIRST_HOUR = Path(__file__).parents[2] / "docs" / "first-hour.md"
DOCTOR = "ocsentry doctor"  # the last command of the page's first step: a look, not a part of the set-up
LOOK, DEMO = 5, "ocsentry demo"  # which has tests of its own, and needs openconnect on the server
TIME_LIMIT = 120.0  # seconds from the bare root to the connected client, on an idle machine
COMMAND_LIMIT = 5
CONFIGURATION = "/etc/ocsentry/ocsentry.toml"
KEPT_BY_REMOVE = (CONFIGURATION, "/var/lib/ocsentry/ocsentry.db")
SEARCHED = "/etc /opt /usr /var/lib/ocsentry /run /lib"


class Operator:
    """Types the commands of the page, and keeps their times."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.times: list[tuple[str, float]] = []
        self.tokens: set[str] = set()  # that commands have shown

    def type(self, command: str) -> str:
        begun = time.monotonic()
        stdin = PASSWORD + "\n" if "user add" in command else ""
        said = self.container.run(command + (" --password-stdin" if stdin else ""), stdin=stdin)
        self.times.append((command, time.monotonic() - begun))
        self.tokens |= set(re.findall(r"ocs_[0-9a-f]{12}_[0-9a-f]{64}", said))
        return said


def commands_of(step: int) -> list[str]:
    """The commands of a step of the page, without comments."""
    text = FIRST_HOUR.read_text().partition(f"\n## {step}.")[2].partition("```sh\n")[2].partition("```")[0]
    return [line.partition("   #")[0].strip() for line in text.splitlines()]


def expect(condition: object, what: str) -> None:
    if not condition:
        raise SystemExit(f"not so: {what}")
    print(f"ok  {what}", flush=True)


def older(package: Path, scratch: Path) -> Path:
    """The same package under an earlier version."""
    folder, target = scratch / "older", scratch / "older.deb"
    run("dpkg-deb", "-R", str(package), str(folder))
    control = folder / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*", "Version: 0.0.1-1", control.read_text()))
    run("dpkg-deb", "-Znone", "--root-owner-group", "-b", str(folder), str(target))
    shutil.rmtree(folder)
    return target


def live(package: Path, archive: Path, scratch: Path, client: Namespace) -> None:
    container = Container(archive, scratch / "root")
    host = host_of(client)
    first = None
    try:
        shutil.copy(package, container.root / "newer.deb")
        shutil.copy(older(package, scratch), container.root / "ocsentry_0.0.1-1_all.deb")
        container.plug(client)
        clean = files_of(container)

        operator = Operator(container)
        install, setup, *others = commands_of(1)
        begun = time.monotonic()
        operator.type(f"{install} -y".replace("apt", "apt-get", 1))
        pin = re.findall(r"pin-sha256:\S+", operator.type(setup))[0]
        for command in others:
            if command != DOCTOR:
                operator.type(command)
        first = connect(host, pin)
        first.await_up()
        operator.times.append(("openconnect", time.monotonic() - begun - sum(took for _, took in operator.times)))
        seconds = time.monotonic() - begun
        for command, took in operator.times:
            print(f"    {took:6.1f} s  {command}")
        expect(len(operator.times) <= COMMAND_LIMIT, f"{len(operator.times)} commands, {seconds:.1f} s in all")
        expect(seconds <= time_limit(TIME_LIMIT), f"at most {time_limit(TIME_LIMIT):.0f} s")
        expect(first.ping(INNER_IPV4) == 1.0, "packets pass the tunnel")
        expect("FAIL" not in container.run(DOCTOR, check=False), "doctor finds no failure")
        expect("masquerade" in container.run("nft list table inet ocsentry_clients"), "addresses are translated")
        expect(container.run("sysctl -n net.ipv4.ip_forward").strip() == "1", "packets are forwarded")
        expect("alice" in container.run("occtl show users"), "occtl is this server's")
        expect(container.run("ps -o user= -C ocsentry").split()[0] == "ocsentry", "the server is no root")
        first.goodbye()
        try_support(container, operator)
        for command in commands_of(LOOK):
            if command != DEMO:
                container.run(command)
        expect(True, "the commands that look at it work")

        before = container.run("cat /etc/ocsentry/ocsentry.toml")
        try_returns(container, host, pin, "dpkg -i /newer.deb", expect)
        expect(container.run("cat /etc/ocsentry/ocsentry.toml") == before, "an upgrade keeps the configuration")
        expect("0.0.1" not in container.run("dpkg-query -Wf '${Version}' ocsentry"), "the version is the new one")

        try_refused(container)

        container.run("dpkg --remove ocsentry")
        expect(
            container.run("systemctl is-active ocsentry", check=False).strip() != "active", "removal stops the server"
        )
        for path in KEPT_BY_REMOVE:
            expect(container.run(f"test -f {path} && echo kept", check=False), f"removal keeps {path}")
        container.run("dpkg --purge ocsentry")
        left = files_of(container) - clean
        expect(not left, f"purging leaves nothing {sorted(left)[:10]}")
        expect(
            "ocsentry" not in container.run("cat /etc/passwd /etc/group; nft list ruleset"), "no user, no packet rules"
        )
    finally:
        if first is not None:
            first.kill()
        container.stop()


def try_refused(container: Container) -> None:
    """An upgrade that would not start leaves the server running, with all files of its own version, until one would."""
    process = container.run(MAIN_PROCESS)
    module = f"/proc/{process.strip()}/root/opt/ocsentry/bin/ocsentry"
    file = container.run(f"stat -Lc %i {module}")
    container.run(f"cp -p {CONFIGURATION} /root/kept && echo 'not = [toml' >>{CONFIGURATION}")
    said = container.run("dpkg -i /newer.deb 2>&1")
    expect(container.run(MAIN_PROCESS) == process, "an upgrade that would not start leaves the server running")
    expect("goes on running" in said and CONFIGURATION in said, "it says so, and names the file")
    expect(container.run(f"stat -Lc %i {module}") == file, "its files are those of its own version")
    expect(container.run("stat -c %i /opt/ocsentry/bin/ocsentry") != file, "the commands are the new version's")
    container.run(f"cp -p /root/kept {CONFIGURATION} && dpkg -i /newer.deb")
    expect(container.run(MAIN_PROCESS) != process, "the next upgrade replaces it")
    expect(len(container.run("ls /opt/ocsentry/releases").split()) == 2, "earlier files are gone")


def try_support(container: Container, operator: Operator) -> None:
    """The support archive of a packaged service has its log, and no secret of it."""
    container.run("ocsentry doctor --bundle /root/support.tar.gz")
    expect(container.run("stat -c %a /root/support.tar.gz").strip() == "600", "the support archive is for its owner")
    files = container.run("tar -xOzf /root/support.tar.gz", check=False)
    expect("login_accepted" in files and "ActiveState=active" in files, "log and state of the service are in it")
    shown = [text for text in (PASSWORD, *operator.tokens) if text in files]
    expect(operator.tokens and not shown, "no password or token is in it")


def files_of(container: Container) -> set[str]:
    """Files and folders of the root, without what the package manager and the journal keep for themselves."""
    return set(container.run(f"find {SEARCHED} -xdev 2>/dev/null | grep -i ocs", check=False).splitlines())


def main() -> None:
    package, archive = map(Path, sys.argv[1:3])
    claim = Claim()
    try:
        with tempfile.TemporaryDirectory(prefix="ocsentry-package-") as scratch:
            live(package, archive, Path(scratch), Namespace.create(claim.name("pkg")))
    finally:
        claim.release()


if __name__ == "__main__":
    main()
