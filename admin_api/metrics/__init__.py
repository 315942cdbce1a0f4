# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics in Prometheus' format: where each comes from, and its name, unit and labels.

Labels come from closed sets (actions, reasons, states, methods, statuses, names of counters and feeds). Addresses,
users and rules are never labels: clients could multiply them.
"""
