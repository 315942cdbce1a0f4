# SPDX-License-Identifier: GPL-3.0-or-later
"""Another policy takes the place of the one in force: here, on several nodes, on some of them first, or back again.

changes: the values ── state: in force ── preparation: compiled
    rollout: agreed with other nodes ── canary: on some first
    editor: changes by callers ──── following: changes by another node
"""
