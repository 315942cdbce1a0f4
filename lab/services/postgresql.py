# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server of Debian's package: its own cluster in a folder, reachable by a Unix socket in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lab.namespaces import run
from lab.timeouts import TIMEOUT, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Of a cluster whose data is thrown away: few and small files of its log, so that little is left to remove at the end.
FLEETING = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_init_zero": "off",
    "wal_recycle": "off",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
}
ACCOUNT = "postgres"  # the user of the package; PostgreSQL does not run as root
DATABASE = "postgres"


class Postgresql:
    """One cluster. ``start`` it, ``kill`` it as a crash does, ``stop`` it at the end."""

    def __init__(
        self, folder: Path, *, durable: bool = False, wrapper: Sequence[str] = (), address: str = "", make: bool = True
    ) -> None:
        """``folder`` is created. It will hold a Unix socket, so its path is short, and all may enter its parents.

        ``durable``: a commit is on disk before it is answered, as operators have it and tests need not.
        ``wrapper`` goes before each command. ``address``: where it listens besides. ``make`` no cluster yet: False.
        """
        self._options = {} if durable else FLEETING
        (self._programs,) = list(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
        self._folder, self._wrapper, self.address = folder, wrapper, address
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        shutil.chown(folder, ACCOUNT)
        if make:
            options = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
            self._run("initdb", *options, "-D", str(folder / "data"))

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{ACCOUNT}@/{DATABASE}?host={self._folder}"

    @property
    def pid(self) -> int:
        """Of its first process: all others are its children."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        options = {"listen_addresses": self.address, "unix_socket_directories": self._folder, **self._options}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command = self._as_account("postgres", "-D", str(self._folder / "data"), *words)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)
        ready = self._as_account("pg_isready", "--quiet", "-h", str(self._folder))
        eventually(lambda: subprocess.run(ready, cwd=self._folder, check=False), lambda done: not done.returncode, "up")

    def kill(self) -> None:
        """End all its processes by SIGKILL: nothing is flushed, no client is told."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)  # it starts no further child
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in (self._process.pid, *map(int, children)):
            os.kill(pid, signal.SIGKILL)
        self._process.wait(TIMEOUT)
        # A child that still ends holds the shared memory, and the next start would refuse.
        eventually(lambda: [pid for pid in children if _runs(pid)], lambda left: not left, "ended")
        run(*self._wrapper, "rm", "-f", str(self._folder / "data" / "postmaster.pid"))

    def save(self) -> None:
        """Make a backup while it runs: ``restore`` goes back to it."""
        backup = ("-h", str(self._folder), "-D", str(self._folder / "saved"), "--checkpoint=fast", "--no-sync")
        self._run("pg_basebackup", *backup)

    def restore(self) -> None:
        """Lose all that was written since ``save``, as a backup of yesterday does."""
        self.kill()
        shutil.rmtree(self._folder / "data")
        (self._folder / "saved").rename(self._folder / "data")
        self.start()

    def suspend(self) -> None:
        """Have all its processes hang: they keep their connections, and answer nothing. ``resume`` ends it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """The parent first, which makes no more children then; and again those that it had just made."""
        assert self._process is not None
        parent, told = self._process.pid, set[str]()
        os.kill(parent, number)
        while new := {*Path(f"/proc/{parent}/task/{parent}/children").read_text().split()} - told:
            for pid in new:
                with suppress(ProcessLookupError):  # it has ended
                    os.kill(int(pid), number)
            told |= new

    def stop(self) -> None:
        """End it without writing its pages: nothing of it is used again."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(TIMEOUT)

    def _run(self, *command: str) -> None:
        subprocess.run(self._as_account(*command), check=True, capture_output=True, timeout=TIMEOUT, cwd=self._folder)

    def _as_account(self, program: str, *arguments: str) -> list[str]:
        become = ["setpriv", "--pdeathsig", "KILL", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups", "--"]
        return [*self._wrapper, *become, str(self._programs / program), *arguments]


def _runs(pid: str) -> bool:
    """False for an ended process, also before its parent has waited for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def running_postgresql(*, durable: bool = False) -> Iterator[Postgresql]:
    """A cluster in a temporary folder, stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="ocs-pg-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = Postgresql(folder / "pg", durable=durable)
        server.start()
        try:
            yield server
        finally:
            server.stop()
