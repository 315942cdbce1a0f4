# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's FreeRADIUS on loopback, with a folder, ports and users of its own.

Users have the password ``PASSWORD``. ``otp`` is asked for a code after it: the answer is ``PASSWORD`` and "1".
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.processes.programs import Program
from lab.timeouts import eventually

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from lab.namespaces import Namespace

SECRET = "a secret of the laboratory"
PASSWORD = "correct horse battery staple"
MESSAGE_AUTHENTICATOR = "update reply {\n&Message-Authenticator := 0x00\n}\n"
USERS = """
alice Cleartext-Password := "{password}"
\tService-Type = Framed-User, Class = "OU=staff;ops", Session-Timeout = 3600,
\tFramed-IP-Address = 192.168.99.77, Framed-Route = "10.1.0.0/16"

otp Cleartext-Password := "{password}%{{string:State}}"

DEFAULT User-Name =~ "^user[0-9]+$", Cleartext-Password := "{password}"
\tClass = "OU=many"
"""
CONFIGURATION = """
name = freeradius
prefix = /usr
raddbdir = {folder}
logdir = {folder}
run_dir = {folder}
db_dir = {folder}
libdir = /usr/lib/freeradius
pidfile = {folder}/freeradius.pid
max_request_time = 30
cleanup_delay = 5
max_requests = 16384
hostname_lookups = no
log {{
    destination = stdout
}}
security {{
    allow_vulnerable_openssl = yes
    max_attributes = 200
    reject_delay = 0
    status_server = no
}}
client lab {{
    ipaddr = 127.0.0.1
    secret = "{secret}"
}}
modules {{
    pap {{
    }}
    expr {{
    }}
    files {{
        filename = {folder}/users
    }}
    detail {{
        filename = {folder}/detail
        permissions = 0600
        locking = no
    }}
}}
server lab {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {port}
    }}
    listen {{
        type = acct
        ipaddr = 127.0.0.1
        port = {accounting_port}
    }}
    authorize {{
        files
        if (User-Name == "otp" && !&State) {{
            update control {{
                &Auth-Type := "OTP"
            }}
        }}
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
        Auth-Type OTP {{
            pap {{
                ok = 1
            }}
            if (ok) {{
                update reply {{
                    &State := "1"
                    &Reply-Message = "Code?"
                }}
                update control {{
                    &Response-Packet-Type = Access-Challenge
                }}
            }}
        }}
    }}
    post-auth {{
        {signature}
        Post-Auth-Type REJECT {{
            {signature}
        }}
        Post-Auth-Type Challenge {{
            {signature}
        }}
    }}
    accounting {{
        detail
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Here:
    """This process's own network, in the place of a ``Namespace``."""

    def entered(self) -> AbstractContextManager[None]:
        return nullcontext()


class FreeRadius:
    """A server that runs until ``kill``. ``start`` starts it again, with the accounting that it has written."""

    def __init__(
        self,
        folder: Path,
        namespace: Namespace | Here,
        *,
        port: int = 1812,
        accounting_port: int = 0,
        signs: bool = True,
    ) -> None:
        """``signs``: its answers have a Message-Authenticator; Debian 12's server sends none unless it is told to."""
        folder.mkdir(exist_ok=True)
        self.port, self.accounting_port = port, accounting_port or port + 1
        self.folder, self._namespace = folder, namespace
        (folder / "users").write_text(USERS.format(password=PASSWORD))
        (folder / "radiusd.conf").write_text(
            CONFIGURATION.format(
                folder=folder,
                secret=SECRET,
                port=self.port,
                accounting_port=self.accounting_port,
                signature=MESSAGE_AUTHENTICATOR if signs else "",
            )
        )
        self.secret_file = folder / "radius.secret"
        self.secret_file.write_text(SECRET + "\n")
        self.secret_file.chmod(0o600)
        self.program = self.start()

    def start(self) -> Program:
        # -X: one thread, debug output; a request is answered before the next is read.
        command = ["freeradius", "-X", "-d", self.folder, "-n", "radiusd"]
        self.program = Program("freeradius", command, self._namespace)  # type: ignore[arg-type]
        try:
            self.program.await_line("Ready to process requests")
        except BaseException:
            self.program.kill()
            raise
        return self.program

    def kill(self) -> None:
        self.program.kill()

    def accounting(self) -> list[dict[str, str]]:
        """Every record that the server has answered, in the sequence of their arrival."""
        path = self.folder / "detail"
        text = path.read_text() if path.exists() else ""
        blocks = [block for block in re.split(r"\n\s*\n", text) if "Acct-Status-Type" in block]
        return [
            {name: value.strip('"') for name, value in re.findall(r"^\t([\w-]+) = (.*)$", block, re.MULTILINE)}
            for block in blocks
        ]

    def await_accounting(self, count: int, kind: str = "") -> list[dict[str, str]]:
        """Waits for ``count`` records (of ``kind``: Start, Stop, Interim-Update)."""

        def look() -> list[dict[str, str]]:
            return [record for record in self.accounting() if kind in ("", record["Acct-Status-Type"])]

        return eventually(look, lambda found: len(found) >= count, f"{count} accounting records {kind}")
