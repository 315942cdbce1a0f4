# SPDX-License-Identifier: GPL-3.0-or-later
"""One node of a fleet: several servers that share a PostgreSQL database and act as one.

The database coordinates, the nodes own their tunnels: what a node knows of its own tunnels is the truth, and it asserts
it after each loss of the database. A server without ``[fleet]`` uses nothing of this package.

    settings.py     what the configuration says of this node
    link.py         one connection with a deadline for each call; used by the thread of the beats alone
    lease.py        the node's own right to act, by its own clock; no I/O
    beats.py        the thread: joins, beats twice a second, joins again after it was fenced
    node_list.py    all nodes as the database knows them, for operators
    node.py         all of it together, as the server opens it
    changes.py      follows the log of changes; the next two apply them
    log_trim.py     keeps the log of changes short
    block_rows.py   blocks: stored by the clock of the database, taken over from the others
    penalties.py    penalties of sources: the worst are told to the others
    heavy.py        sources that exceed a limit over all nodes together
    policy/         one policy on all nodes: proposed, compiled by each, in force on all or on none
    session_list.py live sessions of the other nodes, for operators
    deliveries.py   deliveries of webhooks that a lost node has left behind
    accounts.py     users, groups, ended sessions, and what is only read again
    membership.py   the event loop's side: what beats say, who is told of it, the return
    calls.py        the event loop's calls of SQL functions: one round trip each, a hard deadline, a breaker
    admission.py    the VPN's port ``Fleet``: sessions and addresses
    errands.py      ends of sessions, told until the database has heard them
    sessions.py     orders carried out, drains, lost sessions that end
    journal.py      rows of sessions that come from another node
    peers/          nodes speak to each other: what the database orders, told at once
    keys.py         the keys of cookies, derived from the fleet's secret

The SQL is in ``admin_api/store/migrations/fleet/``.
"""
