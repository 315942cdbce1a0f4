# SPDX-License-Identifier: GPL-3.0-or-later
"""One policy on all nodes: a change is compiled by every live node, and then in force on all of them or on none.

rollout.py  changes by this node: proposed, agreed, sealed
rules.py    changes by others: compiled and answered, then in force
canaries.py policies that are tried on some nodes first, as rows
answers.py  what the nodes have answered, for operators
"""
