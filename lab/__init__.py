# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers, clients and probes in network namespaces: what the end-to-end tests and the benchmarks share."""
