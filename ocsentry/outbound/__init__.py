# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests of the server to other hosts: only to addresses that are allowed, and within a deadline."""
