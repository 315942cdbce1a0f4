# SPDX-License-Identifier: GPL-3.0-or-later
"""PAM services of a test's own, in a mount namespace: nothing of the machine's `/etc/pam.d` is read or changed."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lab.timeouts import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
MATRIX = LIBRARIES / "pam_wrapper" / "pam_matrix.so"  # users and passwords in a file
MODULES = LIBRARIES / "security"
PASSWORD = "correct horse battery staple"
OATH_SECRET = "3132333435363738393031323334353637383930"  # of RFC 6238


class PamServices:
    """A folder of services, each with the users that ``allow`` names.

    The helper has the folder as its ``/etc/pam.d``. pam_wrapper could do the same without root, but its processes share
    62 names in ``/tmp``: two may take the same one, and a killed one leaves its own behind.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pam.d"
        self.folder.mkdir()
        self.passwords = folder / "passdb"
        self.oath_users = folder / "oath"
        self.passwords.touch()
        self.write(
            "other", "auth required pam_deny.so", "account required pam_deny.so", "password required pam_deny.so"
        )

    def write(self, service: str, *lines: str) -> None:
        """``matrix`` at the place of a module stands for pam_matrix with the folder's passwords."""
        text = (
            "\n".join(lines).replace("matrix", f"{MATRIX} passdb={self.passwords}").replace(" pam_", f" {MODULES}/pam_")
        )
        (self.folder / service).write_text(text + "\n")

    def allow(self, user: str, service: str, password: str = PASSWORD) -> None:
        with self.passwords.open("a") as file:
            file.write(f"{user}:{password}:{service}\n")

    def code(self) -> str:
        """The token's code of now."""
        said = subprocess.run(["oathtool", "--totp", OATH_SECRET], capture_output=True, text=True, check=True)
        return said.stdout.strip()

    def enrol(self, user: str) -> None:
        """Give ``user`` the token with ``OATH_SECRET``."""
        with self.oath_users.open("a") as file:
            file.write(f"HOTP/T30 {user} - {OATH_SECRET}\n")
        self.oath_users.chmod(0o600)

    def launch(self, connection: socket.socket, *configuration: Path) -> subprocess.Popen[bytes]:
        """The PAM helper on its end of a connection, as a service manager starts it. Closes ``connection``."""
        helper = [
            sys.executable,
            "-I",
            "-m",
            "ocsentry.privileges.pam",
            str(connection.fileno()),
            *map(str, configuration),
        ]
        mounted = 'mount --bind "$0" /etc/pam.d && exec "$@"'
        inside = ["unshare", "--mount", "sh", "-c", mounted, str(self.folder)]
        with connection:
            return subprocess.Popen([*inside, *helper], pass_fds=[connection.fileno()], stdin=subprocess.DEVNULL)

    @contextmanager
    def activated(self, configuration: Path) -> Iterator[Path]:
        """A socket whose first connection gets a helper with that configuration."""
        path = self.folder.parent / "pam.sock"
        helpers: list[subprocess.Popen[bytes]] = []

        def accept() -> None:
            with suppress(OSError):
                helpers.append(self.launch(listener.accept()[0], configuration))

        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(path))
            listener.listen()
            accepting = threading.Thread(target=accept, daemon=True)
            accepting.start()
            try:
                yield path
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                accepting.join(TIMEOUT)
                for helper in helpers:
                    helper.wait(TIMEOUT)  # it ends with the server
