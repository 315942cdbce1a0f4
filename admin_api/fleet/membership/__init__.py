# SPDX-License-Identifier: GPL-3.0-or-later
"""That this node is one of the fleet: it joins, beats, and is fenced or returns.

lease.py        the node's own right to act, by its own clock; no I/O
beats.py        the thread: joins, beats twice a second, joins again after it was fenced
membership.py   the event loop's side: what beats say, who is told of it, the return
node_list.py    all nodes as the database knows them, for operators
"""
