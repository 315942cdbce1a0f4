# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session may use: when it may be connected, how much traffic, how fast, and to where."""
