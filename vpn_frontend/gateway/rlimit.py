# SPDX-License-Identifier: GPL-3.0-or-later
"""RLIMIT_NOFILE: each connection needs a file descriptor, and a shell's limit is smaller than a server needs."""

from __future__ import annotations

import resource

PER_WORKER = 9  # beside sockets of the server's addresses: epoll, a timer, eventfd, signer, TUN queues, some spare
FOR_PYTHON = 256  # the store, the API's connections, files


class DescriptorLimitError(Exception):
    """The limit is too small and cannot be raised. The text names both numbers."""


def raise_descriptor_limit(connections: int, workers: int, sockets: int) -> None:
    """Raise RLIMIT_NOFILE of this process to what ``connections`` and ``workers`` need. Never lowers it.

    ``sockets``: the number that each worker has of the server's addresses, to listen and for datagrams.
    A privileged process raises the hard limit too. Raises ``DescriptorLimitError`` when the limit stays too small; the
    soft limit is then at the hard one.
    """
    needed = connections + workers * (PER_WORKER + sockets) + FOR_PYTHON
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    try:
        highest = hard if hard == resource.RLIM_INFINITY else max(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, highest))
    except (ValueError, OSError) as error:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        raise DescriptorLimitError(f"{needed} file descriptors are needed, the limit is {hard}") from error
