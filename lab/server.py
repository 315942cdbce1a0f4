# SPDX-License-Identifier: GPL-3.0-or-later
"""`ocsentry serve` on the gateway of a network, and what tests ask of it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.certificates import Certificate, make_certificate
from lab.clients.api import ADMIN_PORT, Api, command_line
from lab.clients.openconnect import OpenConnect
from lab.namespaces import run
from lab.network import SERVER_IPV4
from lab.processes.programs import Program
from lab.timeouts import TIMEOUT, eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lab.network import Host, Network

OCSENTRY = Path(sys.executable).with_name("ocsentry")
PASSWORD = "correct horse battery staple"
INNER_IPV4 = "192.168.99.1"
INNER_IPV6 = "fd00:99::1"
DEVICE = "ocs0"

DEFAULTS: dict[str, Any] = {
    "vpn": {"listen": "*:443", "dtls": False, "certificate": "server.crt", "private_key": "server.key"},
    "vpn.network": {"device": DEVICE, "ipv4_pool": "192.168.99.0/24", "ipv6_pool": "fd00:99::/64", "dns": [INNER_IPV4]},
    "vpn.limits": {"max_same_clients": 2},
    "vpn.session": {"dpd": 90, "cookie_timeout": 60},
    "policy": {"rules": ["rules"]},
    "admin": {"listen": f"127.0.0.1:{ADMIN_PORT}", "socket": "admin.sock"},
    "store": {"url": "sqlite:///ocsentry.db"},
    "log": {"format": "json"},
    "process": {"seccomp": "kill"},  # so that a call that the list lacks fails the test
}


@dataclass(frozen=True, slots=True)
class ServerTemplate:
    """A folder with certificate, users and an API token: made once, copied for every server."""

    folder: Path
    certificate: Certificate
    token: str


def make_template(folder: Path, users: Iterable[str]) -> ServerTemplate:
    certificate = make_certificate(folder)
    write_configuration(folder, {})
    for user in users:
        ocsentry(folder, "user", "add", user, "--password-stdin", stdin=PASSWORD + "\n")
    answer = json.loads(ocsentry(folder, "token", "create", "lab", "--json"))
    return ServerTemplate(folder, certificate, answer["token"])


def write_configuration(folder: Path, settings: Mapping[str, Mapping[str, Any]]) -> Path:
    (folder / "rules").mkdir(exist_ok=True)
    lines: list[str] = []
    for table in {**DEFAULTS, **settings}:
        lines.append(f"[{table}]")
        values = {**DEFAULTS.get(table, {}), **settings.get(table, {})}
        lines.extend(f"{key} = {json.dumps(value)}" for key, value in values.items())
    path = folder / "ocsentry.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def ocsentry(
    folder: Path,
    *arguments: str,
    stdin: str = "",
    timeout: float = TIMEOUT,
    program: Sequence[str | Path] = (OCSENTRY,),
) -> str:
    """Runs the command line on the configuration in ``folder`` and returns its output."""
    command, *rest = arguments
    return run(
        *("env", f"OCSENTRY_CONFIG={folder}/ocsentry.toml", *map(str, program), command, *rest),
        stdin=stdin,
        timeout=timeout,
    )


def rule_document(rules: Sequence[object], **more: object) -> str:
    return json.dumps({"wolfsentry": {"version": "1.6.3", "rules": list(rules), **more}})


class Server:
    """A running server. ``finish`` ends it and checks that it leaves nothing behind."""

    def __init__(
        self,
        network: Network,
        folder: Path,
        template: ServerTemplate,
        *,
        rules: Sequence[object] = (),
        builtin_limits: bool = True,
        launcher: Sequence[str | Path] = (OCSENTRY,),
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        shutil.copytree(template.folder, folder, dirs_exist_ok=True)
        self._launcher = launcher
        self.network, self.folder, self.pin = network, folder, template.certificate.pin
        self.configuration = write_configuration(folder, settings or {})
        self.rule_file = folder / "rules" / "test.json"
        self.write_rules(rules, builtin_limits=builtin_limits)
        self.socket = folder / "admin.sock"
        self.api = Api(network.gateway, template.token)
        self._clients: list[OpenConnect] = []
        self.program = self._start()

    def _start(self) -> Program:
        command = [*self._launcher, "serve", "--config", self.configuration]
        program = Program("ocsentry serve", command, self.network.gateway, cwd=self.folder)
        self.network.programs.append(program)
        try:
            program.await_line(r'"event": ?"ready"|\bready\b')
        except BaseException:
            program.kill()
            raise
        return program

    # -- as an operator

    def write_rules(self, rules: Sequence[object], **more: object) -> None:
        """Saves the rule file as editors do: writes a new file, then renames it."""
        self.save_rule_file(rule_document(rules, **more))

    def save_rule_file(self, text: str) -> None:
        new = self.rule_file.with_suffix(".new")
        new.write_text(text)
        new.rename(self.rule_file)

    def cli(self, *arguments: str, stdin: str = "", timeout: float = TIMEOUT) -> str:
        return ocsentry(self.folder, *arguments, stdin=stdin, timeout=timeout)

    def command(self, command: str, **more: object) -> dict[str, Any]:
        return command_line(self.socket, {"command": command, **more})

    def restart(self) -> None:
        self.stop()
        self.start_again()

    def start_again(self, launcher: Sequence[str | Path] = ()) -> None:
        """After it has ended in another way. ``launcher``: another program from now on, as after an upgrade."""
        self._launcher = launcher or self._launcher
        self.program = self._start()

    # -- clients and state

    def connect(
        self, host: Host, *arguments: str, user: str = "alice", password: str = PASSWORD, **more: Any
    ) -> OpenConnect:
        client = OpenConnect(host, *arguments, user=user, password=password, **{"pin": self.pin, **more})
        self.network.programs.append(client)
        self._clients.append(client)
        return client

    def sessions(self) -> list[dict[str, Any]]:
        """Its live sessions, without those of the other nodes of a fleet."""
        return self.api.get("/api/v1/sessions?local=true")["items"]

    def await_sessions(self, count: int) -> None:
        """Waits until the server lists ``count`` sessions."""
        eventually(self.sessions, lambda found: len(found) == count, f"{count} sessions")

    def await_no_connected(self) -> None:
        """Waits until no session has a channel: each has ended or waits for its client."""
        eventually(self._states, lambda found: "connected" not in found, "without a connected session")

    def await_transport(self, wanted: str) -> None:
        """Waits until the only session is listed with that channel; its client may know earlier."""
        eventually(self.sessions, lambda found: [one["transport"] for one in found] == [wanted], f"over {wanted}")

    def _states(self) -> list[str]:
        return [session["state"] for session in self.sessions()]

    def leases(self) -> int:
        return int(self.api.get("/api/v1/status")["leases"])

    def await_leases(self, count: int) -> None:
        eventually(self.leases, lambda found: found == count, f"{count} leases")

    def finish(self) -> None:
        """Disconnects the clients, checks that no lease is left, and stops the server."""
        if not self.program.running:
            return
        for client in self._clients:
            if client.running:
                client.goodbye()
        self._end_sessions()
        self.await_leases(0)
        self.stop()

    def _end_sessions(self) -> None:
        """Ends sessions of killed clients, which would otherwise last until their cookie expires."""
        for session in self.sessions():
            status, answer = self.api.call("DELETE", f"/api/v1/sessions/{session['id']}")
            assert status in {200, 204, 404}, answer

    def stop(self) -> None:
        """Sends SIGTERM; checks exit code, device, socket and log."""
        self.api.close()
        self.program.signal(signal.SIGTERM)
        code = self.program.await_exit()
        problems = []
        if code:
            problems.append(f"exit code {code} on SIGTERM")
        if self.network.gateway.has_link(DEVICE):
            problems.append(f"device {DEVICE} is still there")
        if self.socket.exists():
            problems.append(f"{self.socket} is still there")
        if re.search(r"Traceback|AddressSanitizer|runtime error:", self.program.output):
            problems.append("a traceback in the log")
        assert not problems, "; ".join(problems)


__all__ = [
    "INNER_IPV4",
    "INNER_IPV6",
    "PASSWORD",
    "SERVER_IPV4",
    "Server",
    "ServerTemplate",
    "make_template",
    "rule_document",
]
