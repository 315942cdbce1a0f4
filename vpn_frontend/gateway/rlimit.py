# SPDX-License-Identifier: GPL-3.0-or-later
"""File descriptors: every link is one, and the limit that a shell hands down is smaller than a server's."""

from __future__ import annotations

import resource

PER_WORKER = 8  # epoll, eventfd, mailbox, listening sockets, UDP socket, TUN queue, and some to spare
FOR_PYTHON = 256  # the store, the API's connections, files


class DescriptorError(Exception):
    """The limit is too small and cannot be raised; the text names both numbers."""


def make_room(links: int, workers: int) -> None:
    """Raise the limit of this process to what ``links`` need. Raises ``DescriptorError`` when it gets less.

    Root may raise the hard limit too.
    """
    needed = links + workers * PER_WORKER + FOR_PYTHON
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    try:
        highest = hard if hard == resource.RLIM_INFINITY else max(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, highest))
    except (ValueError, OSError) as error:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        raise DescriptorError(f"{needed} file descriptors are needed, the limit is {hard}") from error
