# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of sessions: journal rows, events, statistics, hooks' variables, recent disconnects."""
