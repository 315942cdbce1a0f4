# SPDX-License-Identifier: GPL-3.0-or-later
"""One node of a fleet: several servers that share a PostgreSQL database and act as one.

The database coordinates, the nodes own their tunnels: what a node knows of its own tunnels is the truth, and it asserts
it after each loss of the database. A server without ``[fleet]`` uses nothing of this package.

    settings.py     what the configuration says of this node
    node.py         all of it together, as the server opens it
    membership/     that this node is one of the fleet, and which others are
    changes/        what one node changes, on all of them
    policy/         one policy on all nodes: proposed, compiled by each, in force on all or on none
    sessions/       sessions, their places and addresses, and cookies that open on any node
    peers/          nodes speak to each other: what the database orders, told at once
    deliveries.py   deliveries of webhooks that a lost node has left behind
    rounds.py       work that is done again and again
    calls.py        the event loop's calls of SQL functions: one round trip each, a hard deadline, a breaker
    link.py         one connection with a deadline for each call; used by the thread of the beats alone

The SQL is in ``admin_api/store/migrations/fleet/``.
"""
