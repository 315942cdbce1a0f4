# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of the Debian package on a bare system with systemd: ``make package-test``.

    python -m tests.packaging.lifecycle PACKAGE.deb ROOT.tar

A bare root (mmdebstrap) is booted in a container whose only link leads to a namespace. The package is installed and set
up by the commands of docs/operations.md, and a stock openconnect connects. Then it is upgraded, removed and purged.
Prints the commands and their times; ends with an error at the first thing that is not as it should be.

client namespace 10.77.0.2 ─ veth ─ 10.77.0.1 container: systemd, ocsentry
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from lab.namespaces import Claim, Namespace, run
from lab.timeouts import TIMEOUT

CLIENT, SERVER, INNER = "10.77.0.2", "10.77.0.1", "192.168.99.1"
PASSWORD = "correct horse battery staple"
TIME_LIMIT = 120.0  # seconds from the bare root to the connected client, on an idle machine
COMMAND_LIMIT = 5
ALLOWED_CALLS = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp")
KEPT_BY_REMOVE = ("/etc/ocsentry/ocsentry.toml", "/var/lib/ocsentry/ocsentry.db")
SEARCHED = "/etc /opt /usr /var/lib/ocsentry /run /lib"


class Container:
    """A booted root. Its processes end with ``stop``."""

    def __init__(self, root: Path) -> None:
        self.commands: list[tuple[str, float]] = []
        arguments = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--directory={root}", "--boot"]
        arguments.append(f"--system-call-filter={' '.join(ALLOWED_CALLS)}")  # a host without a container allows them
        arguments += ["--private-network", "--bind=/dev/net/tun", "--machine=ocsentry-package-test"]
        master, slave = pty.openpty()  # without a terminal systemd-nspawn shows nothing and systemd does not come up
        self._nspawn = subprocess.Popen(arguments, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self._console = bytearray()
        threading.Thread(target=self._read, args=(master,), daemon=True).start()
        self.leader = self._await_leader()
        self._await(lambda: self.run("systemctl is-system-running", check=False).strip() in ("running", "degraded"))

    def _read(self, master: int) -> None:
        with contextlib.suppress(OSError):
            while piece := os.read(master, 4096):
                self._console += piece

    def _await_leader(self) -> int:
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        found: list[int] = []

        def booted() -> bool:
            for child in children.read_text().split():
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                        found.append(int(child))
            return bool(found)

        self._await(booted)
        return found[0]

    def _await(self, condition) -> None:
        end = time.monotonic() + TIMEOUT
        pause = threading.Event()
        while not condition():
            if time.monotonic() > end or self._nspawn.poll() is not None:
                raise SystemExit(f"the container does not come up:\n{self._console.decode(errors='replace')}")
            pause.wait(0.1)

    def run(self, command: str, *, stdin: str = "", check: bool = True) -> str:
        words = ["nsenter", f"--target={self.leader}", "--all", "sh", "-c", command]
        path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=TIMEOUT, check=False, env=path
        )
        if check and done.returncode:
            log = "" if "journalctl" in command else self.run("journalctl -n 40 --no-pager", check=False)
            raise SystemExit(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}\n{log}")
        return done.stdout

    def step(self, command: str, *, stdin: str = "") -> str:
        """Run a command of the operator's, and keep its time."""
        begun = time.monotonic()
        said = self.run(command, stdin=stdin)
        self.commands.append((command, time.monotonic() - begun))
        return said

    def stop(self) -> None:
        self._nspawn.terminate()
        try:
            self._nspawn.wait(10)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()


