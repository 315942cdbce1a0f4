# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of ACME in the folder ``acme`` beside the configuration: the account, and how the last attempt ended.

The folder has mode 0700, its files 0600. The server never reads them.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from ocsentry.acme.jws import AccountKey
from ocsentry.acme.server import AcmeError

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "acme"
FIRST_WAIT = 60.0  # seconds after a failure; each further one waits FACTOR times as long
FACTOR = 4
LONGEST_WAIT = 12 * 3600.0
# One address of a mailto URL without header fields (RFC 8555, section 7.3), in the form that authorities take.
ADDRESS = re.compile(r"[^\s@<>,;:?&%\"\x00-\x1f\x7f]+@[^\s@<>,;:?&%\"\x00-\x1f\x7f]+")


class AcmeState(BaseModel):
    """``directory`` and ``account`` are URLs, empty before the first certificate. Times are seconds since 1970."""

    model_config = ConfigDict(extra="forbid")

    email: str = ""
    directory: str = ""
    authorities: str = ""  # file of CA certificates for the directory's own TLS; empty: the system's
    account: str = ""
    names: list[str] = []
    failures: int = 0  # one after the other
    failed_at: float = 0.0
    error: str = ""

    def with_email(self, email: str) -> AcmeState:
        """The state for another contact, which needs another account. Empty: as it is. Raises ``AcmeError``."""
        if email in ("", self.email):
            return self
        if not ADDRESS.fullmatch(email):
            raise AcmeError(f"{email!r} is no e-mail address")
        return self.model_copy(update={"email": email, "account": ""})

    def next_attempt(self) -> float:
        """The earliest time of the next one. An authority counts failures and locks accounts out."""
        if not self.failures:
            return 0.0
        wait = FIRST_WAIT * float(FACTOR ** (min(self.failures, 10) - 1))
        return self.failed_at + min(wait, LONGEST_WAIT)

    def after_failure(self, error: str, now: float) -> AcmeState:
        return self.model_copy(update={"failures": self.failures + 1, "failed_at": now, "error": error})


class AcmeFolder:
    """The folder of a configuration's folder."""

    def __init__(self, configuration_folder: Path) -> None:
        self._folder = configuration_folder / FOLDER
        self._state, self._key = self._folder / "state.json", self._folder / "account.key"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One order at a time. Makes the folder. Raises ``AcmeError``."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AcmeError(f"{self._folder}: another order is under way") from None
        else:
            yield
        finally:
            os.close(descriptor)

    def read(self) -> AcmeState:
        """Raises ``AcmeError``. Without a file: an empty state."""
        try:
            return AcmeState.model_validate_json(self._state.read_bytes())
        except FileNotFoundError:
            return AcmeState()
        except ValidationError as error:
            raise AcmeError(f"{self._state}: {error.errors()[0]['msg']}; remove it to begin again") from error

    def write(self, state: AcmeState) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        _write(self._state, state.model_dump_json(indent=2).encode() + b"\n")

    def account_key(self) -> AccountKey:
        """The account's key, made at the first call. Raises ``AcmeError``."""
        try:
            return AccountKey.from_pem(self._key.read_bytes())
        except FileNotFoundError:
            key = AccountKey.generate()
            _write(self._key, key.pem())
            return key
        except ValueError as error:
            raise AcmeError(f"{self._key}: {error}; remove it and account in {self._state} to begin again") from error


def _write(path: Path, content: bytes) -> None:
    replace_file(path, content, mode=0o600)


def replace_file(path: Path, content: bytes, *, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Put ``content`` at ``path`` in one step, on the disk when this returns. ``owner``: user and group."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)
            if owner is not None:
                os.fchown(descriptor, *owner)
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
