# SPDX-License-Identifier: GPL-3.0-or-later
"""``ocsentry demo``: a real client on a network of its own is connected, blocked and disconnected."""
