# SPDX-License-Identifier: GPL-3.0-or-later
"""``ocsentry serve`` in a network namespace: its log, its notifications, its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading

from lab.timeouts import TIMEOUT
from tests.ocsentry.command_line import OCSENTRY


class Served:
    """``ocsentry serve`` whose log is read line by line."""

    def __init__(self, command_line, namespace):
        self.command_line = command_line
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(command_line.folder / "notify"))
        self.notify.settimeout(TIMEOUT)
        command = self.command(namespace)
        environment = {**command_line.environment, "NOTIFY_SOCKET": str(command_line.folder / "notify")}
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self.lines = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def command(self, namespace):
        return ["ip", "netns", "exec", namespace, OCSENTRY, "serve"]

    def _read(self):
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self.lines.append("")
            self._news.notify_all()

    def await_event(self, name, since=0):
        """The first event of that name from line number ``since`` on."""

        def found():
            documents = (json.loads(line) for line in self.lines[since:] if line.startswith("{"))
            return next((document for document in documents if document["event"] == name), None)

        with self._news:
            assert self._news.wait_for(lambda: found() or "" in self.lines, TIMEOUT), self.lines
            event = found()
            assert event, self.lines
            return event

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        return code

    def told(self):
        """The next notification that stores no descriptor."""
        while (text := self.notify.recv(1000).decode()).startswith("FDSTORE=1"):
            pass
        return text

    def stored(self):
        """The name and the number of descriptors of the next notification, which stores some."""
        data, descriptors, _, _ = socket.recv_fds(self.notify, 1000, 100)
        for descriptor in descriptors:
            os.close(descriptor)
        return dict(line.split("=") for line in data.decode().splitlines())["FDNAME"], len(descriptors)


@contextlib.contextmanager
def serving(server):
    """A server that is ready, and is killed at the end if it still runs."""
    try:
        server.await_event("ready")
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.process.kill()
        server.process.wait(TIMEOUT)
        server.notify.close()


def links(namespace):
    return subprocess.run(["ip", "-n", namespace, "-br", "link"], capture_output=True, text=True, check=True).stdout


def configure(folder, **tables):
    """Add keys to the configuration, in tables that are there or new ones."""
    text = (folder / "ocsentry.toml").read_text()
    for name, values in tables.items():
        head = f"\n[{name}]\n"
        if head not in text:
            text += head
        text = text.replace(head, head + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
    (folder / "ocsentry.toml").write_text(text)