def connect(client: Namespace, pin: str, scratch: Path) -> subprocess.Popen[str]:
    """Returns the running openconnect once its tunnel is up."""
    script = Path(__file__).parents[2] / "lab" / "clients" / "vpnc-script"
    command = ["openconnect", "--user=alice", "--passwd-on-stdin", f"--servercert={pin}", f"--script={script}"]
    with client.entered():
        process = subprocess.Popen(
            [*command, "--interface=tun0", f"https://{SERVER}"],
            stdin=subprocess.PIPE,
            stdout=(scratch / "client.log").open("w"),
            stderr=subprocess.STDOUT,
            text=True,
        )
    assert process.stdin is not None
    process.stdin.write(PASSWORD + "\n")
    process.stdin.close()
    end, pause = time.monotonic() + TIMEOUT, threading.Event()
    while "vpnc-script: connect" not in (scratch / "client.log").read_text():
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"openconnect:\n{(scratch / 'client.log').read_text()}")
        pause.wait(0.05)
    return process


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
    root = scratch / "root"
    root.mkdir()
    run("tar", "-C", str(root), "-xf", str(archive))
    shutil.copy(package, root / "ocsentry.deb")
    shutil.copy(older(package, scratch), root / "older.deb")
    container = Container(root)
    openconnect = None
    try:
        name = client.name[-10:]
        run("ip", "link", "add", f"v{name}", "type", "veth", "peer", "name", f"w{name}")
        run("ip", "link", "set", f"w{name}", "netns", str(container.leader), "name", "eth0")
        run("ip", "link", "set", f"v{name}", "netns", client.name, "name", "eth0")
        client.ip(f"addr add {CLIENT}/24 dev eth0", "link set eth0 up")
        container.run(f"ip addr add {SERVER}/24 dev eth0; ip link set eth0 up; ip link set lo up")
        clean = files_of(container)

        begun = time.monotonic()
        container.step("dpkg -i /older.deb")
        made = container.step("ocsentry init --name vpn.example.org --full-tunnel --dns 9.9.9.9")
        container.step("ocsentry user add alice --password-stdin", stdin=PASSWORD + "\n")
        container.step("systemctl enable --now ocsentry")
        pin = re.findall(r"pin-sha256:\S+", made)[0]
        openconnect = connect(client, pin, scratch)
        container.commands.append(("openconnect", 0.0))
        seconds = time.monotonic() - begun
        for command, took in container.commands:
            print(f"    {took:6.1f} s  {command}")
        expect(len(container.commands) <= COMMAND_LIMIT, f"{len(container.commands)} commands, {seconds:.1f} s in all")
        if os.environ.get("OCSENTRY_STRICT_TIMES"):
            expect(seconds <= TIME_LIMIT, f"at most {TIME_LIMIT:.0f} s")
        client.run("ping", "-c", "1", "-W", "5", INNER)
        expect(True, "packets pass the tunnel")
        expect("FAIL" not in container.run("ocsentry doctor", check=False), "doctor finds no failure")
        expect("masquerade" in container.run("nft list table inet ocsentry_clients"), "addresses are translated")
        expect(container.run("sysctl -n net.ipv4.ip_forward").strip() == "1", "packets are forwarded")
        expect("alice" in container.run("occtl show users"), "occtl is this server's")
        expect(container.run("ps -o user= -C ocsentry").split()[0] == "ocsentry", "the server is no root")

        before = container.run("cat /etc/ocsentry/ocsentry.toml; systemctl show -P MainPID ocsentry")
        openconnect.terminate()
        openconnect.wait(TIMEOUT)
        container.run("dpkg -i /ocsentry.deb")
        after = container.run("cat /etc/ocsentry/ocsentry.toml; systemctl show -P MainPID ocsentry")
        expect(before.splitlines()[:-1] == after.splitlines()[:-1], "an upgrade keeps the configuration")
        expect(before.splitlines()[-1] != after.splitlines()[-1], "an upgrade restarts the server")
        openconnect = connect(client, pin, scratch)
        expect(True, "the client connects to the new version")
        openconnect.terminate()
        openconnect.wait(TIMEOUT)

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
        if openconnect is not None and openconnect.poll() is None:
            openconnect.kill()
            openconnect.wait()
        container.stop()


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
