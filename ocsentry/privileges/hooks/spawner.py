# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs hooks: one process each, with a checked environment, no shell, bounded time and output.

A hook begins a session of its own (setsid). All that is left of it when it ends or its time is over is killed.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import field
from ipaddress import ip_network
from typing import TYPE_CHECKING

from ocsentry.privileges.helper.protocol import send_message
from ocsentry.privileges.hooks.route_arguments import fill_in
from ocsentry.privileges.supervisor import Refused, Supervisor
from sentry_engine.records import dataclass
from vpn_frontend.sessions.records.hook_environment import HOOK_VARIABLES, MAX_VALUE, PATH

if TYPE_CHECKING:
    import socket

    from ocsentry.privileges.helper.protocol import Document
    from ocsentry.privileges.hooks.scope import HookScope
    from ocsentry.privileges.supervisor import Process

KEPT_OUTPUT = 1024  # bytes of a hook's output for the log; the rest is read and dropped
READ_SIZE = 65536


@dataclass(slots=True)
class _Hook:
    program: subprocess.Popen[bytes]
    output: int  # read end of its standard output and error; -1: closed
    kept: bytearray = field(default_factory=bytearray)


class HookSpawner(Supervisor):
    def __init__(self, scope: HookScope, link: socket.socket) -> None:
        super().__init__(link)
        self._scope = scope
        self._hooks: dict[int, _Hook] = {}  # by process id

    def handle_message(self, message: Document) -> None:
        try:
            self._start(message)
        except Refused as error:
            send_message(self._link, {"id": message.get("id"), "error": str(error)})

    def kill(self, process: Process) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    def is_readable(self, descriptor: int) -> None:
        hook = next((hook for hook in self._hooks.values() if hook.output == descriptor), None)
        if hook is not None and not self._read(hook):  # None: it has ended in this turn
            self._close(hook)

    def has_ended(self, process: Process, status: int) -> None:
        hook = self._hooks.pop(process.pid)
        code = os.waitstatus_to_exitcode(status)
        hook.program.returncode = code  # it was reaped here
        self._read(hook)
        self._close(hook)
        result = {
            "id": process.number,
            "code": code,
            "timed_out": code == -signal.SIGKILL and time.monotonic() >= process.deadline,
            "output": hook.kept.decode(errors="replace"),
        }
        with suppress(OSError):  # the server is gone, and its hooks are being killed
            send_message(self._link, result)

    def _start(self, message: Document) -> None:
        number = message.get("id")
        if message.get("verb") != "hook" or type(number) is not int:
            raise Refused("there is no such verb")
        argv = self._scope.programs.get(str(message.get("program")))
        if argv is None:
            raise Refused("the configuration has no such program")
        if (network := message.get("network")) is not None:
            argv = _name_route(argv, network, self._scope.device)
        environment = _check_environment(message.get("environment"))
        if len(self.running) >= self._scope.processes:
            raise Refused("too many hooks at once")
        try:
            program = self._launch(argv, environment)
        except (KeyError, OSError, ValueError, subprocess.SubprocessError) as error:
            raise Refused(f"{argv[0]} cannot be started: {error}") from error
        assert program.stdout is not None  # noqa: S101 - a pipe was asked for
        output = os.dup(program.stdout.fileno())
        program.stdout.close()
        os.set_blocking(output, False)
        self._hooks[program.pid] = _Hook(program, output)
        self.watch(output)
        self.add_process(program.pid, number, time.monotonic() + self._scope.timeout)

    def _launch(self, argv: tuple[str, ...], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        user = pwd.getpwnam(self._scope.user) if self._scope.user else None
        return subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else os.getgrouplist(user.pw_name, user.pw_gid),
            umask=0o077,
        )

    def _read(self, hook: _Hook) -> bool:
        """Take one piece of output. Returns False at its end."""
        if hook.output < 0:
            return False
        try:
            data = os.read(hook.output, READ_SIZE)
        except BlockingIOError:
            return True
        hook.kept += data[: KEPT_OUTPUT - len(hook.kept)]
        return bool(data)

    def _close(self, hook: _Hook) -> None:
        if hook.output >= 0:
            self.unwatch(hook.output)
            os.close(hook.output)
            hook.output = -1


def _name_route(argv: tuple[str, ...], network: object, device: str) -> tuple[str, ...]:
    """The arguments for a route to ``network``. Raises ``Refused``."""
    try:
        return fill_in(argv, ip_network(str(network)), device)
    except ValueError as error:
        raise Refused("the network is none") from error


def _check_environment(asked: object) -> dict[str, str]:
    """Raises ``Refused`` for a name that hooks do not get, or a value that no environment can hold."""
    if not isinstance(asked, dict):
        raise Refused("the environment is none")
    for name, value in asked.items():
        if name not in HOOK_VARIABLES or not isinstance(value, str):
            raise Refused("the environment has another variable than hooks get")
        if "\0" in value or len(value) > MAX_VALUE:
            raise Refused(f"the value of {name} is too long")
    return {**asked, "PATH": PATH}
