# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of all nodes: each has a place and addresses that no other has, and goes on at any node.

admission.py    the VPN's port ``Fleet``: sessions and addresses
comparison.py   rows of the database without a session here, and sessions without a row
errands.py      ends of sessions and logins, told until the database has heard them
sessions.py     orders carried out, drains, lost sessions that end
journal.py      rows of sessions that come from another node
session_list.py live sessions of the other nodes, for operators
keys.py         the keys of cookies, derived from the fleet's secret
"""
