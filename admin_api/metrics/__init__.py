# SPDX-License-Identifier: GPL-3.0-or-later
"""What metrics are counted in, and the gateway's counters as families of Prometheus.

Labels come from closed sets (actions, reasons, states, methods, statuses, names of counters and feeds). Addresses,
users and rules are never labels: clients could multiply them.
"""
