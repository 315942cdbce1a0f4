# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kerberos KDC of a test's own (Debian's krb5-kdc), with its database, keytabs and tickets in a folder."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lab.timeouts import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REALM = "EXAMPLE.ORG"
PASSWORD = "correct horse battery staple"
HOST = "vpn.example.org"


class Kdc:
    """One realm. ``environment`` is that of programs that use it."""

    def __init__(self, folder: Path, *, realm: str = REALM, port: int = 0) -> None:
        self.folder, self.realm = folder, realm
        folder.mkdir(exist_ok=True)
        self.port = port or free_udp_port()
        self._write(folder)
        self.environment = {
            **os.environ,
            "KRB5_CONFIG": str(folder / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{folder / 'tickets'}",
            "KRB5RCACHEDIR": str(folder),
        }
        self._run("kdb5_util", "create", "-r", realm, "-s", "-P", "master", "-W")

    def _write(self, folder: Path) -> None:
        (folder / "krb5.conf").write_text(
            f"[libdefaults]\n default_realm = {self.realm}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n"
            " rdns = false\n dns_canonicalize_hostname = false\n udp_preference_limit = 4000\n"
            f"[realms]\n {self.realm} = {{\n  kdc = 127.0.0.1:{self.port}\n }}\n"
        )
        (folder / "kdc.conf").write_text(
            f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{self.port}\n kdc_tcp_listen = 127.0.0.1:{self.port}\n"
            f"[realms]\n {self.realm} = {{\n  database_name = {folder}/principal\n  key_stash_file = {folder}/stash\n"
            f"  acl_file = {folder}/acl\n  max_life = 10h\n }}\n[logging]\n kdc = FILE:{folder}/kdc.log\n"
        )

    def add_user(self, name: str) -> None:
        self._kadmin(f"add_principal -pw {PASSWORD.replace(' ', '_')} {name}")

    def add_service(self, principal: str = f"HTTP/{HOST}", *, keytab: str = "keytab") -> Path:
        """Give the service a new key, and add it to a keytab of the folder. Returns the keytab."""
        if "does not exist" in self._kadmin(f"get_principal {principal}"):
            self._kadmin(f"add_principal -randkey {principal}")
        path = self.folder / keytab
        self._kadmin(f"ktadd -k {path} {principal}")
        return path

    def log_in(self, name: str, *, cache: str = "tickets", lifetime: str = "1h") -> dict[str, str]:
        """Get a ticket. Returns the environment with it."""
        environment = {**self.environment, "KRB5CCNAME": f"FILE:{self.folder / cache}"}
        self._run("kinit", "-l", lifetime, name, text=PASSWORD.replace(" ", "_") + "\n", environment=environment)
        return environment

    def get_service_ticket(self, principal: str, environment: dict[str, str]) -> None:
        """Put a ticket for the service beside the user's: a client that cannot reach the KDC can use it."""
        self._run("kvno", principal, environment=environment)

    @contextmanager
    def running(self) -> Iterator[Kdc]:
        with subprocess.Popen(["krb5kdc", "-n", "-r", self.realm], env=self.environment) as process:
            try:
                self._await_start(process)
                yield self
            finally:
                process.terminate()

    def _await_start(self, process: subprocess.Popen[bytes]) -> None:
        """Its log file ends with the line of a KDC that serves."""
        log = self.folder / "kdc.log"
        eventually(
            lambda: (process.poll(), log.read_text() if log.exists() else ""),
            lambda seen: seen[0] is not None or "commencing operation" in seen[1],
            "serving",
        )
        assert process.poll() is None, log.read_text()

    def _kadmin(self, query: str) -> str:
        return self._run("kadmin.local", "-r", self.realm, "-q", query)

    def _run(self, *command: str, text: str = "", environment: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            command, env=environment or self.environment, input=text, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
